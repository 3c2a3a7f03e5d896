"""The small world's compiled programs, which several tests of the experiments share.

A program is compiled once a process: all tests use one lattice, one learner, one number of
rounds, seeds and rules, and vary numbers only.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from envs.drift import Params as DriftParams
from envs.randomness import Purpose
from envs.reward import RewardWeights
from envs.surfaces import llm_outcome
from envs.world import Scenario
from evaluators.gates import Params as GateParams
from experiments.convergence import PolicyRun, run_policies, train_plan
from experiments.frozen import Frozen, LogRows, draw_log, freeze, start_state
from experiments.gating import Gate, open_gate, side
from policies import approval
from policies.build import BoundedPolicy, bounded
from policies.learners import proximity, thompson
from tests.examples import LIMITS, WORLD

HORIZON, SEEDS = 10, 32
N_ROUNDS = (HORIZON + 20) * 2
LEARNER = thompson.Params(n_draws=16)
RULES = ("improve", "two_sample")
