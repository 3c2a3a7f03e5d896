"""Ed25519 signatures over the exact bytes of a manifest, and what a caller trusts.

The manifest holds the sha256 of every other file, so its signature covers the bundle. Keys are PEM files (PKCS 8, as
`openssl genpkey -algorithm ed25519` writes them); a public key is 32 bytes. Without a key a bundle is digest-only:
accidents and edits are found, a forger is not.
Source: Josefsson & Liusvaara (2017), RFC 8032.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.refusals import SignatureError

__all__ = ["DIGEST_ONLY", "Signer", "Trust", "check_signature", "read_public_key", "read_signer"]

KEY_BYTES, SIGNATURE_BYTES = 32, 64
MAX_KEY_FILE = 10_000  # bytes of a PEM file
Signer = Callable[[bytes], bytes]


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What a caller accepts; `DIGEST_ONLY` asks for whole bytes and nothing else.

    Attributes:
        keys: public keys, 32 bytes each, one of which must have signed; none: no signature is asked for.
        features: fingerprint of the caller's features; empty: any.
        actions: fingerprint of the caller's actions; empty: any.
        quarantined: digests, of bundles or policies, that are never loaded again, whoever signed them.

    Raises:
        ValueError: a key or digest of another length.
    """

    keys: tuple[bytes, ...] = ()
    features: str = ""
    actions: str = ""
    quarantined: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what could never match."""
        for key in self.keys:
            if not isinstance(key, bytes) or len(key) != KEY_BYTES:
                raise ValueError(f"a trusted key = {key!r:.40}, need {KEY_BYTES} raw bytes: see read_public_key")
        for digest in (*self.quarantined, *filter(None, (self.features, self.actions))):
            if len(digest) != 64:
                raise ValueError(f"a digest = {digest!r:.80}, need 64 hex digits")


DIGEST_ONLY = Trust()


def _ed25519() -> Any:
    try:  # optional: the one package a loader needs beside NumPy, and only where it checks signatures
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise ModuleNotFoundError(
            "signatures need the package cryptography: pip install 'guardband[signing]'", name="cryptography"
        ) from None
    return ed25519


def _key_file(path: Path) -> bytes:
    raw = path.read_bytes()
    if len(raw) > MAX_KEY_FILE:
        raise ValueError(f"{path.name} has {len(raw)} bytes, need a PEM file of at most {MAX_KEY_FILE}")
    return raw


def read_signer(path: Path) -> Signer:
    """What signs with a private key: PEM, PKCS 8, not encrypted.

    Raises:
        ValueError: no Ed25519 key in PEM.
        ModuleNotFoundError: the extra `signing` is missing.
        OSError: the file can't be read.
    """
    form, raw = _ed25519(), _key_file(path)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # optional, as in _ed25519

    key = _parsed(lambda: load_pem_private_key(raw, None), path, form.Ed25519PrivateKey)
    return lambda message: bytes(key.sign(message))


def read_public_key(path: Path) -> bytes:
    """The 32 bytes of a public key in PEM, as `openssl pkey -pubout` writes it.

    Raises:
        ValueError: no Ed25519 key in PEM.
        ModuleNotFoundError: the extra `signing` is missing.
        OSError: the file can't be read.
    """
    form, raw = _ed25519(), _key_file(path)
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # optional, as in _ed25519

    key = _parsed(lambda: load_pem_public_key(raw), path, form.Ed25519PublicKey)
    return bytes(key.public_bytes_raw())


def _parsed(read: Callable[[], Any], path: Path, kind: type[Any]) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm  # optional, as in _ed25519

    need = f"an Ed25519 key in PEM, not encrypted ({kind.__name__})"
    try:
        key = read()
    except (TypeError, ValueError, UnsupportedAlgorithm):
        raise ValueError(f"{path.name} is no key, need {need}") from None
    if not isinstance(key, kind):
        raise ValueError(f"{path.name} holds a {type(key).__name__}, need {need}")
    return key


def check_signature(message: bytes, signature: bytes | None, *, keys: Sequence[bytes], file: str) -> bytes:
    """The trusted key that signed a message.

    Args:
        message: the signed bytes.
        signature: 64 bytes; None where there is none.
        keys: those trusted, 32 bytes each, at least one.
        file: the signature's name, for messages.

    Raises:
        SignatureError: no signature, one of another length, or by nobody trusted.
        ModuleNotFoundError: the extra `signing` is missing.
    """
    wanted = f"a signature by one of {len(keys)} trusted keys"
    if signature is None:
        raise SignatureError(file, got="is missing", needed=wanted)
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError(file, got=f"has {len(signature)} bytes", needed=f"{SIGNATURE_BYTES}, {wanted}")
    form = _ed25519()
    from cryptography.exceptions import InvalidSignature  # optional, as in _ed25519

    for key in keys:
        try:
            form.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except InvalidSignature:
            continue
        return key
    raise SignatureError(file, got="is by none of them, or the manifest was changed after it", needed=wanted)
