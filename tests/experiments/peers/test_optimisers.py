"""The peers themselves: the start comes first, the seed decides, and they find the top of a smooth hill."""

import sys

import numpy as np
import pytest

from envs.lattice import AxisRange, Lattice, LatticeRanges
from envs.targets import ConfigError
from experiments.peers.optimisers import PEERS, Peer, make_peer, missing
from experiments.peers.space import Point, Space, space_of

GRID = Lattice.from_ranges(
    LatticeRanges(AxisRange("0", "2", "0.1"), AxisRange("100", "1600", "100"), AxisRange("1", "1", "0.1")),
    models=("small", "middle", "large"),
)
SPACE = space_of(GRID, np.ones(GRID.size, np.bool_), 7)
ONE_MODEL = space_of(GRID, np.arange(GRID.size) % 3 == 1, 7)
PRESENT = [name for name in PEERS if not missing(name)]
every_peer = pytest.mark.parametrize("name", PRESENT)


def hill(point: Point) -> float:
    """At most 0, at (0.7, 0.3) of the middle model."""
    return -float(np.square(point.places - np.array([0.7, 0.3])).sum()) - 0.3 * (point.model != 1)


def climb(peer: Peer, n: int) -> list[Point]:
    asked = []
    for _ in range(n):
        asked.append(peer.ask())
        peer.tell(hill(asked[-1]))
    return asked


def same(left: list[Point], right: list[Point]) -> bool:
    pairs = zip(left, right, strict=True)
    return all(np.array_equal(a.places, b.places) and a.model == b.model for a, b in pairs)


def test_the_three_light_peers_are_here() -> None:
    assert set(PRESENT) >= {"random_search", "optuna_tpe", "cma_es"}


@every_peer
@pytest.mark.parametrize("space", [SPACE, ONE_MODEL], ids=["models", "one model"])
def test_the_start_comes_first_and_every_point_lies_in_the_cube(name: str, space: Space) -> None:
    asked = climb(make_peer(name, space, seed=1), 25)
    assert same(asked[:1], [space.point(7)])
    places, models = np.stack([p.places for p in asked]), {p.model for p in asked}
    assert places.min() >= 0.0 and places.max() <= 1.0
    assert models == set(range(len(space.models))) if space.models else models == {0}


@every_peer
def test_the_seed_decides(name: str) -> None:
    first, again, other = (climb(make_peer(name, SPACE, seed=seed), 20) for seed in (3, 3, 4))
    assert same(first, again)
    assert not same(first[1:], other[1:])


@every_peer
def test_a_smooth_hill_is_climbed(name: str) -> None:
    asked = climb(make_peer(name, SPACE, seed=0), 120)
    # A uniform draw lies within 0.3 of the top, in its model, with probability 0.09 pi / 3: all 120 miss once in 1e5.
    reach = 0.3 if name == "random_search" else 0.1
    assert max(hill(p) for p in asked) > -(reach**2)


def test_the_mean_of_cma_es_is_the_start_until_a_generation_is_over_and_then_nears_the_top() -> None:
    peer = make_peer("cma_es", ONE_MODEL, seed=0)
    mean = peer.mean()
    assert mean is not None and same([mean], [ONE_MODEL.point(7)])
    for _ in range(150):
        peer.tell(-float(np.square(peer.ask().places - np.array([0.7, 0.3])).sum()))
    mean = peer.mean()
    assert mean is not None
    np.testing.assert_allclose(mean.places, [0.7, 0.3], atol=0.02)


@pytest.mark.parametrize("name", [name for name in PRESENT if name != "cma_es"])
def test_peers_without_a_distribution_over_points_have_no_mean(name: str) -> None:
    assert make_peer(name, SPACE, seed=0).mean() is None


def test_a_wrong_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="got 'optuna_tpee', need one of .*; did you mean 'optuna_tpe'"):
        make_peer("optuna_tpee", SPACE, seed=0)


def test_one_legal_action_is_refused() -> None:
    alone = space_of(GRID, np.arange(GRID.size) == 7, 7)
    with pytest.raises(ValueError, match="one legal action, need at least two"):
        make_peer("random_search", alone, seed=0)


@pytest.mark.parametrize(
    ("name", "package", "mend"),
    [
        ("optuna_tpe", "optuna", "[peers]"),
        ("optuna_gp", "optuna", "[peers]"),
        ("cma_es", "cmaes", "[peers]"),
        ("optuna_gp", "torch", "[peers-gp]"),
    ],
)
def test_an_absent_package_is_refused_with_what_installs_it(
    name: str, package: str, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError) as caught:
        make_peer(name, SPACE, seed=0)
    assert f"peers: got {name!r}, need the package {package!r}, which is missing: pip install" in str(caught.value)
    assert mend in str(caught.value)


def test_no_package_is_needed_to_search_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("optuna", "cmaes", "torch"):
        monkeypatch.setitem(sys.modules, package, None)
    assert len(climb(make_peer("random_search", SPACE, seed=0), 5)) == 5
