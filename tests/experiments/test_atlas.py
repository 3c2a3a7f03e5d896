"""The atlas: its page, its pictures and its table, of two small worlds."""

import numpy as np
import pytest

from experiments.atlas import sheets
from experiments.results import load_results, load_summary
from experiments.run import main
from tests import compiled


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("atlas")
    words = ("experiment=atlas", "experiment.worlds=[flat_null,satmath_rising]", "world=flat_null")
    assert main([*words, f"hydra.run.dir={place}", "strict=true"]) == 0
    return place


def test_the_folder_holds_what_the_summary_lists(folder):
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert files == set(load_summary(folder).files)
    assert {"atlas.html", "published.md", "figures/atlas.png"} <= files


def test_the_page_needs_no_network_and_shows_every_world(folder):
    page = (folder / "atlas.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 3  # flat_null has two task types
    assert "http://" not in page and "https://" not in page
    assert "none: all are equal" in page and "T 1.2, 612 tokens" in page
    assert "Published v simulated (11)" in page and "No published number is claimed." in page


def test_published_numbers_are_results_with_their_allowance(folder):
    table = load_results(folder)
    row = table[(table["measure"] == "published_quality") & (table["n"] == 0)].iloc[0]
    assert row["world"] == "satmath_rising" and row["lo"] < 0.74 < row["hi"]
    assert row["lo"] <= row["value"] <= row["hi"]


def test_maps_are_the_exact_means_of_a_task_type():
    here = compiled.world()
    sheet = sheets(here)[1]
    mine = here.population.task == 1
    flat = here.table()[mine].mean(axis=0)
    best = int(flat.argmax())
    assert sheet.best == tuple(here.lattice.decode(np.array([best]))[0][:2])
    np.testing.assert_allclose(sheet.value, (flat[here.baseline[1]], flat.max()), rtol=1e-12)
    for i, temperature in enumerate(sheet.temperature):
        named: dict[str, object] = {"temperature": f"{temperature:g}", "max_tokens": f"{sheet.max_tokens[2]:g}"}
        rest = {name: value for name, value in sheet.elsewhere.items() if name == "top_p"}
        assert sheet.maps["reward"][i, 2] == pytest.approx(flat[here.lattice.action_id(named | rest)])


def test_a_drift_shows_at_the_evaluation_asked_for():
    here = compiled.world("drifting")
    before, after = (sheets(here, t=t)[0].maps["quality"] for t in (0, 10))
    assert after.max() == pytest.approx(before.max() / 2, rel=0.05)


def test_an_unknown_world_is_refused_with_the_nearest(tmp_path, capsys):
    assert main(["experiment=atlas", "experiment.worlds=[satmath]", f"hydra.run.dir={tmp_path}"]) == 2
    assert "did you mean 'satmath_rising'?" in capsys.readouterr().err
