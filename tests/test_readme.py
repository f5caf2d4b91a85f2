"""What the README and the documents say is true: compared with the code, or simply done."""

import json
import os
import re
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest

from duplex import patient_writer
from duplex.barge_in import BargeIn
from duplex.barge_in import evidence_for as weigh
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, Mode
from duplex.engine.input_feed import _KEPT_IMAGES
from duplex.engine.limits import EngineLimits
from duplex.engine.mailbox import EventMailbox
from duplex.engine.process import OutputTail
from duplex.messages import BreakReason
from duplex.outbox import Outbox
from duplex.pictures import MOST_PICTURES_WAITING
from duplex.session import SessionLimits
from duplex.turns import TABLE
from http_compat import body, wav_timing
from http_compat.decoders import DecodeLimits
from http_compat.frames import MOST_KEPT_FRAMES
from http_compat.intake import _LEAST_BYTES
from http_compat.reply import LONGEST_WAITING_S
from http_compat.session_limits import SessionLimits as HttpSessionLimits
from http_compat.sessions import _REMEMBERED_PEERS
from realtime import queueing
from realtime.dialects import live, minicpmo, steady
from realtime.dialects.conversation_items import LARGEST_ITEMS_BYTES, MOST_ITEMS
from realtime.dialects.json_event import read_object
from realtime.dialects.openai_beta import BETA_EVENTS
from realtime.dialects.session_object import LARGEST_SESSION_BYTES
from realtime.endpoint import CLOSE_CODES
from realtime.events import ClientEvent, ResumeEvent, parse
from realtime.live_events import LiveClientEvent, parse_live
from realtime.minicpmo_events import DemoClientEvent, parse_demo
from realtime.options import parse_options
from realtime.resume import Journal, parse_resume
from tests.http_compat.node import Node, running_node
from tests.realtime.wire import Wire
from tests.speech import silence, speech
from web import app, cli, connection, quotas
from web.options import OPTIONS
from web.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
EVENT_NAME = r"[a-z_]+(?:\.[a-z_]+)+"


def document(name: str) -> str:
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def table(text: str, first_heading: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading, as cells without their outer spaces."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if re.match(rf"\| {re.escape(first_heading)} \|", line))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def code(cell: str) -> list[str]:
    """What stands in single backticks."""
    return re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", cell, flags=re.DOTALL))


def section(text: str, heading: str) -> str:
    """From a heading to the next one of its own level or above."""
    level = heading.index(" ")
    rest = text.split(f"\n{heading}\n", 1)[1]
    return re.split(rf"\n#{{1,{level}}} ", rest, maxsplit=1)[0]


# --- links


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_into_the_project_leads_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (path.parent / target).exists(), target
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in text.splitlines()}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings
    for name in re.findall(r"\bdocs/[a-z-]+\.md\b", text):
        assert (ROOT / name).exists(), name


def test_the_documents_named_in_the_code_exist() -> None:
    folders = ("duplex", "realtime", "http_compat", "web")
    sources = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    names = {name for path in sources for name in re.findall(r"\bdocs/[a-z-]+\.md\b", path.read_text(encoding="utf-8"))}
    assert names
    for name in names:
        assert (ROOT / name).exists(), name


# --- settings


def test_the_table_of_settings_is_the_options() -> None:
    rows = table(README, "flag")
    documented = {
        (", ".join(code(flag)) or None, tuple(code(variables)), *code(key)) for flag, variables, key, *_ in rows
    }
    assert len(documented) == len(rows)
    assert documented == {(option.flag, option.variables, option.key) for option in OPTIONS}


@pytest.mark.parametrize(("key", "default"), [(*code(row[2]), row[3]) for row in table(README, "flag")])
def test_the_default_is_the_one_of_the_code(key: str, default: str) -> None:
    value: object = Settings()
    for name in key.split("."):
        value = getattr(value, name)
    if value in (None, (), False):
        assert "`" not in default, "a default in words: none, or worked out"
    else:
        assert default == f"`{value}`"


def test_every_flag_in_the_shell_examples_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = {"--build", "--target"}  # cmake's
    for command in ("serve", "talk"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        known |= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    known |= {flag for option in OPTIONS for flag in (option.flag or "").split(", ")}
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    used = {flag for text in [*blocks, *code(README)] for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)}
    assert "--llamacpp-root" in used
    assert used <= known


# --- the client


