"""A peer on a world: the rounds, contexts and noise of the compiled runs, answered in NumPy.

Each task type has a study of its own. Contexts are noise to a peer. Two recommendations are kept
at every evaluation: the best observed point, and the pick of a posterior (the snapped mean of CMA-ES;
else of a Gaussian process over the trials), the one that tables compare.
"""

from collections.abc import Mapping, Sequence
from time import process_time
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from numpy.typing import NDArray

from envs import traffic
from envs.feedback import Params as FeedbackParams
from envs.randomness import RoundNoise, episode_noise, sizes_of
from envs.world import Noise, Scenario
from experiments.convergence import at_clock
from experiments.peers.optimisers import make_peer
from experiments.peers.picks import first_scales, fitted, pick
from experiments.peers.space import Space, space_of
from experiments.simulate import Plan
from policies.constraints import Bounds, legal, start

__all__ = ["N_SEEDS", "Found", "Player", "Rounds", "noise_of", "play", "search"]

REFRESH = 10  # trials between two fits of the Gaussian process
N_SEEDS: Mapping[str, int] = {"random_search": 20, "optuna_tpe": 20, "cma_es": 20, "optuna_gp": 2}
Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


class Player(Protocol):
    """Who chooses the actions of one task type."""

    def standing(self) -> tuple[int, int]:
        """The actions recommended now: best observed, and by the posterior."""

    def ask(self) -> int:
        """The next action to try."""

    def tell(self, reward: float) -> None:
        """What it brought."""


class Rounds(NamedTuple):
    """One seed, (rounds,) each; recommendations are those before the round."""

    task: Ints
    action_id: Ints
    reward: Floats
    observed: Ints
    posterior: Ints


class Found(NamedTuple):
    """What a peer found, s seeds, T evaluations of each task type.

    Attributes:
        observed: (s, tasks, T) best observed action before each evaluation, as `Trajectory.centre`
            the approved one; the start before the first. A winner's curse: never compared.
        posterior: (s, tasks, T) likewise the posterior pick, which tables compare.
        task: (s, rounds) task type of each request.
        action_id: (s, rounds) what was tried.
        reward: (s, rounds) what it brought.
        cpu_seconds: (s,) CPU time of each seed, the world's share included.
    """

    observed: Ints
    posterior: Ints
    task: Ints
    action_id: Ints
    reward: Floats
    cpu_seconds: Floats


class _Study:
    """A peer on one task type, with its trials and what they recommend."""

    def __init__(self, name: str, space: Space, seed: int) -> None:
        self._space, self._peer, self._scales = space, make_peer(name, space, seed=seed), first_scales(space)
        self._ids: list[int] = []
        self._rewards: list[float] = []
        self._posterior = space.start

    def standing(self) -> tuple[int, int]:
        best = self._ids[int(np.argmax(self._rewards))] if self._ids else self._space.start
        return best, self._posterior

    def ask(self) -> int:
        self._asked = self._space.snap(self._peer.ask())
        return self._asked

    def tell(self, reward: float) -> None:
        self._peer.tell(reward)
        self._ids.append(self._asked)
        self._rewards.append(reward)
        mean = self._peer.mean()
        if mean is not None:
            self._posterior = self._space.snap(mean)
        elif len(self._ids) % REFRESH == 0:
            trials = np.array(self._ids, np.int32), np.array(self._rewards)
            self._scales = fitted(self._space, *trials, scales=self._scales)
            self._posterior = pick(self._space, *trials, scales=self._scales)


def noise_of(scenario: Scenario, plan: Plan, seed: int) -> RoundNoise:
    """All randomness of one seed's rounds as NumPy arrays, bit-equal to the compiled runs'."""
    source = (np.uint32(plan.master_seed), np.uint32(plan.purpose), np.int32(seed))
    sizes = sizes_of(scenario.world)
    drawn = episode_noise(*source, n_rounds=plan.n_rounds, sizes=sizes, dtype=plan.precision)
    return RoundNoise(*(jax.tree.map(np.asarray, leaf) for leaf in drawn))


def play(scenario: Scenario, noise: RoundNoise, players: Sequence[Player]) -> Rounds:
    """Rounds in NumPy: who asks, what is tried, what it brings.

    Args:
        scenario: the world.
        noise: of all rounds.
        players: one per task type.

    Raises:
        ValueError: a reward that is not finite, from which no peer can learn.
    """
    clock, rows = traffic.start(len(players)), []
    for r in range(len(noise.decision)):
        context = traffic.draw(scenario.traffic, clock, noise.context[r])
        player, now = players[int(context.task)], traffic.now(clock)
        observed, posterior = player.standing()
        action, some = np.int32(player.ask()), Noise(noise.outcome.uniform[r], noise.outcome.normal[r])
        reward = float(scenario.world.outcome(scenario.params, now, context, action, noise=some)[1])
        if not np.isfinite(reward):
            raise ValueError(f"round {r}: reward {reward} of action {action}, need a finite one; peers need answers")
        player.tell(reward)
        rows.append((context.task, action, reward, observed, posterior))
        clock = traffic.advance(clock, context.task)
    kinds = (np.int32, np.int32, np.float64, np.int32, np.int32)
    return Rounds(*(np.array(column, kind) for column, kind in zip(zip(*rows, strict=True), kinds, strict=True)))


def _seed_of(plan: Plan, seed: int, *, name: str, task: int) -> int:
    """The peer's own seed: another for every master seed, purpose, seed, task type and peer."""
    entropy = (plan.master_seed, int(plan.purpose), seed, task, *name.encode())
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def search(name: str, scenario: Scenario, plan: Plan, *, limits: Bounds) -> Found:
    """A peer on a world, every seed of a plan; the start is the scenario's baseline, which the peer is told.

    Args:
        name: one of `optimisers.PEERS`.
        scenario: the world.
        plan: seeds and rounds, as the compiled runs it is compared with: task types times T.
        limits: hard limits; the trust region is ignored.

    Raises:
        ConfigError: no peer of this name, or one whose packages are not installed.
        ValueError: a plan without seeds, or with feedback that is late or lost, which peers don't know.
    """
    if not plan.seeds or plan.n_rounds < 1:
        raise ValueError(f"the plan has {len(plan.seeds)} seeds and {plan.n_rounds} rounds, need at least one of each")
    if plan.feedback != FeedbackParams():
        raise ValueError("the plan's feedback is late or lost; peers ask and are told at once: feedback=immediate")
    allowed, homes = legal(scenario.lattice, limits), start(scenario.lattice, limits, scenario.baseline)
    spaces = [space_of(scenario.lattice, mine, int(home)) for mine, home in zip(allowed, homes, strict=True)]
    runs, seconds = [], []
    for seed in plan.seeds:
        began, drawn = process_time(), noise_of(scenario, plan, seed)
        studies = [_Study(name, space, _seed_of(plan, seed, name=name, task=k)) for k, space in enumerate(spaces)]
        runs.append(play(scenario, drawn, studies))
        seconds.append(process_time() - began)
    stacked = Rounds(*(np.stack(column) for column in zip(*runs, strict=True)))
    observed, posterior = (_by_type(x, stacked.task, homes) for x in (stacked.observed, stacked.posterior))
    return Found(observed, posterior, stacked.task, stacked.action_id, stacked.reward, np.array(seconds))


def _by_type(values: Ints, task: Ints, homes: Ints) -> Any:
    """(s, rounds) ids as (s, tasks, T); the start where a task type was never asked for."""
    held = at_clock(values, task, len(homes))
    return np.where(np.isnan(held), homes[None, :, None], held).astype(np.int32)
