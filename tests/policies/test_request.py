"""Uniform and seed of a request are the published hashes, spread evenly; what can't be read is refused in words."""

import hashlib
import hmac
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.tasks import TaskFeatures
from policies.masses import TOTAL
from policies.request import SEEDS, read_prices, read_task, request_seed, request_uniform, shown

DIGEST = hashlib.sha256(b"a policy").hexdigest()
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


def test_an_hmac_by_hand_gives_the_uniform() -> None:
    """RFC 2104 from two plain SHA-256: H(key ^ opad, H(key ^ ipad, text)), the key padded to 64 bytes."""
    key = bytes.fromhex(DIGEST) + bytes(32)
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in key) + b"guardband.draw\nr-7").digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in key) + inner).digest()
    assert request_uniform("r-7", DIGEST) == int.from_bytes(outer[:8], "big") % 2**20


@settings(max_examples=100, deadline=None, derandomize=True)
@given(IDS)
def test_uniform_and_seed_are_those_that_the_manifest_describes(request_id: str) -> None:
    raw = request_id.encode()
    draw = hmac.new(bytes.fromhex(DIGEST), b"guardband.draw\n" + raw, hashlib.sha256).digest()
    seed = hashlib.sha256(b"guardband.seed\n" + raw).digest()
    assert request_uniform(request_id, DIGEST) == int.from_bytes(draw[:8], "big") % TOTAL
    assert request_seed(request_id) == int.from_bytes(seed[:8], "big") % 2**31
    assert 0 <= request_uniform(request_id, DIGEST) < TOTAL and 0 <= request_seed(request_id) < SEEDS == 2**31


def test_golden_values_never_change() -> None:
    """Numbers that readers in other languages can be tested against, worked out with `openssl dgst`."""
    assert request_uniform("r-1", "00" * 32) == 614320
    assert request_seed("r-1") == 2126544346


def test_another_policy_draws_otherwise_and_sends_the_same_seed() -> None:
    ids = [f"r-{i}" for i in range(64)]
    here, there = ([request_uniform(one, digest) for one in ids] for digest in (DIGEST, "0" * 64))
    assert sum(a == b for a, b in zip(here, there, strict=True)) == 0  # each equal by chance with 2^-20
    assert len({request_seed(one) for one in ids}) == 64


@pytest.mark.parametrize(("n_values", "of"), [(TOTAL, lambda i: request_uniform(i, DIGEST)), (SEEDS, request_seed)])
def test_consecutive_ids_fall_evenly(n_values: int, of: Any) -> None:
    """Chi-square of 16,000 ids in 16 cells; Wilson and Hilferty's bound at a false alarm rate of 1e-6 (z = 4.75)."""
    hits = np.bincount([of(f"r-{i}") * 16 // n_values for i in range(16_000)], minlength=16)
    statistic = float(np.sum((hits - 1000.0) ** 2) / 1000)
    assert statistic < 15 * (1 - 2 / 135 + 4.75 * np.sqrt(2 / 135)) ** 3


@pytest.mark.parametrize(
    "request_id", ["", "x" * 1025, "\u00e9" * 513, "\ud800"], ids=["empty", "long", "wide", "half"]
)
def test_a_bad_request_id_is_refused(request_id: str) -> None:
    for ask in (request_seed, lambda one: request_uniform(one, DIGEST)):
        with pytest.raises(ValueError, match="need 1 to 1024 bytes of UTF-8") as caught:
            ask(request_id)
        assert len(str(caught.value)) < 130


@pytest.mark.parametrize("request_id", [7, None, b"r", ["r"]])
def test_a_request_id_that_is_no_text_is_refused(request_id: Any) -> None:
    for ask in (request_seed, lambda one: request_uniform(one, DIGEST)):
        with pytest.raises(TypeError, match=r"request_id = .*, need text"):
            ask(request_id)


def test_ids_at_the_edge_are_accepted() -> None:
    assert request_seed("x" * 1024) != request_seed("x" * 1023)
    assert request_seed("\u00e9" * 512) != request_seed("e\u0301" * 300)  # bytes count, nothing is normalised


def test_a_task_is_read_from_its_fields_or_taken_as_it_is() -> None:
    task = TaskFeatures(risk_tier=1)
    assert read_task(task) is task
    assert read_task({"risk_tier": 1}) == task
    with pytest.raises(ValueError, match="did you mean 'risk_tier'"):
        read_task({"risk_teir": 1})


def test_prices_are_two_finite_numbers() -> None:
    assert read_prices((1, 50.0)).tolist() == [1.0, 50.0]
    assert read_prices([0, 1e6]).dtype == np.float64


BAD: tuple[Any, ...] = ((1.0,), (1.0, 2.0, 3.0), (1.0, -1.0), (1.0, np.nan), (1.0, np.inf), (1.0, 1.1e6), (True, 1.0))


@pytest.mark.parametrize("prices", [*BAD, "11", None, 1.0, {0: 1.0, 1: 1.0}, (1.0, "1"), (1.0, 10**5000)])
def test_other_prices_are_refused(prices: Any) -> None:
    with pytest.raises(ValueError, match=r"prices = .*, need two numbers in \[0, 1e\+06\]"):
        read_prices(prices)


class Mute:
    """Its words fail."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


def test_what_can_not_be_printed_is_named_by_its_kind() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert [shown(one) for one in (10**5000, deep, Mute())] == ["an int", "a list", "a Mute"]
    assert shown("x" * 100) == "'" + "x" * 59 + "..."
    assert shown("\ud800") == r"'\ud800'"  # printable on every terminal