@contextmanager
def parrot_server(tmp_path: Path) -> Iterator[str]:
    """The real server with the parrot on free ports; gives its address when it says that it is ready."""
    ours = {name for option in OPTIONS for name in option.variables}
    environ = {name: value for name, value in os.environ.items() if name not in ours and "PROXY" not in name.upper()}
    command = [sys.executable, "-m", "web.cli", "serve", "--port", "0", "--engine", "parrot", "--log-level", "error"]
    with (
        (tmp_path / "server.log").open("w+") as log,
        subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            ready = next((line for line in process.stdout if line.startswith("Ready: ")), None)
            assert ready is not None, (tmp_path / "server.log").read_text()
            yield ready.removeprefix("Ready: http://").strip()
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()


def python_lines(part: str) -> str:
    """The one Python block of the README that contains this."""
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if part in block]
    return str(block)


def client_lines() -> str:
    return python_lines("websockets.connect")


def quiet_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if "PROXY" not in name.upper()}


def write_question(path: Path, pcm: bytes) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(pcm)


def read_answer(path: Path) -> npt.NDArray[np.float64]:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


def test_the_client_of_the_readme_hears_its_own_words(tmp_path: Path) -> None:
    client = tmp_path / "client.py"
    client.write_text(client_lines(), encoding="utf-8")
    question, answer = tmp_path / "question.wav", tmp_path / "answer.wav"
    write_question(question, silence(0.3) + speech(2.0))
    environ = quiet_environment()
    with parrot_server(tmp_path) as address:
        (url,) = re.findall(r'url="([^"]+)"', client_lines())
        url = url.replace("127.0.0.1:9060", address)
        command = [sys.executable, str(client), str(question), str(answer), url]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    heard = read_answer(answer)
    loud_s = np.count_nonzero(np.abs(heard) > 500) / 24_000
    assert len(heard) / 24_000 > 2.0, "the words are played back whole"
    assert loud_s > 1.0


def test_the_client_is_as_short_as_promised() -> None:
    assert len([line for line in client_lines().splitlines() if line]) <= 15
    compile(client_lines(), "client.py", "exec")


# --- the HTTP examples


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with running_node(mode="--duplex") as node:
        yield node


def on_ports_of(node: Node, text: str) -> str:
    """An example, for the ports of a server of ours."""
    changed = text.replace(":9060", f":{node.port}").replace(":9061", f":{node.port + 1}")
    assert changed != text
    return changed


