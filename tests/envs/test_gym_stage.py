"""What both environments share: checked actions, delivery in both engines, a cached truth, one sentence a round."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import feedback as mail
from envs.drift import Params as DriftParams
from envs.gym_noise import own_jax
from envs.gym_stage import Mailbox, Oracle, Played, Settings, Stage, deliver, stage
from envs.oracle import best_of_contexts
from envs.surfaces import llm_outcome
from envs.world import Scenario
from tests import compiled

MODES = ("ansi",)


def made(preset: str | Scenario, *, coordinates: bool = False) -> Stage:
    return stage(Settings(preset, coordinates=coordinates), MODES)


def test_a_reward_sent_with_a_known_delay_arrives_then() -> None:
    # mean_delay 1: decay 1/2, so a delay is floor(log(1 - u) / log(1/2)): u = 0.8 -> 2, u = 0.6 -> 1, u = 0.1 -> 0
    post = mail.Params(mean_delay=1.0, max_delay=4, max_arrivals=2)
    form, fates = mail.spec(post), mail.leaves(post)
    box = Mailbox(mail.empty(form), np.zeros(form.rows))
    came = []
    for now, u in enumerate([0.8, 0.6, 0.1, 0.9]):
        box, arrived = deliver(
            form, fates, box, now=np.int32(now), uniform=np.array([0.5, u, 0.0]), reward=np.float64(now + 10)
        )
        came.append((arrived.rounds.tolist(), arrived.rewards.tolist(), int(arrived.pending)))
    # round 2: rewards 0, 1 and 2 are due, and two fit
    assert came == [([-1, -1], [0, 0], 1), ([-1, -1], [0, 0], 2), ([0, 1], [10, 11], 1), ([2, -1], [12, 0], 1)]


@pytest.mark.parametrize("name", ["late", "lost"])
def test_both_engines_deliver_the_same(name: str) -> None:
    late = mail.Params(mean_delay=3.0, missing=0.1, duplicated=0.3, deduplicate=False, max_delay=6, max_arrivals=2)
    post = {"late": late, "lost": mail.Params(missing=0.5)}[name]
    form, fates, rng = mail.spec(post), mail.leaves(post), np.random.default_rng(0)
    mine = Mailbox(mail.empty(form), np.zeros(form.rows))
    with own_jax():
        theirs = jax.tree.map(jnp.asarray, mine)
        run = jax.jit(lambda box, now, u, r: deliver(form, fates, box, now=now, uniform=u, reward=r))
        for now in range(40):
            uniform, reward = rng.random(3), np.float64(rng.normal())
            mine, one = deliver(form, fates, mine, now=np.int32(now), uniform=uniform, reward=reward)
            theirs, two = run(theirs, np.int32(now), uniform, reward)
            for a, b in zip(jax.tree.leaves((mine, one)), jax.tree.leaves((theirs, two)), strict=True):
                np.testing.assert_array_equal(a, np.asarray(b))


def test_the_oracle_scans_once_for_a_context_and_a_state_of_the_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    season = DriftParams(shape="season", duration=8, quality_factor=0.5)
    scenario = llm_outcome.build(compiled.PARAMS, drift=(season, DriftParams(onset=3, task_mix=0.5)))
    truth, best = Oracle(scenario), {t: best_of_contexts(scenario, t=t).value for t in range(9)}
    for t in range(9):
        for index in (0, 20):
            assert truth.best(t, index) == pytest.approx(best[t][index], abs=1e-14)
    # a season of 8 evaluations rises and falls through 5 heights; the moving mix changes no context's best
    assert len(truth._known) == 2 * 5
    assert truth.best(4, 0) < truth.best(0, 0)


def test_ids_are_checked_for_every_request_that_is_looked_at() -> None:
    here = made(compiled.world())
    assert here.ids(np.array([3, -9]), np.array([0, -1])).tolist() == [3, 0]
    with pytest.raises(ValueError, match="action -9 lies outside the grid"):
        here.ids(np.array([3, -9]), np.array([0, 1]))
    points = compiled.world().lattice.decode(np.array([5, 140]))
    assert made(compiled.world(), coordinates=True).ids(points, np.array([0, 1])).tolist() == [5, 140]


def test_a_sentence_names_the_point_what_it_brought_and_what_moves() -> None:
    here = made(compiled.world("drifting"))
    said = here.sentence(Played(1, 4, 4, 0, 0.5, 0.25, 0.3, None, 2))
    assert said == (
        "long, evaluation 4: temperature 0.6, max_tokens 112, top_p 0.8 -> "
        "quality 0.50, reward 0.250 (expected 0.300); drift component 0 1.00"
    )
    assert here.drifting(3) == {} and here.drifting(4) == {"component 0": 1.0}


def test_a_models_name_stands_in_the_sentence() -> None:
    here = made("gpqa_models")
    models = here.scenario.lattice.axes[-1].values
    said = here.sentence(Played(0, 0, 0, len(models) - 1, 1.0, 1.0, 1.0, 1.0, 0))
    assert f", {models[-1]} -> " in said or f": {models[-1]} -> " in said
