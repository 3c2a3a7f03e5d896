"""The digest of a learned policy: equal bits, equal digest; one bit apart, another digest."""

import hashlib
import json

import jax.numpy as jnp
import numpy as np
import pytest

from policies.base import Spec
from policies.constraints import Params
from policies.digest import kind_of, leaves, numbers_of, policy_digest, policy_text
from policies.learners import fixed, thompson
from policies.linear import SharedState, SlotState
from tests.examples import LEARNERS, run_policy

RUN = run_policy(LEARNERS["thompson shared"])
PARAMS, STATE, SPEC = RUN.bounded.params.inner, RUN.state.inner, RUN.bounded.spec


def digest(params: object = PARAMS, *, state: object = STATE, spec: Spec = SPEC) -> str:
    return policy_digest(params, state=state, spec=spec)


def test_the_digest_is_the_sha256_of_the_canonical_text() -> None:
    text = policy_text(PARAMS, state=STATE, spec=SPEC)
    assert digest() == hashlib.sha256(text).hexdigest()
    assert set(json.loads(text)) == {"kind", "parameters", "spec", "state"}


@pytest.mark.parametrize("learner", LEARNERS)
def test_learning_again_from_the_same_seed_gives_the_same_digest(learner: str) -> None:
    first, again = (run_policy(LEARNERS[learner], n_rounds=6) for _ in range(2))
    digests = {policy_digest(r.bounded.params.inner, state=r.state.inner, spec=r.bounded.spec) for r in (first, again)}
    assert len(digests) == 1


def test_one_unit_in_the_last_place_changes_the_digest() -> None:
    theta = STATE.theta.copy()
    theta[3] = np.nextafter(theta[3], 1.0)
    others = {
        digest(state=STATE._replace(theta=theta)),
        digest(thompson.Params(n_draws=16, floor=np.nextafter(0.05, 1.0))),
        digest(spec=SPEC._replace(reservoir=17)),
        digest(state=STATE._replace(theta=np.where(theta == 0, -0.0, STATE.theta))),
    }
    assert digest() not in others
    assert len(others) >= 3


def test_library_and_width_of_the_arrays_do_not_matter() -> None:
    narrow = SharedState(*(np.asarray(leaf, np.float32) for leaf in STATE))
    wide = SharedState(*(leaf.astype(np.float64) for leaf in narrow))
    there = SharedState(*(jnp.asarray(leaf) for leaf in narrow))
    assert digest(state=narrow) == digest(state=wide) == digest(state=there)


def test_numbers_take_the_type_their_field_declares() -> None:
    assert repr(numbers_of(thompson.Params(floor=0))["floor"]) == "0.0"
    with pytest.raises(ValueError, match="prior_sd = nan, need a finite number"):
        numbers_of(thompson.Params(prior_sd=np.nan))


def test_a_learners_kind_is_its_file() -> None:
    assert [kind_of(params) for params in (fixed.Params(), thompson.Params())] == ["fixed", "thompson"]
    with pytest.raises(TypeError, match="policies.constraints.Params is no learner's Params"):
        kind_of(Params())


def test_states_that_no_learner_has_are_refused() -> None:
    assert leaves(()) == {}
    bad = STATE._replace(theta=np.where(np.arange(len(STATE.theta)) == 2, np.nan, STATE.theta))
    with pytest.raises(ValueError, match=r"state.theta\[2\] = nan, need a finite number \(1 of \d+\)"):
        leaves(bad)
    with pytest.raises(TypeError, match="state.key has dtype int64, need floats or integers of 32 bits"):
        leaves(SlotState(*[np.array([2**40])] * 5))
    with pytest.raises(TypeError, match="state is a dict, need a NamedTuple"):
        leaves({"theta": np.zeros(2)})