def test_the_shell_lines_have_a_conversation(node: Node, tmp_path: Path) -> None:
    (block,) = [block for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "curl" in block]
    write_question(tmp_path / "question.wav", speech(5.0))
    # Behind each answer a new line, to tell them apart; and an HTTP error is one.
    (tmp_path / ".curlrc").write_text('silent\nshow-error\nfail\nnoproxy = "*"\nwrite-out = "\\n"\n', encoding="ascii")
    script = ["sh", "-e", "-u", "-c", on_ports_of(node, block)]
    environ = {**quiet_environment(), "CURL_HOME": str(tmp_path)}
    done = subprocess.run(script, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    answers = [json.loads(line) for line in lines if not line.startswith("data: ")]
    assert len(answers) == len(re.findall(r"^ *curl ", block, re.MULTILINE)) - 1
    health, control_health, opened, heard, broken, stopped = answers
    assert (health["status"], control_health["status"]) == ("healthy", "healthy")
    assert (opened["success"], opened["msg_type"], opened["duplex_mode"]) == (True, 1, False)
    assert (heard["success"], heard["audio_duration_seconds"]) == (True, 5.0)
    assert "".join(event["chunk_data"].get("text", "") for event in events[:-1]).startswith("I heard 5.0 s")
    assert events[-1] == {"done": True}
    assert (broken["state"], broken["cpp_break"]) == ("break", False)
    assert stopped["session_id"] == opened["session_id"]


@pytest.mark.parametrize(
    ("part", "printed"), [('"duplex_mode": False', "I heard 2.0 s of speech"), ('"duplex_mode": True', "")]
)
def test_the_python_callers_hear_their_own_words(node: Node, tmp_path: Path, part: str, printed: str) -> None:
    program = tmp_path / "caller.py"
    program.write_text(python_lines(part), encoding="utf-8")
    (url,) = re.findall(r'url="([^"]+)"', program.read_text(encoding="utf-8"))
    write_question(tmp_path / "question.wav", speech(2.0))
    command = [sys.executable, str(program), "question.wav", "answer.wav", on_ports_of(node, url)]
    done = subprocess.run(command, cwd=tmp_path, env=quiet_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(printed)
    heard = read_answer(tmp_path / "answer.wav")
    assert len(heard) / 24_000 > 2.0, "the words are played back whole"
    assert np.count_nonzero(np.abs(heard) > 500) / 24_000 > 1.0


def test_the_ports_are_those_of_the_settings() -> None:
    ports = [int(row[0].split()[0]) for row in table(README, "port")]
    settings = Settings()
    assert ports == [settings.server.port, settings.control_port, settings.engine_port]


def test_the_protocol_takes_ten_lines() -> None:
    points = re.findall(r"^\d+\. ", section(README, "## The protocol in ten lines"), re.MULTILINE)
    assert len(points) == 10


# --- docs/protocol.md


def client_event_types() -> set[str]:
    events, _ = get_args(ClientEvent)
    return {kind for event in get_args(events) for kind in get_args(event.model_fields["type"].annotation)}


def other_client_event_types(*unions: object) -> set[str]:
    """Those of the protocols with events of their own."""
    models = [model for union in unions for model in get_args(get_args(union)[0])]
    return {kind for model in models for kind in get_args(model.model_fields["type"].annotation)}


def server_event_types() -> set[str]:
    found: set[str] = set()
    modules = (ROOT / "realtime" / name for name in ("resume.py", "queue_events.py"))
    for path in [*(ROOT / "realtime" / "dialects").glob("*.py"), *modules]:
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(rf'(?:"type": |_text\(|_event\()"({EVENT_NAME}|error|info)"', text))
        for prefix in re.findall(r'"type": f"([a-z_.]+)\{what\}"', text):
            found |= {f"{prefix}{what}" for what in ("added", "done")}
    # What Live acknowledges is named after what was asked.
    (live,) = get_args(LiveClientEvent)[:1]
    for kind in (kind for model in get_args(live) for kind in get_args(model.model_fields["type"].annotation)):
        found |= {f"{kind}d"} if kind.endswith("mute") else set()
        found |= {f"{kind}ed"} if kind.endswith(("instructions.append", "thinking.append")) else set()
    found |= {name for name in BETA_EVENTS.values() if name}
    return found - {"realtime.item", "realtime.session", "audio/pcm"}


def test_every_close_code_is_documented_and_no_other() -> None:
    documented = {int(row[0]) for row in table(document("protocol"), "code") if row[0].isdigit()}
    documented |= {int(row[0]) for row in table(section(document("protocol"), "## Close codes"), "code")}
    assert documented == {1000, *CLOSE_CODES.values()}


def test_every_client_event_is_documented_and_no_other() -> None:
    documented = {
        name for row in table(section(document("protocol"), "## Client events"), "event") for name in code(row[0])
    }
    assert len(documented) >= 10
    assert documented == client_event_types()


@pytest.mark.parametrize(
    ("heading", "union"),
    [
        ("### What the client of Live says", LiveClientEvent),
        ("### What the client of the demo says", DemoClientEvent),
    ],
)
def test_every_client_event_of_the_other_protocols_is_documented_and_no_other(heading: str, union: object) -> None:
    rows = table(section(document("protocol"), heading), "event")
    assert {name for row in rows for name in code(row[0])} == other_client_event_types(union)


def test_every_server_event_is_documented() -> None:
    known = server_event_types()
    assert {"session.created", "response.done", "conversation.item.done", "error"} <= known
    assert known <= set(code(document("protocol")))


def test_every_event_the_documents_name_exists() -> None:
    families = (
        "session.",
        "response.",
        "conversation.item",
        "input_audio_buffer.",
        "output_audio_buffer.",
        "playback.",
    )
    known = client_event_types() | server_event_types() | other_client_event_types(LiveClientEvent, DemoClientEvent)
    for text in (README, document("protocol"), document("interruption"), document("architecture"), document("audio")):
        named = {name for name in code(text) if re.fullmatch(EVENT_NAME, name) and name.startswith(families)}
        named -= {"response.metadata", "response.input", "session.audio"}  # keys, not events
        assert named <= known


def test_every_example_event_is_accepted() -> None:
    examples = re.findall(r"```json\n(.*?)```", document("protocol"), re.DOTALL)
    assert len(examples) >= 4
    wire = Wire(ConversationSettings(mode=Mode.SIMPLEX), extensions=True)
    for example in [*examples, *re.findall(r'`(\{"type":"[^`]+\})`', README)]:
        if isinstance(parse(json.loads(example)), ResumeEvent):
            parse_resume(example)
            continue
        assert "error" not in {event["type"] for event in wire.ask(json.loads(example))}, example


@pytest.mark.parametrize(("protocol", "read"), [("live", parse_live), ("minicpmo", parse_demo)])
def test_every_example_event_of_the_other_protocols_is_accepted(protocol: str, read: Callable[[Any], object]) -> None:
    examples = re.findall(rf"```json {protocol}\n(.*?)```", document("protocol"), re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        read(read_object(example))


@pytest.mark.parametrize("row", table(document("protocol"), "parameter"), ids=lambda row: row[0])
def test_every_documented_value_of_a_parameter_is_understood(row: list[str]) -> None:
    (name,), values = code(row[0]), code(row[1])
    assert values
    results = [parse_options({name: value}, ConversationSettings()) for value in values]
    # A parameter that is read over would make no difference anywhere.
    assert len(values) == 1 or any(result != results[0] for result in results)


def test_every_parameter_of_the_code_is_documented() -> None:
    source = (ROOT / "realtime" / "options.py").read_text(encoding="utf-8")
    read = set(re.findall(r'(?:_choice|_rate|query\.get)\((?:query, )?"([a-z_]+)"', source)) | {"ext", "duplex"}
    assert {"audio", "conversation", "input_rate", "model"} <= read
    assert {code(row[0])[0] for row in table(document("protocol"), "parameter")} == read


def test_every_error_code_is_documented() -> None:
    sources = [*(ROOT / "realtime").rglob("*.py"), ROOT / "duplex" / "refusals.py", ROOT / "duplex" / "errors.py"]
    found = {c for path in sources for c in re.findall(r'code(?:: str)? ?= ?"([a-z_]+)"', path.read_text("utf-8"))}
    assert {"invalid_json", "invalid_value", "response_cancel_not_active"} <= found
    tables = [section(document("protocol"), heading) for heading in ("## Errors", "## The MiniCPM-o demo's protocol")]
    documented = {name for text in tables for row in table(text, "code") for name in code(row[0])}
    assert found <= documented
    for reason in BreakReason:
        assert f'"{reason}"' in document("protocol")


# --- the other documents


def test_the_table_of_turns_is_the_one_of_the_code() -> None:
    documented = {
        (state, event): (following, tuple(filter(None, actions.split(", "))))
        for state, event, following, actions in table(document("architecture"), "state")
    }
    assert documented == {
        (state.name, event.name): (following.name, tuple(action.name for action in actions))
        for (state, event), (following, actions) in TABLE.items()
    }


def _default(function: object, name: str) -> int:
    defaults = getattr(function, "__kwdefaults__", None) or {}
    default = defaults[name]
    assert isinstance(default, int)
    return default


def _intake_s(mode: Mode) -> float:
    return _LEAST_BYTES[mode] / 2 / ENGINE_INPUT_RATE_HZ


LIMITS, SETTINGS, ENGINE = SessionLimits(), ConversationSettings(), EngineLimits()


@pytest.mark.parametrize(
    ("row", "bound"),
    [
        ("one message of the client", f"{app._LARGEST_MESSAGE_BYTES // 2**20} MiB"),
        ("(`EarlyFrames`)", f"{queueing._EARLY_BYTES // 2**20} MiB"),
        ("(`Recording`)", f"{SETTINGS.keep_s} s; {SETTINGS.push_to_talk_s} s in push to talk"),
        ("(`EngineFeed`)", f"{LIMITS.input_waiting_s:.0f} s"),
        (
            "(`InputFeed`)",
            f"{ENGINE.kept_audio_s:.0f} s and {_KEPT_IMAGES[Mode.SIMPLEX]} pictures; "
            f"in duplex {ENGINE.kept_duplex_s:.0f} s, a quarter of the context at most, "
            f"and {_KEPT_IMAGES[Mode.DUPLEX]} picture",
        ),
        ("(`FragmentMender`)", f"{ENGINE.text_hold_s:.0f} s"),
        ("(`EventMailbox`)", f"{_default(EventMailbox.__init__, 'limit')} events"),
        ("audio lane)", f"{LIMITS.audio_waiting_s:.0f} s"),
        ("ahead of real time", f"{LIMITS.lead_s * 1000:.0f} ms"),
        ("control lane)", f"{_default(Outbox.__init__, 'control_limit')} events"),
        ("of a live stream until its moment", f"{steady.MOST_WAITING_S} s"),
        ("of a live stream until their sound", f"{steady.MOST_TEXTS} texts"),
        ("of a live session", f"{live.MOST_EVENTS} events"),
        ("into the socket", f"{LIMITS.send_s:.0f} s"),
        (
            "(`Journal`)",
            f"{_default(Journal.__init__, 'max_bytes') // 2**20} MiB; "
            f"{_default(Journal.__init__, 'max_frames')} messages",
        ),
        ("(`Seats`)", f"{Settings().conversation.resume_grace_s:.0f} s (`--resume-grace`)"),
        (
            "(`OutputTail`)",
            f"{_default(OutputTail.__init__, 'lines')} lines of {_default(OutputTail.__init__, 'line_bytes')} bytes",
        ),
        ("(`LeaseQueue`)", f"{Settings().engine.queue} (`--queue`)"),
        ("(`RestartPolicy`)", f"{Settings().engine.restarts_per_hour} within an hour (`--restarts-per-hour`)"),
        ("(`Quotas`)", f"{quotas.MOST_ROWS} rows"),
        ("(`HttpConnection`)", f"{connection.HEAD_WITHIN_S:.0f} s"),
        ("(`read_body`)", f"{body.LARGEST_BODY_BYTES // 2**20} MiB; {body._READ_WITHIN_S:.0f} s to arrive"),
        ("(`Pictures`)", f"{MOST_PICTURES_WAITING} pictures; 1 in duplex"),
        ("(`ConversationItems`)", f"{MOST_ITEMS} items; {LARGEST_ITEMS_BYTES // 2**20} MiB"),
        ("(`SessionObject`)", f"{LARGEST_SESSION_BYTES // 2**10} KiB"),
        ("(`Line`)", f"{HttpSessionLimits().waiting_requests} requests"),
        (
            "(`Decoders`)",
            f"{DecodeLimits().processes} at once, of each session one; "
            f"{DecodeLimits().items} uploads with those that wait",
        ),
        (
            "(`Intake`)",
            f"{_intake_s(Mode.SIMPLEX) * 1000:.0f} ms in simplex, {_intake_s(Mode.DUPLEX):.0f} s in duplex",
        ),
        ("(`FrameStacks`)", f"{MOST_KEPT_FRAMES} pictures"),
        ("(`Reply`)", f"{LONGEST_WAITING_S:.0f} s"),
        ("connections remembered", f"{_REMEMBERED_PEERS} connections"),
        (
            "(`WavTimingLog`)",
            f"{patient_writer.WAITING_TEXTS} pieces of text; {wav_timing._LARGEST_BYTES // 2**20} MB in the file",
        ),
        ("printed on stdout", f"{patient_writer.WAITING_TEXTS} lines"),
    ],
)
def test_the_bound_of_the_queue_is_the_one_of_the_code(row: str, bound: str) -> None:
    rows = [cells for cells in table(document("queues"), "what waits") if row in cells[0]]
    assert len(rows) == 1
    assert rows[0][1].startswith(bound)


def test_the_numbers_of_the_other_protocols_are_those_of_the_code() -> None:
    text = document("protocol")
    assert f"pieces of {steady.TICK_MS} ms" in text
    assert f"every {live.USAGE_EVERY_MS // 1000} s: `usage.seconds`" in text
    assert f"a slice of {minicpmo.SHORTEST_SLICE_S} to {minicpmo.LONGEST_SLICE_S:.0f} s" in text
    longest = minicpmo.LONGEST_SESSION_S
    assert f"after {longest['audio']:.0f} s of `audio` or {longest['video']:.0f} s of `video`" in text


def test_the_deadlines_the_documents_name_are_those_of_the_code() -> None:
    interruption = document("interruption")
    assert f"silent {SETTINGS.break_deadline_s:.0f} s after" in " ".join(interruption.split())
    assert f"{SETTINGS.listen_limit_s:.0f} s at most" in interruption
    vad = SETTINGS.vad
    assert f"{vad.onset_votes} of {vad.onset_frames} frames voiced" in interruption
    evidence = vad.barge_in
    assert f"{evidence.hold_votes} of {evidence.hold_frames} frames voiced, over an answer" in interruption
    assert f"{evidence.cut_votes} of the last {evidence.cut_frames} frames voiced" in interruption
    assert f"and {evidence.pitched_votes} of them pitched" in interruption
    assert f"{evidence.release_ms} ms without a voiced frame" in interruption
    assert f"first {evidence.guard_begin_ms // 1000} s of an answer" in interruption
    documented = {code(row[0])[0]: (row[1], row[2]) for row in table(interruption, "`barge_in`")}
    asked = {preset: weigh(preset) for preset in BargeIn}
    assert documented == {
        str(preset): (f"{one.cut_votes} of {one.cut_frames}", str(one.pitched_votes or "-"))
        for preset, one in asked.items()
    }
    assert f"{vad.hangover_ms} ms without a voiced frame" in interruption
    assert f"no sign of life for {ENGINE.stall_s:.0f} s" in document("architecture")
    assert f"pieces of at most {SETTINGS.piece_ms} ms" in document("audio")
