"""The peers: random search, Optuna's TPE and GP samplers, and CMA-ES, each as ask and tell.

Every peer knows the start and proposes it first. Defaults are the packages' own; what is ours is
said at its place. Optuna and cmaes come with the extra [peers]; Optuna's GP sampler needs torch too.
Source: Bergstra et al. (2011) and Watanabe (2023) for TPE; Hansen (2016) for CMA-ES.
"""

from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from envs.targets import nearest, refuse
from experiments.peers.space import Point, Space

__all__ = ["PEERS", "Peer", "make_peer", "missing"]

# The packages of each peer, and what installs them.
_EXTRA = "pip install -e '.[peers]'"
_NEEDS = {
    "random_search": (),
    "optuna_tpe": (("optuna", _EXTRA),),
    "optuna_gp": (("optuna", _EXTRA), ("torch", "pip install -e '.[peers-gp]' (any CPU build of torch will do)")),
    "cma_es": (("cmaes", _EXTRA),),
}
PEERS = tuple(_NEEDS)
SIGMA = 0.25  # of CMA-ES at the start: a quarter of the cube, as its author advises where bounds are known


class Peer(Protocol):
    """A black-box optimiser of one task type; stateful, as the packages are."""

    def ask(self) -> Point:
        """The next point to try; the start at first."""

    def tell(self, reward: float) -> None:
        """What the point that was asked for last has brought."""

    def mean(self) -> Point | None:
        """The mean of the peer's own distribution over points, None where it has none."""


class _Random:
    """Places and models drawn uniformly."""

    def __init__(self, space: Space, seed: int) -> None:
        self._rng, self._space, self._is_first = np.random.default_rng(seed), space, True

    def ask(self) -> Point:
        drawn = Point(self._rng.random(len(self._space.axes)), int(self._rng.integers(len(self._space.models) or 1)))
        first, self._is_first = self._is_first, False
        return self._space.point(self._space.start) if first else drawn

    def tell(self, reward: float) -> None:
        pass

    def mean(self) -> Point | None:
        return None


class _Optuna:
    """An Optuna study with the start enqueued; it is told the places it asked for, the world plays the snapped ones."""

    def __init__(self, space: Space, sampler: Any) -> None:
        import optuna  # optional: the extra [peers]

        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it logs every trial
        self._axes, self._models, start = space.axes, space.models, space.point(space.start)
        self._kinds: dict[str, Any] = {name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in space.axes}
        first: dict[str, Any] = dict(zip(space.axes, start.places.tolist(), strict=True))
        if space.models:
            self._kinds["model"] = optuna.distributions.CategoricalDistribution(space.models)
            first["model"] = space.models[start.model]
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._study.enqueue_trial(first)

    def ask(self) -> Point:
        self._trial = self._study.ask(self._kinds)
        asked = self._trial.params
        model = self._models.index(asked["model"]) if self._models else 0
        return Point(np.array([asked[name] for name in self._axes]), model)

    def tell(self, reward: float) -> None:
        self._study.tell(self._trial, reward)

    def mean(self) -> Point | None:
        return None


class _Cma:
    """CMA-ES in the cube from the start on, one more coordinate for each model: the largest is chosen."""

    def __init__(self, space: Space, seed: int) -> None:
        import cmaes  # optional: the extra [peers]

        self._start, self._d, n_models = space.point(space.start), len(space.axes), len(space.models)
        scores = 0.5 + 0.25 * (np.arange(n_models) == self._start.model)
        size = self._d + n_models
        bounds = np.tile([0.0, 1.0], (size, 1))
        centre = np.clip(
            np.concatenate([self._start.places, scores]), 0.01, 0.99
        )  # off the faces: half the draws are redrawn there
        self._search = cmaes.CMA(centre, SIGMA, bounds=bounds, seed=seed)
        self._asked: Any = None
        self._told: list[tuple[Any, float]] = []

    def ask(self) -> Point:
        if self._asked is None:
            return self._start
        return self._point(self._asked)

    def tell(self, reward: float) -> None:
        if self._asked is not None:
            self._told.append((self._asked, -reward))
        if len(self._told) == self._search.population_size:
            self._search.tell(self._told)
            self._told = []
        self._asked = self._search.ask()

    def mean(self) -> Point | None:
        return self._point(self._search.mean) if self._search.generation else self._start

    def _point(self, coordinates: Any) -> Point:
        scores = coordinates[self._d :]
        return Point(np.asarray(coordinates[: self._d]), int(np.argmax(scores)) if scores.size else 0)


def missing(name: str) -> str:
    """Why a peer cannot run here, in words with the mend; empty where it can.

    Raises:
        ConfigError: no peer of this name.

    >>> missing("random_search")
    ''
    """
    if name not in _NEEDS:
        raise refuse("peers", name, f"one of {', '.join(PEERS)}{nearest(name, PEERS)}")
    absent = [(package, mend) for package, mend in _NEEDS[name] if find_spec(package) is None]
    return f"the package {absent[0][0]!r}, which is missing: {absent[0][1]}" if absent else ""


def make_peer(name: str, space: Space, *, seed: int) -> Peer:
    """A peer on a space, before its first point.

    Args:
        name: one of `PEERS`.
        space: what it searches.
        seed: of everything it draws, 0..2^32-1.

    Raises:
        ConfigError: no peer of this name, or one whose packages are not installed.
        ValueError: a space with nothing to choose.
    """
    if lacking := missing(name):
        raise refuse("peers", name, lacking)
    if len(space.ids) < 2:
        raise ValueError("the hard limits leave one legal action, need at least two for a search; widen constraints")
    if name == "random_search":
        return _Random(space, seed)
    if name == "cma_es":
        return _Cma(space, seed)
    from optuna import samplers  # optional: the extra [peers]

    make = samplers.TPESampler if name == "optuna_tpe" else samplers.GPSampler
    return _Optuna(space, make(seed=seed))
