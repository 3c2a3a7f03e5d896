"""Parts of the laboratory run only if they have a size, and hand on what they found."""

import pytest

from experiments.certifying import laboratory
from experiments.certifying.laboratory import Parts, certify
from experiments.measurement import Measurement
from experiments.results import Claim
from experiments.terminal import Progress

NONE = {
    name: 0
    for name in (
        "pool_logs", "bound_logs", "switch_logs", "sequence_runs", "adaptive_logs", "adaptive_context_logs",
    )
}  # fmt: skip
CALLED = {
    "pool_logs": "_coverage",
    "bound_logs": "_gate",
    "switch_logs": "_switch",
    "sequence_runs": "certify_sequences",
    "adaptive_logs": "certify_adaptive_logs",
    "adaptive_context_logs": "certify_adaptive_contexts",
}


def test_without_sizes_nothing_is_measured_or_claimed() -> None:
    with Progress() as progress:
        assert certify(Parts(**NONE), seed=0, progress=progress) == ([], [])


@pytest.mark.parametrize("part", CALLED)
def test_a_part_with_a_size_is_run_alone_and_its_findings_are_handed_on(part, monkeypatch) -> None:
    row = Measurement(section="ope", measure="found", value=1.0)
    claim = Claim("one", "1", "1", "exact", True)
    for each, function in CALLED.items():
        found = ([row], [claim]) if each == part else AssertionError(f"{each} has no size")

        def answer(*_, found=found):
            if isinstance(found, AssertionError):
                raise found
            return found

        monkeypatch.setattr(laboratory, function, answer)
    with Progress() as progress:
        assert certify(Parts(**(NONE | {part: 3})), seed=0, progress=progress) == ([row], [claim])
