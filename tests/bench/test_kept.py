"""The results of parts, kept as each was measured last."""

import json
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.figures import Goal, Row
from bench.kept import END, START, Kept
from bench.parts import PARTS, Found

GOOD = Found([Row("good", "ms", [1.0], (Goal(1.0, 2.0),))], ["a note"])
BAD = Found([Row("bad", "ms", [3.0], (Goal(1.0, 2.0),))])


def test_a_part_replaces_itself_and_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    Kept(path, quick=False).put("http", BAD, {"took_s": 1.0})
    Kept(path, quick=False).put("start", BAD, {})
    again = Kept(path, quick=False)
    again.put("http", GOOD, {"took_s": 2.0})
    found = json.loads(path.read_text(encoding="utf-8"))
    assert {name: part["met"] for name, part in found["parts"].items()} == {"http": True, "start": False}
    assert (found["parts"]["http"]["took_s"], found["parts"]["http"]["notes"]) == (2.0, ["a note"])


def test_a_short_run_and_a_full_one_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "latest.json"
    Kept(path, quick=False).put("http", GOOD, {})
    Kept(path, quick=True).put("start", GOOD, {})
    assert list(json.loads(path.read_text(encoding="utf-8"))["parts"]) == ["start"]


def test_all_is_met_when_every_part_was_measured_and_is(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "latest.json", quick=False)
    for name in reversed(PARTS):
        assert not kept.is_met
        kept.put(name, GOOD, {})
    assert kept.is_met
    assert list(json.loads((tmp_path / "latest.json").read_text(encoding="utf-8"))["parts"]) == list(PARTS)
    kept.put("http", BAD, {})
    assert not kept.is_met


def test_the_document_gets_the_table_of_all_parts_or_none(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text(f"before\n{START}\nold\n{END}\nafter\n", encoding="utf-8")
    kept = Kept(tmp_path / "latest.json", quick=False)
    kept.put("http", GOOD, {})
    with pytest.raises(BenchError, match="not measured: hand-off, "):
        kept.write_into(document)
    for name in PARTS:
        kept.put(name, GOOD, {})
    kept.write_into(document)
    text = document.read_text(encoding="utf-8")
    assert text.count("| good [ms] |") == len(PARTS)
    assert text.startswith(f"before\n{START}\n| what |")
    assert text.endswith(f"|\n{END}\nafter\n")
