"""Why a bundle was refused: one type per cause, and the place, in attributes and in one line.

A caller who must tell an edit from an expired waiver catches the type; a log keeps the line.
"""

__all__ = [
    "BoundsError",
    "BundleError",
    "EvidenceError",
    "FolderError",
    "FormatError",
    "GoldenError",
    "IntegrityError",
    "MismatchError",
    "SignatureError",
    "VersionError",
]


class BundleError(ValueError):
    """A bundle that can't be trusted or used; one line: file, field, what was got, what was needed.

    Attributes:
        file: its name within the bundle, or the folder.
        field: dotted path within the file; empty where the file as a whole is meant.
        got: what was found.
        needed: what would have been accepted.

    >>> str(FormatError("manifest.json", "reward.span", got="0.0", needed="a number > 0"))
    'manifest.json: reward.span = 0.0, need a number > 0'
    """

    def __init__(self, file: str, field: str = "", *, got: str, needed: str) -> None:
        self.file, self.field, self.got, self.needed = file, field, got, needed
        found = f"{field} = {got}" if field else got
        super().__init__(" ".join(f"{file}: {found}, need {needed}".split()))

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self.file, self.field, self.got, self.needed)


def _again(kind: type[BundleError], file: str, field: str, got: str, needed: str) -> BundleError:
    """The same refusal in another process: exceptions are pickled by their positional arguments."""
    return kind(file, field, got=got, needed=needed)


class FolderError(BundleError):
    """A file is missing, unknown, a link, no plain file, or too large."""


class FormatError(BundleError):
    """Not strict JSON or ONNX, or a field is missing, unknown, of another type, out of range or contradictory."""


class VersionError(BundleError):
    """A format version that this code does not read."""


class IntegrityError(BundleError):
    """Bytes that are not those the manifest names."""


class SignatureError(BundleError):
    """No signature where one is needed, or none of the trusted keys made it; or a quarantined bundle."""


class MismatchError(BundleError):
    """Features or actions that are not the caller's."""


class BoundsError(BundleError):
    """An action outside the lattice, the hard limits or the trust region."""


class EvidenceError(BundleError):
    """Evidence that does not carry the policy, without a waiver that is valid now."""


class GoldenError(BundleError):
    """A recorded answer that this machine does not give again."""
