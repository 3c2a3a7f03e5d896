"""Signatures: a published vector, keys as other tools write them, and every way not to be the signer."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.refusals import SignatureError
from policies.signing import DIGEST_ONLY, Trust, check_signature, read_public_key, read_signer

FILE = "manifest.sig"
# RFC 8032, section 7.1, TEST 2: a message of one byte.
SECRET = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
MESSAGE = bytes.fromhex("72")
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
BY_HAND = b"-----BEGIN PUBLIC KEY-----\n%b\n-----END PUBLIC KEY-----\n"
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(SECRET)
OTHER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def private_pem(key: Any, *, password: bytes | None = None) -> bytes:
    hidden = form.BestAvailableEncryption(password) if password else form.NoEncryption()
    return bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, hidden))


def public_pem(key: Any) -> bytes:
    return bytes(key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo))


def kept(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


def test_the_published_vector_is_signed_and_verified(tmp_path: Path) -> None:
    """RFC 8032: Ed25519 has one signature per key and message."""
    assert read_signer(kept(tmp_path / "key.pem", private_pem(KEY)))(MESSAGE) == SIGNATURE
    assert read_public_key(kept(tmp_path / "key.pub", public_pem(KEY))) == PUBLIC
    assert check_signature(MESSAGE, SIGNATURE, keys=[PUBLIC], file=FILE) == PUBLIC


def test_a_key_file_by_hand_is_read(tmp_path: Path) -> None:
    """RFC 8410: the public key's 32 bytes after a header that is the same for all."""
    lines = BY_HAND % b"MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="
    assert read_public_key(kept(tmp_path / "key.pub", lines)) == PUBLIC
    assert public_pem(KEY) == lines


def test_any_trusted_key_will_do_and_is_named() -> None:
    other = OTHER.public_key().public_bytes_raw()
    assert check_signature(MESSAGE, SIGNATURE, keys=[other, PUBLIC], file=FILE) == PUBLIC


def refused(message: bytes, signature: bytes | None, keys: list[bytes], words: str) -> None:
    with pytest.raises(SignatureError, match=words) as caught:
        check_signature(message, signature, keys=keys, file=FILE)
    assert caught.value.file == FILE


def test_nobody_else_is_the_signer() -> None:
    other = OTHER.public_key().public_bytes_raw()
    refused(
        MESSAGE, SIGNATURE, [other], "is by none of them, or the manifest was changed after it, need a signature by"
    )
    refused(MESSAGE, SIGNATURE, [other, bytes(32)], "by one of 2 trusted keys")
    refused(MESSAGE + b"\n", SIGNATURE, [PUBLIC], "is by none of them")
    refused(b"", SIGNATURE, [PUBLIC], "is by none of them")
    refused(MESSAGE, OTHER.sign(MESSAGE), [PUBLIC], "is by none of them")
    refused(MESSAGE, None, [PUBLIC], "is missing, need a signature by one of 1 trusted keys")
    refused(MESSAGE, SIGNATURE, [], "is by none of them")


@pytest.mark.parametrize("size", [0, 1, 63, 65])
def test_a_signature_of_another_length_is_refused(size: int) -> None:
    refused(MESSAGE, (SIGNATURE + b"0")[:size], [PUBLIC], f"has {size} bytes, need 64")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 511), st.binary(max_size=60))
def test_a_flipped_bit_of_signature_or_message_is_found(bit: int, message: bytes) -> None:
    signed = bytearray(KEY.sign(message + b"x"))
    check_signature(message + b"x", bytes(signed), keys=[PUBLIC], file=FILE)
    signed[bit // 8] ^= 1 << bit % 8
    refused(message + b"x", bytes(signed), [PUBLIC], "is by none of them")
    refused(message + b"y", KEY.sign(message + b"x"), [PUBLIC], "is by none of them")


def test_a_signature_with_s_past_the_group_order_is_refused() -> None:
    """RFC 8032, 5.1.7: S + L signs as well for a careless reader; a strict one takes S < L alone."""
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(SIGNATURE[32:], "little") + order
    refused(MESSAGE, SIGNATURE[:32] + s.to_bytes(32, "little"), [PUBLIC], "is by none of them")


OTHERS: dict[str, Any] = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "X25519": x25519.X25519PrivateKey.generate,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_key_of_another_kind_is_refused(kind: str, tmp_path: Path) -> None:
    key = OTHERS[kind]()
    with pytest.raises(ValueError, match=r"key.pem holds a \w+, need an Ed25519 key in PEM"):
        read_signer(kept(tmp_path / "key.pem", private_pem(key)))
    with pytest.raises(ValueError, match=r"key.pub holds a \w+, need an Ed25519 key in PEM"):
        read_public_key(kept(tmp_path / "key.pub", public_pem(key)))


UNKNOWN = BY_HAND % b"MCowBQYDK2V/AyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="  # no such algorithm
GARBAGE = {
    "nothing": b"",
    "noise": bytes(range(256)),
    "cut": private_pem(KEY)[:60],
    "raw": SECRET,
    "algorithm unheard of": UNKNOWN,
    "certificate": UNKNOWN.replace(b"PUBLIC KEY", b"CERTIFICATE"),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_is_no_key_is_refused_in_words(what: str, tmp_path: Path) -> None:
    path = kept(tmp_path / "key.pem", GARBAGE[what])
    for read in (read_signer, read_public_key):
        with pytest.raises(ValueError, match="key.pem is no key, need an Ed25519 key in PEM, not encrypted"):
            read(path)


def test_a_locked_key_and_the_wrong_half_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="locked.pem is no key, need .* not encrypted"):
        read_signer(kept(tmp_path / "locked.pem", private_pem(KEY, password=b"a word")))
    with pytest.raises(ValueError, match="key.pub is no key"):
        read_signer(kept(tmp_path / "key.pub", public_pem(KEY)))
    with pytest.raises(ValueError, match="key.pem is no key"):
        read_public_key(kept(tmp_path / "key.pem", private_pem(KEY)))


def test_a_file_too_large_for_a_key_is_refused_and_a_missing_one_says_so(tmp_path: Path) -> None:
    path = kept(tmp_path / "key.pem", private_pem(KEY) + b"\n" * 10_000)
    for read in (read_signer, read_public_key):
        with pytest.raises(ValueError, match="need a PEM file of at most 10000"):
            read(path)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "gone.pem")


@pytest.mark.parametrize("key", [b"", PUBLIC[:31], PUBLIC + b"0", PUBLIC.hex(), None])
def test_trust_in_what_can_be_no_key_is_refused(key: Any) -> None:
    with pytest.raises(ValueError, match="a trusted key = .*, need 32 raw bytes: see read_public_key"):
        Trust(keys=(key,))


@pytest.mark.parametrize("change", [{"features": "ab"}, {"actions": "x" * 63}, {"quarantined": frozenset({"ab"})}])
def test_a_digest_that_could_never_match_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a digest = .*, need 64 hex digits"):
        Trust(**change)


def test_digest_only_asks_for_nothing() -> None:
    assert Trust() == DIGEST_ONLY
    assert not DIGEST_ONLY.keys and not DIGEST_ONLY.quarantined


def test_without_the_package_an_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cryptography.hazmat.primitives.asymmetric", None)
    path = kept(tmp_path / "key.pem", private_pem(KEY))
    for read in (read_signer, read_public_key, lambda _: check_signature(b"", SIGNATURE, keys=[PUBLIC], file=FILE)):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'guardband\[signing\]'"):
            read(path)
