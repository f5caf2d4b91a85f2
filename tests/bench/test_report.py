"""What people see and what is kept."""

import json
from pathlib import Path

from rich.console import Console

from bench.figures import COLUMNS, Goal, Row
from bench.report import machine, markdown, show, write_results

MET = Row("met", "ms", [1.0], (Goal(1.0, 2.0),))
MISSED = Row("missed", "ms", [3.0], (Goal(1.0, 2.0),))


def test_the_table_has_a_line_for_each_row_and_the_notes_below() -> None:
    console = Console(width=150, record=True, quiet=False)
    with console.capture() as shown:
        show(console, [MET, MISSED], ["measured in silence"])
    text = shown.get()
    lines = [line.split() for line in text.splitlines() if line.strip()]
    assert lines[0] == " ".join(COLUMNS).split()
    assert lines[2] == ["met", "[ms]", "1", "1.0", "1.0", "1.0", "-", "-", "-", "-", "max", "≤", "2", "yes"]
    assert lines[3] == ["missed", "[ms]", "1", "3.0", "3.0", "3.0", "-", "-", "-", "-", "max", "≤", "2", "NO"]
    assert text.rstrip().splitlines()[-2:] == ["measured in silence", "Missed: missed: max ≤ 2, measured 3."]


def test_the_file_says_whether_all_goals_were_met(tmp_path: Path) -> None:
    path = tmp_path / "results" / "latest.json"
    write_results(path, [MET, MISSED], {"machine": {"cpus": 2}})
    found = json.loads(path.read_text())
    assert found["met"] is False
    assert found["machine"] == {"cpus": 2}
    assert [row["what"] for row in found["rows"]] == ["met", "missed"]
    write_results(path, [MET], {})
    assert json.loads(path.read_text())["met"] is True
    assert [child.name for child in path.parent.iterdir()] == ["latest.json"]


def test_the_machine_is_named_without_its_user() -> None:
    facts = machine()
    assert set(facts) == {"date", "system", "processor", "cpus", "memory_gb", "python"}
    assert str(Path.home()) not in json.dumps(facts)


def test_a_document_gets_the_same_lines_without_the_dashes() -> None:
    head, marks, met, missed = markdown([MET.cells(), MISSED.cells()]).splitlines()
    assert head == f"| {' | '.join(COLUMNS)} |"
    assert marks.count("|") == head.count("|")
    assert met == "| met [ms] | 1 | 1.0 | 1.0 | 1.0 |  |  |  |  | max ≤ 2 | yes |"
    assert missed.endswith("| **no** |")
