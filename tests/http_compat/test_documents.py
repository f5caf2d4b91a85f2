"""docs/http-compat.md and the documentation of the server it follows: compared with the code, or simply done."""

import ast
import base64
import json
import re
import subprocess
import wave
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import requests
from fastapi import FastAPI

from duplex.engine.limits import EngineLimits
from duplex.errors import OmniDuplexError
from http_compat import body, decode, registry, reply, rhythm, takeover, uploads
from http_compat.decoders import DecodeLimits, Decoders
from http_compat.errors import STATUSES
from http_compat.frames import MOST_KEPT_FRAMES
from http_compat.health import Health
from http_compat.routes import HttpService, make_router
from http_compat.schemas import InitRequest, PrefillRequest
from http_compat.session_limits import SessionLimits
from http_compat.sse import break_event, chunk_event, done_event, error_event, listen_event, turn_done_event
from tests.http_compat.node import Node, running_node
from tests.http_compat.test_sessions import HandClock, house
from tests.speech import silence, speech
from tests.test_readme import ROOT, code, document, section, table

DOCUMENT = document("http-compat")
TEXT = " ".join(DOCUMENT.split())
DEFECTS = table(DOCUMENT, "#")
LIMITS = SessionLimits()
DECODING = DecodeLimits()


# --- what was wrong


