"""The report: one file, no request to elsewhere, verdict first, remade from its folder."""

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from experiments.report import DRAWINGS, main, render, write_report
from experiments.wording import CAVEATS, READING, WORDS

CONFIG = "horizon: 200\nseeds: 256\nworld:\n  name: gsm8k_small\n"


class Page(HTMLParser):
    """Text outside scripts and styles, and every attribute that could fetch something."""

    def __init__(self, page):
        super().__init__()
        self.words: list[str] = []
        self.fetches: list[object] = []
        self.links: list[str | None] = []
        self._hidden = 0
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self._hidden += tag in ("script", "style")
        found = dict(attrs)
        if tag in ("link", "iframe", "object", "embed", "base") or "src" in found:
            self.fetches.append((tag, found))
        if tag == "a":
            self.links.append(found["href"])

    def handle_endtag(self, tag):
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)


@pytest.fixture(scope="module")
def source(table, summary):
    return render(table, summary, config=CONFIG, run_name="2025-11-23_08-30-00")


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def specs_of(source):
    (text,) = re.findall(r'<script type="application/json" id="specs">(.*?)</script>', source, re.S)
    return json.loads(text)


def test_nothing_is_fetched_from_anywhere(source, page):
    assert page.fetches == []
    assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", source)
    assert "default-src 'none'" in source
    assert "http" not in json.dumps(specs_of(source))


def test_links_stay_in_the_page_and_in_the_run_folder(page, summary):
    assert {link for link in page.links if not link.startswith("#")} == set(summary.files)


def test_the_chart_runtime_is_there_once_and_the_file_is_small(source):
    assert source.count("window.vegaEmbed=") == 1
    assert len(source.encode()) < 1_500_000


def test_it_begins_with_the_verdict_and_its_reasons(page, summary):
    parts = [f"Verdict: {summary.verdict}", *summary.reasons, "required claims hold"]
    parts += [summary.claims[0].claim, "Settings", "Mean cumulative regret", CAVEATS[0]]
    order = [page.text.index(part) for part in parts]
    assert order == sorted(order)


def test_every_claim_is_written_with_its_mark(page, summary):
    for claim in summary.claims:
        for text in claim[:4]:
            assert text in page.text
    assert (page.text.count("✓ yes"), page.text.count("✗ no")) == (2, 1)
    assert "2 of 3 required claims hold (1 reported without a requirement)" in page.text


def test_settings_versions_and_times_of_the_run_are_written(page, summary):
    for text in ("horizon 200", "seeds 256", "simulate 5.2 s", "numpy 2.4.6", CONFIG.split()[-1]):
        assert text in page.text


def test_definitions_and_caveats_are_written_out(page):
    for words in (*WORDS, *WORDS.values(), *CAVEATS):
        assert words in page.text


def test_every_chart_has_its_place_and_a_sentence_on_reading_it(source, page):
    places = re.findall(r'data-spec="([^"]+)"', source)
    assert places == list(specs_of(source))
    assert [place.rsplit("-", 1)[0] for place in places] == list(DRAWINGS)
    for title, how_to_read in READING.values():
        assert title in page.text
        assert how_to_read in page.text


def test_the_same_run_gives_the_same_page(table, summary, source):
    assert render(table, summary, config=CONFIG, run_name="2025-11-23_08-30-00") == source


def test_what_was_not_measured_has_no_chapter(table, summary):
    speed = table[table["section"] == "speed"]
    source = render(speed, summary, config=CONFIG, run_name="x")
    assert specs_of(source) == {}
    assert 'id="speed"' in source
    assert 'id="gate"' not in source
    assert "decisions_per_second gsm8k_small 310,000" in Page(source).text


def test_two_worlds_get_a_chart_each_under_their_names(table, summary):
    ope = table[table["section"] == "ope"]
    twice = pd.concat([ope, ope.assign(world="flat_null")])
    both = render(twice, summary, config=CONFIG, run_name="x")
    assert "Estimates against the exact value (gsm8k_small)" in both
    assert "Estimates against the exact value (flat_null)" in both
    assert len(specs_of(both)) == 4


def test_hostile_names_stay_text(table, summary):
    name = "</script><script>alert(1)</script>"
    gate = table[table["section"] == "gate"].replace({"policy": {"thompson": name}})
    source = render(gate, summary._replace(reasons=(name,)), config="a: '<b>'", run_name="<i>")
    assert "<script>alert" not in source
    (rows,) = specs_of(source)["gate-0"]["datasets"].values()
    assert name in {row["policy"] for row in rows}


def test_it_is_remade_from_its_folder_alone(run_dir, capsys):
    assert main([str(run_dir)]) == 0
    first = (run_dir / "report.html").read_bytes()
    assert capsys.readouterr().out.strip() == str(run_dir / "report.html")
    (run_dir / "report.html").unlink()
    assert write_report(run_dir).read_bytes() == first
    assert not list(run_dir.glob("*.partial"))


@pytest.mark.parametrize("name", ["results.parquet", "summary.json", "config.yaml"])
def test_an_unfinished_folder_is_refused_in_one_line(run_dir, capsys, name):
    (run_dir / name).unlink()
    assert main([str(run_dir)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("no report: ")
    assert name in error
    assert error.count("\n") == 1


def test_a_configuration_that_is_no_mapping_is_refused(table, summary):
    with pytest.raises(ValueError, match="config.yaml holds a ListConfig, need a mapping"):
        render(table, summary, config="- 1\n- 2\n", run_name="x")
