"""What the probe measures, in the process of the test."""

import json

from experiments.bundling.probe import asked, main, memory_mb, probe
from policies.bundle import DIGEST_ONLY, load


def test_loads_and_requests_are_timed_one_by_one(folders):
    found = probe(folders[0], folders[2], loads=2, requests=5)
    assert len(found["load_ns"]) == 2 and len(found["request_ns"]) == 5
    assert all(spent > 0 for spent in found["load_ns"])
    assert (found["window"], found["context"]) == (27, 12) and found["feasible"] <= 27


def test_requests_are_those_of_the_golden_cases_under_fresh_ids(folders, monkeypatch):
    held, seen = load(folders[0], trust=DIGEST_ONLY), []
    plain = type(held).recommend

    def spy(self, features, task_type, request_id, **rest):
        seen.append(request_id)
        return plain(self, features, task_type, request_id, **rest)

    monkeypatch.setattr(type(held), "recommend", spy)
    asked(held, 3)
    assert len(seen) == len(set(seen)) == 103


def test_memory_is_told_where_the_system_tells_it():
    found = memory_mb()
    assert not found or 1 < found["VmRSS"] <= found["VmHWM"]


def test_the_program_prints_json(folders, capsys):
    main([str(folders[0]), "-", "1", "0"])
    assert json.loads(capsys.readouterr().out)["request_ns"] == []