@cache
def names_in(path: str) -> set[str]:
    """The names of the test functions in a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def test_there_are_48_defects_in_order() -> None:
    assert [row[0] for row in DEFECTS] == [str(number) for number in range(1, 49)]


@pytest.mark.parametrize("row", DEFECTS, ids=lambda row: row[0])
def test_every_defect_is_shown_gone_by_tests_that_exist(row: list[str]) -> None:
    _, wrong, done, shown_by = row
    assert wrong
    assert done
    tests = [test.partition("::") for test in code(shown_by)]
    assert tests
    for path, _, name in tests:
        assert name in names_in(path), f"{path}::{name}"


# --- tables


def test_the_statuses_are_those_of_the_code() -> None:
    rows = [(int(status), *code(error)) for status, error, _ in table(DOCUMENT, "status")]
    assert len(set(rows)) == len(rows)
    assert set(rows) == {(status, error.__name__) for error, status in STATUSES.items()}


def test_every_error_that_can_be_raised_has_a_status() -> None:
    leaves: set[type[OmniDuplexError]] = set()
    branches: list[type[OmniDuplexError]] = [OmniDuplexError]
    while branches:
        error = branches.pop()
        below = [one for one in error.__subclasses__() if one.__module__ == "duplex.errors"]
        branches += below
        leaves |= set() if below else {error}
    assert leaves == set(STATUSES)


async def test_the_routes_are_those_of_the_router() -> None:
    app = FastAPI()
    async with house() as (_, sessions):
        health = Health("healthy", "")
        service = HttpService(
            sessions=sessions,
            decoders=Decoders(),
            health=lambda: health,
            check_access=lambda _: None,
            clock=HandClock(),
        )
        app.include_router(make_router(service))
    routes = {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}
    assert {code(row[0])[0] for row in table(DOCUMENT, "route")} == routes


@pytest.mark.parametrize(
    ("heading", "schema"),
    [("### `/omni/init_sys_prompt`", InitRequest), ("### `/omni/streaming_prefill`", PrefillRequest)],
)
def test_the_fields_are_those_of_the_schema(heading: str, schema: type[InitRequest] | type[PrefillRequest]) -> None:
    rows = table(section(DOCUMENT, heading), "field")
    names = [name for row in rows for name in code(row[0])]
    assert len(set(names)) == len(names)
    assert set(names) == set(schema.model_fields)


@pytest.mark.parametrize(
    ("row", "limit"),
    [
        ("a request's body", f"{body.LARGEST_BODY_BYTES // 2**20} MiB"),
        ("the time it may take", f"{body._READ_WITHIN_S:.0f} s"),
        (
            "one sound",
            f"{uploads.LONGEST_AUDIO_S} s, {decode._MOST_CHANNELS} channels, {decode._HIGHEST_RATE_HZ // 1000} kHz",
        ),
        ("one picture", f"{uploads.MOST_PIXELS // 10**6} megapixels, {uploads.LONGEST_SIDE} pixels a side"),
        ("decoded at once", f"{DECODING.processes}, {DECODING.memory_bytes // 2**30} GiB each"),
        ("decoding one", f"{DECODING.item_s:g} s"),
        ("wait to be decoded", f"{DECODING.items}"),
        ("in line", f"{LIMITS.waiting_requests}"),
        ("a slow client", f"{reply.LONGEST_WAITING_S:.0f} s"),
        ("kept pictures", f"{MOST_KEPT_FRAMES}"),
    ],
)
def test_the_limit_is_the_one_of_the_code(row: str, limit: str) -> None:
    (cells,) = [cells for cells in table(DOCUMENT, "what") if row in cells[0]]
    assert cells[1] == limit


def test_the_times_in_the_text_are_those_of_the_code() -> None:
    registrar = registry.RegistrarLimits()
    for sentence in (
        f"up to {LIMITS.tail_s:g} s in simplex",
        f"up to {LIMITS.pair_s:g} s when nothing came",
        f"After {rhythm._NEXT_SECOND_S:g} s without a request",
        f"at most {LIMITS.silent_steps} of them",
        f"their stream ends after {rhythm._GIVEN_UP_S:.0f} s",
        f"after {LIMITS.keep_open_idle_s:.0f} s without a request",
        f"nothing was asked or said for {takeover.IDLE_S:.0f} s",
        f"in duplex after {takeover._BEAT_S:.0f} s",
        f"no sign of life for {EngineLimits().stall_s:.0f} s",
        f"Every {registrar.look_every_s:.0f} s it looks",
        f"after {registrar.first_retry_s:.0f} s, later after up to {registrar.max_retry_s:.0f} s",
    ):
        assert sentence in TEXT


def test_the_events_are_written_as_they_are_sent() -> None:
    sent = (
        chunk_event(0, b"", "…").replace(b'"wav": ""', '"wav": "…"'.encode()),
        listen_event(0),
        error_event("…"),
        done_event(),
        turn_done_event(listens=True, chunks=3, seconds=2.4),
        break_event(),
    )
    documented = [code(row[0])[0] for row in table(DOCUMENT, "event")]
    assert [json.loads(event) for event in documented] == [json.loads(event.removeprefix(b"data: ")) for event in sent]


# --- the calls of the documentation that existing clients were written from


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running_node(mode="--simplex") as node:
        yield node


@pytest.fixture
def question(tmp_path: Path) -> Path:
    path = tmp_path / "user_question.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(speech(1.5) + silence(0.3))
    return path


def test_the_calls_from_a_shell(node: Node, question: Path) -> None:
    def curl(url: str, *flags: str) -> str:
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", *flags, url]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    json_body = ("-H", "Content-Type: application/json", "-d")
    for url in (node.url, node.control_url):
        assert "healthy" in curl(f"{url}/health")
    opened = json.loads(curl(f"{node.url}/omni/init_sys_prompt", "-X", "POST", *json_body, '{"media_type": "audio"}'))
    assert (opened["success"], opened["duplex_mode"]) == (True, False)
    sound = base64.b64encode(question.read_bytes()).decode()
    heard = curl(f"{node.url}/omni/streaming_prefill", "-X", "POST", *json_body, f'{{"audio": "{sound}"}}')
    assert json.loads(heard)["success"] is True
    answer = curl(f"{node.url}/omni/streaming_generate", "-X", "POST", "-H", "Accept: text/event-stream")
    lines = [line for line in answer.splitlines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert json.loads(lines[0].removeprefix("data: "))["chunk_data"]["sample_rate"] == 24_000
    assert lines[-1] == 'data: {"done": true}'
    assert json.loads(curl(f"{node.url}/omni/break", "-X", "POST"))["state"] == "break"
    assert json.loads(curl(f"{node.url}/omni/stop", "-X", "POST"))["session_id"] == opened["session_id"]


def test_the_calls_from_python(node: Node, question: Path, tmp_path: Path) -> None:
    opened = requests.post(
        f"{node.url}/omni/init_sys_prompt", json={"media_type": "audio", "language": "zh"}, timeout=60
    )
    assert opened.json()["success"] is True
    sound = base64.b64encode(question.read_bytes()).decode()
    heard = requests.post(f"{node.url}/omni/streaming_prefill", json={"audio": sound}, timeout=60)
    assert heard.json()["success"] is True
    accept = {"Accept": "text/event-stream"}
    stream = requests.post(f"{node.url}/omni/streaming_generate", stream=True, headers=accept, timeout=60)
    pieces: list[bytes] = []
    texts: list[str] = []
    is_done = False
    for line in stream.iter_lines():
        text = line.decode("utf-8")
        if not text.startswith("data: "):
            continue
        event = json.loads(text[6:])
        if "chunk_data" in event:
            assert event["chunk_idx"] == len(pieces)
            pieces.append(base64.b64decode(event["chunk_data"]["wav"]))
            texts.append(event["chunk_data"].get("text", ""))
        elif event.get("done"):
            is_done = True
            break
    stream.close()
    assert is_done
    assert re.match(r"I heard 1\.5 s", "".join(texts))
    answer = tmp_path / "response.wav"
    with wave.open(str(answer), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        for piece in pieces:
            file.writeframes(piece)
    with wave.open(str(answer)) as file:
        assert file.getnframes() / 24_000 > 1.5, "the words are played back whole"
