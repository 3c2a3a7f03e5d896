"""The list of certified pairs is well formed, names what exists, and is read with care between its sizes."""

import json
from pathlib import Path

import pytest

from evaluators import certified
from evaluators.certified import DIFFERENCE, FILE, REGIMES, held, sizes
from evaluators.gates import Params as GateParams

CONFIGS = Path(certified.__file__).resolve().parents[1] / "configs"
GATE_INTERVAL = type(GateParams().interval).__module__.rsplit(".", 1)[-1]
SIZES = (200, 1000, 5000)


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> None:
    good = frozenset({("doubly_robust", "assisted")})
    monkeypatch.setattr(certified, "_pairs", lambda: {"iid": {200: good, 1000: frozenset(), 5000: good}})


def test_the_committed_list_has_every_regime_and_size_and_names_what_exists() -> None:
    found = json.loads(FILE.read_text(encoding="utf-8"))
    assert tuple(found) == REGIMES
    estimators = {DIFFERENCE, *(file.stem for file in (CONFIGS / "estimator").glob("*.yaml"))}
    intervals = {file.stem for file in (CONFIGS / "interval").glob("*.yaml")}
    for by_n in found.values():
        assert tuple(int(n) for n in by_n) == SIZES
        for pairs in by_n.values():
            assert len({tuple(pair) for pair in pairs}) == len(pairs)
            assert all(estimator in estimators and interval in intervals for estimator, interval in pairs)


def test_the_gates_own_pair_is_certified_for_independent_rows() -> None:
    for n in (*SIZES, 600, 2000):
        assert held(DIFFERENCE, GATE_INTERVAL, regime="iid", n=n).holds


def test_nothing_is_certified_that_a_model_alone_says() -> None:
    assert not any(
        held("direct", interval, regime=r, n=n).holds for r in REGIMES for n in SIZES for interval in ("t", "assisted")
    )


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("n", "holds", "words"),
    [
        (200, True, "held on iid logs of 200 rows"),
        (201, False, "did not hold on iid logs of 1,000 rows"),
        (1000, False, "did not hold on iid logs of 1,000 rows"),
        (4999, False, "did not hold on iid logs of 1,000 rows"),
        (5000, True, "held on iid logs of 5,000 rows"),
        (9000, True, "the most that was measured (asked: 9,000)"),
        (199, False, "199 rows are fewer than the 200"),
    ],
)
def test_between_two_sizes_a_pair_must_have_held_at_both(n: int, holds: bool, words: str) -> None:
    found = held("doubly_robust", "assisted", regime="iid", n=n)
    assert found.holds is holds and words in found.reason


@pytest.mark.usefixtures("listed")
def test_an_unknown_pair_did_not_hold() -> None:
    assert not held("doubly_robust", "t", regime="iid", n=200).holds


@pytest.mark.usefixtures("listed")
def test_unknown_regimes_and_empty_logs_are_refused() -> None:
    with pytest.raises(ValueError, match="regime = 'idd', need one of iid"):
        sizes("idd")
    with pytest.raises(ValueError, match="n = 0, need >= 1 row"):
        held("ips", "t", regime="iid", n=0)
