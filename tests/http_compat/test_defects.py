"""What went wrong in the server this one follows, where no other test shows that it does not here.

docs/http-compat.md lists all of it, each with its tests.
"""

import asyncio
import base64
import contextlib
import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import requests
import soundfile
from fastapi import FastAPI

from duplex.engine.base import EngineAudio, EngineIdle, EngineText, Mode
from http_compat.decoders import DecodeLimits, Decoders
from http_compat.health import Health
from http_compat.routes import HttpService, make_router
from http_compat.session_limits import SessionLimits
from tests.duplex.fake_engine import FakeEngine, answer
from tests.http_compat.decoding_here import decoding_children
from tests.http_compat.node import Node, running_node
from tests.http_compat.test_server import begin, generate, hears, jpeg, post, prefill, sound, wav, words
from tests.http_compat.test_session import calling
from tests.http_compat.test_sessions import HandClock, house
from tests.speech import silence, speech
from web.settings import SettingsError, load_settings
from web.start import serve

ROOT = Path(__file__).parents[2]
PAGE = "https://page.example"
_PATIENCE_S = 20.0


# --- one session


async def test_every_picture_is_shown_before_the_answer() -> None:
    """Defect 3: the newest one was dropped, and of several only the first was shown."""
    engine = FakeEngine(answer("a", 1.0))
    pictures = [base64.b64decode(jpeg(width)) for width in (64, 80, 96)]
    async with calling(engine=engine) as caller:
        for picture in pictures:
            await caller.prefill(None, image=picture)  # type: ignore[arg-type]
        await caller.generate().whole()
    assert engine.seen == pictures
    assert engine.calls == ["begin", *["prefill"] * 3, "decode"]


async def test_frames_kept_in_one_session_are_not_shown_in_the_next() -> None:
    """Defect 13."""
    engine = FakeEngine()
    frame = base64.b64decode(jpeg())
    async with calling(engine=engine, high_fps=True) as caller:
        for index in range(3):
            await caller.prefill(None, image=frame, audio_id=7, frame_index=index)  # type: ignore[arg-type]
    async with calling(engine=engine, high_fps=True) as caller:
        await caller.prefill(audio_id=7)
    assert engine.seen == [frame], "the main frame of the first session, shown at once"


async def test_every_sample_leaves_as_the_engine_made_it() -> None:
    """Defect 15."""
    samples = np.arange(-32768, 32768, dtype="<i2").tobytes()
    async with calling() as caller:
        caller.engine.script = [[EngineText("a"), EngineAudio(samples), EngineIdle()]]
        await caller.prefill()
        stream = await caller.generate().whole()
    is_the_same = stream.pcm == samples
    assert is_the_same


async def test_a_stream_that_is_kept_open_ends_when_nothing_comes_any_more() -> None:
    """Defect 32."""
    limits = SessionLimits(tail_s=0.0, pair_s=0.0, empty_step_s=0.0, keep_open_idle_s=0.0)
    async with calling(Mode.DUPLEX, limits=limits) as caller:
        stream = await caller.generate(keep_open=True).whole()
    assert stream.done == {"done": True, "is_listen": True, "chunks_received": 0, "audio_duration_seconds": 0.0}


# --- one server, no engine


def flac() -> str:
    file = io.BytesIO()
    soundfile.write(file, np.frombuffer(speech(0.5), "<i2"), 16_000, format="FLAC")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("kind", ["audio", "image"])
async def test_others_are_answered_while_an_upload_is_decoded(kind: str) -> None:
    """Defects 26 and 28."""
    decoders, app = Decoders(DecodeLimits(processes=1, item_s=_PATIENCE_S)), FastAPI()
    body = {kind: jpeg() if kind == "image" else flac()}
    async with house() as (_, sessions), decoders.running():
        service = HttpService(
            sessions=sessions,
            decoders=decoders,
            health=lambda: Health("healthy", ""),
            check_access=lambda _: None,
            clock=HandClock(),
        )
        app.include_router(make_router(service))
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://node", trust_env=False) as client:
            await client.post("/omni/init_sys_prompt", json={})
            assert (await client.post("/omni/streaming_prefill", json=body)).status_code == 200
            (decoder,) = decoding_children()
            decoder.suspend()
            heard = asyncio.create_task(client.post("/omni/streaming_prefill", json=body))
            while not decoders.items:  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert (await client.get("/health")).status_code == 200
            assert not heard.done()
            decoder.resume()
            assert (await heard).status_code == 200


