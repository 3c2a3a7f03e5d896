"""The columns of the decision log, and what is derived from them."""

import hashlib

import numpy as np
import pytest

from envs.lattice import AXES
from evaluators.decisions import COLUMNS, prompt_hash, request_parameters, take_rows
from tests.examples import KEY, LEARNERS, run_policy, small_world


def test_column_names_follow_opentelemetry_or_carry_our_prefix() -> None:
    names = [column.name for column in COLUMNS.values()]
    assert len(set(names)) == len(names)
    assert all(name == "timestamp" or name.startswith(("guardband.", "gen_ai.")) for name in names)
    assert {f"gen_ai.request.{name}" for name in AXES} <= set(names)


def test_slot_and_behavior_are_those_of_the_draw() -> None:
    log = run_policy(LEARNERS["softmax shared"]).log
    rows = np.arange(len(log))
    assert np.array_equal(log.action_ids[rows, log.slot], log.action_id)
    assert np.array_equal(log.behavior[rows, log.slot], log.propensity)
    assert np.array_equal(log.behavior.sum(axis=1), np.ones(len(log)))
    below = np.where(log.slot > 0, np.cumsum(log.masses, axis=1)[rows, log.slot - 1], 0)
    assert np.all((below <= log.uniform) & (log.uniform < below + log.masses[rows, log.slot]))


def test_the_slot_skips_infeasible_slots_that_repeat_the_centre() -> None:
    log = run_policy(LEARNERS["fixed"], n_rounds=2).log
    assert not log.mask.all()  # the window reaches past the lattice, where ids repeat the centre's
    assert (log.action_ids == log.centre[:, None]).sum(axis=1).min() > 1
    assert np.all(log.mask[np.arange(2), log.slot])


def test_the_parameters_of_a_known_action_are_sent() -> None:
    grid = small_world().lattice
    action = grid.action_id({"temperature": "0.8", "max_tokens": "312", "top_p": "0.9"})
    columns = request_parameters(grid, np.array([action, 0], np.int32))
    assert {name: values[0] for name, values in columns.items()} == {
        "temperature": 0.8,
        "max_tokens": 312,
        "top_p": 0.9,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
    }
    assert columns["max_tokens"].dtype == np.int64


def test_rows_are_taken_from_every_column() -> None:
    log = run_policy(LEARNERS["uniform"], n_rounds=6).log
    part = take_rows(log, np.array([4, 1]))
    for name in COLUMNS:
        assert np.array_equal(getattr(part, name), getattr(log, name)[[4, 1]]), name


def test_the_prompt_hash_is_keyed_blake2b() -> None:
    wanted = hashlib.blake2b(b"a prompt", digest_size=16, key=KEY, person=b"guardband.prompt").hexdigest()
    assert prompt_hash("a prompt", KEY) == wanted
    assert len({prompt_hash("a prompt", KEY), prompt_hash("a prompt", KEY[::-1]), prompt_hash("", KEY)}) == 3


@pytest.mark.parametrize("key", [b"", b"short", b"x" * 65], ids=len)
def test_a_key_that_could_be_guessed_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match=f"has {len(key)} bytes, need 16 to 64"):
        prompt_hash("a prompt", key)
