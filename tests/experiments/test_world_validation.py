"""The command that draws every world under every drift."""

import numpy as np

from envs import presets
from experiments import world_validation
from experiments.draws import MEASURED, Agreement
from experiments.results import load_results, load_summary
from experiments.run import main
from experiments.world_validation import simulated_worlds


def test_all_worlds_but_recorded_ones_are_validated():
    assert set(simulated_worlds()) == set(presets.simulated()) >= {"flat_null", "hot_rise", "strong_f"}


def test_states_are_before_within_and_at_full_drift():
    swap, decay = (presets.components(name)[name] for name in ("version_swap", "decay"))
    assert world_validation._states(swap, 200) == (0, 100)
    assert world_validation._states(decay, 200) == (0, 121, 196)


def test_a_small_validation_holds_and_writes_its_claims(tmp_path):
    words = ("experiment.worlds=[flat_null]", "experiment.drifts=[none,price_change]", "experiment.draws=1000")
    assert main(["experiment=world_validation", *words, f"hydra.run.dir={tmp_path}", "strict=true"]) == 0
    summary, table = load_summary(tmp_path), load_results(tmp_path)
    assert [claim.holds for claim in summary.claims] == [True, True]
    assert "2 worlds and drift states" in summary.claims[0].claim
    assert set(table["rule"]) == {"none", "price_change"} and (table["n"] == 25_600).all()


def test_an_unknown_world_is_refused_by_name(tmp_path, capsys):
    words = ("experiment=world_validation", "experiment.worlds=[flat_nul]", f"hydra.run.dir={tmp_path}")
    assert main(words) == 2
    assert "experiment.worlds: got 'flat_nul', need some of" in capsys.readouterr().err


def test_the_claim_fails_where_a_part_is_off():
    case, z = world_validation._Case("w", "none", 0), 5.0
    ones = np.ones(len(MEASURED))
    off = Agreement(100, ones + z * 0.1, ones, 0.1 * ones)
    assert world_validation._agreement_claim([(case, off)]).holds is False
    assert world_validation._agreement_claim([(case, off._replace(drawn=off.exact))]).holds is True