def test_the_first_upload_at_another_rate_loads_nothing() -> None:
    """Defect 27: the resampler was loaded within the request, which took seconds."""
    script = """
import io, sys
import numpy, soundfile
from http_compat.decode import decode_sound
from http_compat.media_worker import warm_up
file = io.BytesIO()
soundfile.write(file, numpy.zeros((48000, 2)), 48000, format="WAV")
warm_up()
loaded = set(sys.modules)
decode_sound(file.getvalue())
print(sorted(set(sys.modules) - loaded))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("key", "flag"), [("server.port", "--port"), ("server.control_port", "--control-port")])
async def test_a_port_that_is_taken_is_said_at_the_start(key: str, flag: str) -> None:
    """Defects 19 and 48: the control port went missing without a word."""
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        flags: dict[str, object] = {"server.port": 0, "server.control_port": 0, "engine.kind": "parrot", key: taken}
        with pytest.raises(SettingsError, match=rf"port {taken}: .*{flag}"):
            await serve(load_settings(flags, {}))


# --- a real server with an engine


def converse(node: Node, *seconds: bytes) -> list[dict[str, Any]]:
    """A second and a stream in turn, as a duplex caller that waits does."""
    events = []
    for second in seconds:
        prefill(node, second)
        events += generate(node)
    return events


@pytest.mark.parametrize("duplex", [False, True])
def test_the_first_second_belongs_to_the_user(node: Node, duplex: bool) -> None:
    """Defect 14: without a voice reference the engine took it for one."""
    begin(node, duplex_mode=duplex)
    said = [speech(1.0), silence(1.0), silence(1.0)] if duplex else [speech(1.0)]
    assert words(converse(node, *said)).startswith("I heard 1.0 s")


def test_a_model_that_thinks_for_long_is_heard_out(node: Node) -> None:
    """Defect 4: a stream was given up after 100 ms without a word. Here each token takes 60 ms."""
    begin(node, duplex_mode=True)
    node.fault(slow_llm=60)
    question = speech(2.0)
    events = converse(node, question[:32_000], question[32_000:], silence(1.0), silence(1.0))
    assert words(events).startswith("I heard 2.0 s of speech")
    assert len(sound(events)) > 2 * 48_000
    assert all(event["is_listen"] for event in events if "done" in event)


def test_sound_that_is_written_slowly_arrives_whole_in_duplex_too(node: Node) -> None:
    """Defect 5."""
    begin(node, duplex_mode=True)
    node.fault(partial_writes=120)
    question = speech(2.0)
    events = converse(node, question[:32_000], question[32_000:], silence(1.0), silence(1.0))
    assert hears(sound(events), question) > 0.9
    assert len(sound(events)) > 2 * 48_000


def test_nothing_that_was_heard_or_said_stays_on_disk(node: Node) -> None:
    """Defects 29 and 33. The engine's only private place is where its model lies."""
    command = node.engine().cmdline()
    place = Path(command[command.index("--model") + 1]).parent
    begin(node, duplex_mode=True)
    for _ in range(2):
        prefill(node, speech(1.0), image=jpeg())
        assert sound(generate(node) + converse(node, silence(1.0), silence(1.0)))
    assert (place / "output" / "tts_wav").is_dir()
    assert [path for kind in ("*.wav", "*.jpg", "*.png") for path in place.rglob(kind)] == []


def test_a_prefill_the_engine_did_not_take_is_an_error_with_its_reason(node: Node) -> None:
    """Defects 16 and 21."""
    begin(node)
    node.fault(die_in_prefill=True)
    refused = post(node, "streaming_prefill", audio=wav(speech(1.0)))
    assert refused.status_code == 500
    failed, _, reason = refused.json()["detail"].partition(": ")
    assert failed == "预填充失败"
    assert "goes on with another engine" in reason


def test_a_duplex_answer_that_fails_says_why_and_ends(node: Node) -> None:
    """Defect 17: the stream ended without a done event."""
    begin(node, duplex_mode=True)
    prefill(node, speech(1.0))
    node.fault(script="SSS", die_in_decode=True)
    events = generate(node)
    assert events[-2]["error"]
    assert events[-1]["is_listen"] is False


def test_an_initialisation_that_fails_is_no_success(node: Node) -> None:
    """Defect 20."""
    begin(node)
    node.fault(init_fails=True)
    refused = post(node, "init_sys_prompt", duplex_mode=True)
    assert refused.status_code == 500
    assert refused.json()["detail"].startswith("初始化失败: ")
    node.until_healthy(code=503)
    node.until_healthy()
    assert begin(node, duplex_mode=True)["duplex_mode"] is True


# --- the machine around it


@pytest.fixture(scope="module")
def guarded_node() -> Iterator[Node]:
    """A server that finds a proxy in its environment, and lets one page in."""
    with pytest.MonkeyPatch.context() as environment, contextlib.ExitStack() as stack:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            for spelling in (name, name.upper()):
                environment.setenv(spelling, "http://127.0.0.1:9")
        node = stack.enter_context(running_node("--allow-origin", PAGE, wait=False))
        environment.undo()
        node.until_healthy()
        yield node


def test_a_proxy_of_the_machine_stands_between_nobody(guarded_node: Node) -> None:
    """Defect 39."""
    begin(guarded_node)
    assert words(converse(guarded_node, speech(1.0))).startswith("I heard 1.0 s")


def test_pages_of_strangers_are_kept_out_of_the_main_port(guarded_node: Node) -> None:
    """Defect 37."""
    url = f"{guarded_node.url}/omni/break"
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    strange = requests.post(url, headers={"Origin": "https://evil.example"}, timeout=10)
    assert (strange.status_code, strange.headers.get("access-control-allow-origin")) == (403, None)
    refused = requests.options(url, headers={"Origin": "https://evil.example", **asks}, timeout=10)
    assert (refused.status_code, refused.headers.get("access-control-allow-origin")) == (400, None)
    known = requests.post(url, headers={"Origin": PAGE}, timeout=10)
    assert (known.status_code, known.headers["access-control-allow-origin"]) == (200, PAGE)
    allowed = requests.options(url, headers={"Origin": PAGE, **asks}, timeout=10)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "Content-Type" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in {**allowed.headers, **known.headers}
    for path in ("docs", "redoc"):
        assert requests.get(f"{guarded_node.url}/{path}", timeout=10).status_code == 404
