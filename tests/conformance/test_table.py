"""Judging what a script reported, and the table in docs/clients.md."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from conformance.clients import CLIENTS, LOCKS, Client, Language
from conformance.errors import ConformanceError
from conformance.table import END, START, STEPS, Outcome, locked_version, outcome, placed, table

DOCUMENT = Path(__file__).parents[2] / "docs" / "clients.md"
PYTHON = Client("some", Language.PYTHON, "some-client")
NODE = Client("other", Language.NODE, "@scope/other")
OLD = Client("some-old", Language.PYTHON, "some-client", speaks="beta", shares="some")
ALL = {"passed": list(STEPS), "error": None}


def line(**report: object) -> str:
    return json.dumps(ALL | report)


@pytest.mark.parametrize(
    ("printed", "ended", "passed", "reason"),
    [
        (line(), None, STEPS, None),
        (f"noise\n{{\n{line()}\nbye\n", None, STEPS, None),
        (f"{line(passed=[])}\n{line()}", None, STEPS, None),
        (line(), "The script ended with 3: x", STEPS, "The script ended with 3: x"),
        (line(error="a\n  b"), None, STEPS, "a b"),
        (line(passed=["connect", "interrupt"]), None, ("connect", "interrupt"), "Not reached: answer, second turn."),
        (line(passed=["connect", "flight"]), "gone", ("connect",), "gone"),
        ("", None, (), "The script ended without a report."),
        ('{"passed": 4}\n[1]', "gone", (), "gone"),
    ],
)
def test_a_report_is_judged(printed: str, ended: str | None, passed: tuple[str, ...], reason: str | None) -> None:
    row = outcome(PYTHON, "1", printed, ended)
    assert (row.passed, row.reason, row.green) == (passed, reason, reason is None)


@given(
    passed=st.lists(st.sampled_from(STEPS)), error=st.none() | st.text(min_size=1), ended=st.none() | st.just("gone")
)
def test_a_row_is_green_only_when_everything_went_well(passed: list[str], error: str | None, ended: str | None) -> None:
    row = outcome(PYTHON, "1", json.dumps({"passed": passed, "error": error}), ended)
    assert row.green == (set(passed) == set(STEPS) and error is None and ended is None)


def test_the_table_shows_what_did_not_pass() -> None:
    rows = [
        Outcome(PYTHON, "1.2", STEPS, None),
        Outcome(NODE, "3", STEPS[:2], "gone"),
        Outcome(OLD, "1.2", STEPS, None),
    ]
    assert table(rows).splitlines() == [
        "| client | version | connect | answer | interrupt | second turn |",
        "|---|---|---|---|---|---|",
        "| some-client (Python) | 1.2 | yes | yes | yes | yes |",
        "| @scope/other (Node) | 3 | yes | yes | **no** | **no** |",
        "| some-client (Python, beta) | 1.2 | yes | yes | yes | yes |",
    ]


def test_the_version_is_the_locks() -> None:
    lock = "some-client-api==7.0 \\\n    --hash=sha256:0\nsome-client[realtime]==1.2.3 \\\n    --hash=sha256:0\n"
    assert locked_version(PYTHON, lock) == "1.2.3"
    assert locked_version(NODE, '{"packages": {"node_modules/@scope/other": {"version": "4.5"}}}') == "4.5"
    for client, empty in ((PYTHON, "x==1 \\\n"), (NODE, '{"packages": {}}')):
        with pytest.raises(ConformanceError, match="make lock"):
            locked_version(client, empty)


def test_the_table_is_placed_between_its_marks_and_nowhere_else() -> None:
    document = f"before\n{START}\nold\nolder\n{END}\nafter\n"
    once = placed(document, "new\n")
    assert once == f"before\n{START}\nnew\n{END}\nafter\n"
    assert placed(once, "new\n") == once


@pytest.mark.parametrize("document", ["", START, END, f"{END}\n{START}", f"{START}{START}{END}", f"{START}{END}{END}"])
def test_a_document_without_its_marks_is_refused(document: str) -> None:
    with pytest.raises(BenchError, match="each once"):
        placed(document, "new\n")


def test_the_document_shows_every_client_in_the_version_of_its_lock() -> None:
    rows = re.findall(r"^\| (\S+ \([\w, ]+\)) \| (\d\S+) \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert rows == [(client.title, locked_version(client, client.lock.read_text("utf-8"))) for client in CLIENTS], (
        "run make conformance ARGS=--write"
    )


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_each_client_is_locked_to_the_hash(client: Client) -> None:
    lock = client.lock.read_text("utf-8")
    if client.language is Language.PYTHON:
        wanted = (LOCKS / f"{client.environment}.in").read_text("utf-8")
        assert wanted.startswith(client.package)
        packages = [text for text in lock.splitlines() if "==" in text and not text.lstrip().startswith("#")]
        assert packages
        assert all(text.endswith("\\") for text in packages)
    else:
        packages = json.loads(lock)["packages"]
        assert client.package in packages[""]["dependencies"]
        assert all("integrity" in package for path, package in packages.items() if path)


def test_nothing_is_locked_or_written_for_a_client_that_is_not_run() -> None:
    assert {path.stem for path in LOCKS.iterdir()} == {client.environment for client in CLIENTS}
    scripts = {client.script for client in CLIENTS}
    helpers = {"__init__.py", "talk.py", "talk.mjs"}
    beside = {path for path in next(iter(scripts)).parent.iterdir() if path.is_file()}
    assert {path.name for path in beside - scripts} == helpers
    assert scripts <= beside
