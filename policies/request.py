"""From a request to numbers: its uniform, its seed and its context vector; what production may be asked.

The uniform behind a draw is a keyed hash of the request id, so the same id gets the same answer from every copy of a
policy and a log row can be derived again; the seed sent to the model depends on the request alone, so that two policies
asked about one request differ in their parameters only. Both are HMAC and SHA-256, which every language has at hand.
Source: RFC 2104 (HMAC).
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from envs.tasks import TaskFeatures, parse_task
from policies.masses import TOTAL

__all__ = ["MAX_REQUEST_ID", "SEEDS", "read_prices", "read_task", "request_seed", "request_uniform", "said", "shown"]

MAX_REQUEST_ID = 1024  # bytes
SEEDS = 1 << 31  # seeds lie in [0, 2^31): services differ in what they accept beyond
MAX_PRICE = 1e6  # times the price that a policy was built with


def shown(value: object, width: int = 60) -> str:
    """A value from outside in so many characters; one that can't be printed is named by its kind.

    >>> shown(10**5000), shown("x" * 9, 6)
    ('an int', "'xxxxx...")
    """
    try:
        text = repr(value)
    except Exception:  # too many digits, too deep, or whatever an object's own words raise
        return f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"
    return text if len(text) <= width else f"{text[:width]}..."


def said(error: Exception) -> str:
    """What an exception says, or its kind where it can't say it."""
    try:
        return str(error)
    except Exception:  # an exception of a caller's object
        return type(error).__name__


def _bytes_of(request_id: object) -> bytes:
    if type(request_id) is not str:
        raise TypeError(f"request_id = {shown(request_id)}, need text")
    raw = request_id.encode("utf-8", "replace")
    if not 0 < len(raw) <= MAX_REQUEST_ID or raw.decode() != request_id:
        raise ValueError(f"request_id = {shown(request_id)}, need 1 to {MAX_REQUEST_ID} bytes of UTF-8")
    return raw


def request_uniform(request_id: str, digest: str) -> int:
    """The integer in [0, 2^20) that belongs to a request and a policy.

    The first 8 bytes, big-endian, of HMAC-SHA256 under the policy's digest, modulo 2^20.

    Args:
        request_id: 1 to 1024 bytes of UTF-8.
        digest: the policy's, 64 hex digits.

    Raises:
        ValueError: an empty, overlong or unencodable id.
        TypeError: an id that is not text.

    >>> request_uniform("r-1", "00" * 32) == request_uniform("r-1", "00" * 32)
    True
    """
    keyed = hmac.digest(bytes.fromhex(digest), b"guardband.draw\n" + _bytes_of(request_id), "sha256")
    return int.from_bytes(keyed[:8], "big") % TOTAL


def request_seed(request_id: str) -> int:
    """The sampling seed in [0, 2^31) that belongs to a request, whichever policy answers it.

    The first 8 bytes, big-endian, of its SHA-256, modulo 2^31.

    Raises:
        ValueError: as `request_uniform`.
        TypeError: as `request_uniform`.
    """
    hashed = hashlib.sha256(b"guardband.seed\n" + _bytes_of(request_id)).digest()
    return int.from_bytes(hashed[:8], "big") % SEEDS


def read_task(features: TaskFeatures | Mapping[str, object]) -> TaskFeatures:
    """A task from what a caller sent.

    Raises:
        ValueError: an unknown name, or a value out of range.
        TypeError: a value of another kind, or no mapping.
    """
    return features if isinstance(features, TaskFeatures) else parse_task(features)


def read_prices(prices: Sequence[float]) -> NDArray[np.float64]:
    """(2,) relative prices of input and output tokens.

    Raises:
        ValueError: not two finite numbers in [0, 10^6].
    """
    if not isinstance(prices, Sequence) or len(prices) != 2 or not all(_is_price(price) for price in prices):
        raise ValueError(f"prices = {shown(prices)}, need two numbers in [0, {MAX_PRICE:g}]")
    return np.array(prices, np.float64)


def _is_price(price: object) -> bool:
    return isinstance(price, int | float) and not isinstance(price, bool) and 0 <= price <= MAX_PRICE
