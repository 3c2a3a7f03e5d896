"""What a run prints: claims at 80 columns, progress on a terminal and in a pipe."""

import io
from itertools import count
from pathlib import Path

import pytest
from rich.console import Console

from experiments.terminal import Progress, print_claims


def console(*, is_terminal=False, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return Console(file=file, width=80, force_terminal=is_terminal, color_system=None)


def written(console):
    console.file.seek(0)
    return console.file.read()


def clock():
    ticks = count()
    return lambda: float(next(ticks))


def test_claims_fit_80_columns_and_lose_no_word(summary):
    out = console()
    print_claims(summary, console=out)
    text = written(out)
    assert max(len(line) for line in text.splitlines()) <= 80
    for claim in summary.claims:
        for word in " ".join(claim[:4]).split():
            assert word in text
    assert [text.count(mark) for mark in "✓✗·"] == [2, 1, 1]


def test_verdict_stands_with_its_reasons_unaltered(summary):
    out = console()
    print_claims(summary, console=out)
    text = " ".join(written(out).split())
    assert "Verdict: refused" in text
    for reason in summary.reasons:
        assert reason in text


def test_square_brackets_are_text_not_markup(summary):
    claim = summary.claims[0]._replace(claim="bias [bold]in[/] range", interval="[0.1, 0.2]")
    out = console()
    print_claims(summary._replace(claims=(claim,), reasons=("in [red]words[/]",)), console=out)
    text = " ".join(written(out).split())
    assert "[bold]in[/]" in text
    assert "[0.1, 0.2]" in text
    assert "in [red]words[/]" in text


def test_a_terminal_without_unicode_gets_words_for_marks(summary):
    out = console(encoding="ascii")
    print_claims(summary, console=out)
    text = written(out)
    assert text.isascii()
    assert "NO" in text


def test_the_report_is_named_as_one_would_type_it(summary, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = console()
    print_claims(summary, report=tmp_path / "outputs" / "report.html", console=out)
    print_claims(summary, report=Path("/elsewhere") / "report.html", console=out)
    assert "Report:  outputs/report.html" in written(out)
    assert "Report:  /elsewhere/report.html" in written(out)


def test_a_pipe_gets_plain_lines_at_each_quarter_and_at_both_ends():
    out = console()
    with Progress(console=out, clock=clock()) as progress:
        with progress.stage("simulate", 8, unit="slabs") as advance:
            for _ in range(8):
                advance(1)
        with progress.stage("judge", 1, unit="logs") as advance:
            advance(1)
    assert written(out).splitlines() == [
        "simulate: 8 slabs",
        "simulate: 2/8 slabs",
        "simulate: 4/8 slabs",
        "simulate: 6/8 slabs",
        "simulate: 1.0 s",
        "judge: 1 logs",
        "judge: 1.0 s",
    ]
    assert progress.timings == {"simulate": 1.0, "judge": 1.0}


def test_a_terminal_gets_a_bar_with_the_count():
    out = console(is_terminal=True)
    with Progress(console=out) as progress, progress.stage("simulate", 8, unit="slabs") as advance:
        advance(8)
    text = written(out)
    assert "8/8" in text
    assert "slabs" in text
    assert set(progress.timings) == {"simulate"}


def test_a_stage_that_fails_is_timed_and_its_error_passes_through():
    progress = Progress(console=console(), clock=clock())
    with pytest.raises(KeyError), progress, progress.stage("simulate", 8):
        raise KeyError("inside")
    assert progress.timings == {"simulate": 1.0}


def test_a_stage_of_nothing_is_refused():
    progress = Progress(console=console())
    words = "stage 'judge' has 0 logs, need at least 1"
    with progress, pytest.raises(ValueError, match=words), progress.stage("judge", 0, unit="logs"):
        pass


def test_a_stage_run_twice_is_refused():
    progress = Progress(console=console())
    with progress, progress.stage("judge", 1):
        pass
    words = "stage 'judge' was already run"
    with progress, pytest.raises(ValueError, match=words), progress.stage("judge", 1):
        pass
