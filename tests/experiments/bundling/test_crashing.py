"""Kill -9 while a bundle is replaced, what a killed writer was at, and claims that can fail."""

import pytest

from experiments.bundling.crashing import Crashes, claims, crash, left_behind, measurements


@pytest.mark.parametrize(
    "made, wanted",
    [((), "between"), ((".draft-x/b/manifest.json",), "files"), ((".draft-x/b/a", ".draft-x/b/c"), "check"),
     ((".draft-x/",), "named")],
)  # fmt: skip
def test_what_is_left_tells_what_was_interrupted(tmp_path, made, wanted):
    for name in made:
        place = tmp_path / name
        place.mkdir(parents=True) if name.endswith("/") else place.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            place.write_bytes(b"x")
    assert left_behind(tmp_path, files=2) == wanted


def test_a_link_that_was_not_moved_is_told(tmp_path):
    (tmp_path / ".draft-current").symlink_to("somewhere")
    assert left_behind(tmp_path, files=2) == "link"


@pytest.mark.slow
def test_killed_writers_leave_one_whole_bundle(folders):
    found = crash(folders[:2], kills=6, seed=3)
    assert found.old + found.new == found.kills == sum(found.stages.values()) == 6
    assert found.broken == () and found.left[1] == 0
    assert [claim.holds for claim in claims(found)] == [None, True]  # six kills are not a hundred
    rows = {row.measure: row.value for row in measurements(found, "speed") if not row.task}
    assert rows["killed_broken"] == 0


@pytest.mark.slow
def test_a_program_that_fails_is_told_with_its_words(folders):
    with pytest.raises(RuntimeError, match="does not exist"):
        crash((folders[0], folders[1] / "nowhere"), kills=1, seed=0)


def test_claims_hold_at_a_hundred_and_fail_with_one_mixture_or_one_draft_left():
    good = Crashes(100, 60, 40, (), {"files": 50, "between": 50}, (3, 0))
    assert [claim.holds for claim in claims(good)] == [True, True]
    assert claims(good)[0].interval == ">= 97.0% at 95 %"  # 0.05 ** (1 / 100)
    torn = good._replace(new=39, broken=("manifest.json: is torn",))
    assert claims(torn)[0].holds is False and "is torn" in claims(torn)[0].measured
    strange = good._replace(broken=("abc is neither of the two",))
    assert claims(strange)[0].holds is False
    assert claims(good._replace(left=(3, 1)))[1].holds is False
    assert claims(good._replace(kills=99, old=59))[0].holds is None
