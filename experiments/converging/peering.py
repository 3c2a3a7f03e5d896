"""Black-box optimisers as runs: their two recommendations stand where a policy's approved action does."""

import time
from collections.abc import Iterator

import numpy as np

from envs.randomness import Purpose
from experiments.converging.calling import Done
from experiments.converging.cases import Case, scenario_of
from experiments.converging.running import Run, Setting
from experiments.peers.search import search
from experiments.simulate import Plan
from policies.constraints import bounds

__all__ = ["OBSERVED", "POSTERIOR", "answer_peer"]

OBSERVED, POSTERIOR = "best observed", "posterior pick"  # rules, as tables name them


def answer_peer(name: str, case: Case, setting: Setting) -> Done:
    """One optimiser on one world; called in a process of its own."""
    began = time.process_time()
    return Done(list(_runs(name, case, setting)), time.process_time() - began)


def _runs(name: str, case: Case, setting: Setting) -> Iterator[Run]:
    scenario = scenario_of(case.where)
    names = scenario.population.names
    plan = Plan(setting.master_seed, Purpose.TRAIN, case.seeds, case.evaluations * len(names), setting.precision)
    limits = bounds(scenario.lattice, setting.constraints, recorded=scenario.recorded)
    found = search(name, scenario, plan, limits=limits)
    nothing = np.zeros((len(case.seeds), 3), np.int32)
    for k, task in enumerate(names):
        action, reward = found.action_id[:, k :: len(names)], found.reward[:, k :: len(names)]
        silent = np.full(action.shape, np.nan)
        for rule, centre in ((POSTERIOR, found.posterior[:, k]), (OBSERVED, found.observed[:, k])):
            yield Run(case.where, task, name, rule, centre, action, reward, centre, silent, nothing)
