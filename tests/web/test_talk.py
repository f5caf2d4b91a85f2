import asyncio
import contextlib
import io
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from duplex.engine.base import Mode
from duplex.engine.ports import free_port
from web.talk import Microphone, TalkError, TalkLimits, TalkOptions, read_speech, talk
from web.talk_log import Reply, TalkLog

FRAME_BYTES = 640
LIMITS = TalkLimits(start_s=0.5, answer_s=0.5, quiet_s=0.5, break_s=0.5)
Handler = Callable[["Peer"], Awaitable[None]]


class Peer:
    """The server's side of one talk, as a script sees it."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.heard = b""
        self.request = connection.request

    async def event(self, kind: str, **fields: object) -> None:
        await self.connection.send(json.dumps({"type": kind, **fields}))

    async def audio(self, samples: int) -> None:
        await self.connection.send(np.full(samples, 1000, "<i2").tobytes())

    async def hear_speech(self) -> None:
        """Return at the first loud frame."""
        while True:
            frame = await self._frame()
            if np.abs(np.frombuffer(frame, "<i2")).max() > 1000:
                return

    async def hear_silence(self) -> None:
        """Return at the first silent frame."""
        while any(await self._frame()):
            pass

    async def listen_for_ever(self) -> None:
        while True:
            await self._frame()

    async def respond(self, response_id: str, *, status: str = "completed") -> None:
        await self.event("response.created", response={"id": response_id})
        await self.audio(2400)
        await self.finish(response_id, status=status)

    async def finish(self, response_id: str, *, status: str) -> None:
        await self.event("response.output_audio_transcript.done", response_id=response_id, transcript="words")
        await self.event("response.done", response={"id": response_id, "status": status})

    async def _frame(self) -> bytes:
        frame = await self.connection.recv()
        assert isinstance(frame, bytes)
        assert len(frame) == FRAME_BYTES
        self.heard += frame
        return frame


class Scene:
    """A scripted server, a file to say, and what was printed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wav = folder / "in.wav"
        tone = 0.5 * np.sin(np.arange(48_000 * 0.1) * 0.05)
        soundfile.write(self.wav, np.stack([tone, tone], axis=1), 48_000)
        self.output = io.StringIO()
        self.peers: list[Peer] = []

    async def play(self, script: Handler, *, limits: TalkLimits = LIMITS, **options: object) -> list[Reply]:
        async def handle(connection: ServerConnection) -> None:
            peer = Peer(connection)
            self.peers.append(peer)
            with contextlib.suppress(ConnectionClosed):
                await script(peer)

        async with serve(handle, "127.0.0.1", 0) as server:
            return await self.talk(url(server), limits=limits, **options)

    async def talk(self, address: str, *, limits: TalkLimits = LIMITS, **options: object) -> list[Reply]:
        chosen = TalkOptions(wav=self.wav, url=address, **options)  # type: ignore[arg-type]
        return await talk(chosen, console=Console(file=self.output), limits=limits)


def url(server: Server) -> str:
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/v1/realtime?voice=x"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


async def answer(peer: Peer) -> None:
    await peer.event("session.created")
    await peer.hear_speech()
    await peer.hear_silence()
    await peer.respond("r1")
    await peer.listen_for_ever()


async def test_a_talk(scene: Scene) -> None:
    out = scene.folder / "out.wav"
    replies = await scene.play(answer, out=out, mode=Mode.SIMPLEX, api_key="k1")
    assert [(reply.response_id, reply.status, reply.transcript) for reply in replies] == [("r1", "completed", "words")]
    samples, rate_hz = soundfile.read(out, dtype="int16")
    assert (rate_hz, len(samples), set(samples.tolist())) == (24_000, 2400, {1000})
    printed = scene.output.getvalue()
    assert "Answer 1: 0.10 s of audio, completed, first audio" in printed
    assert "response.done completed" in printed
    request = scene.peers[0].request
    assert request is not None
    assert request.path.endswith("?voice=x&audio=binary&input_rate=16000&output_rate=24000&conversation=simplex")
    assert request.headers["Authorization"] == "Bearer k1"


async def test_the_whole_file_is_heard_at_16_khz(scene: Scene) -> None:
    await scene.play(answer)
    heard = np.frombuffer(scene.peers[0].heard, "<i2")
    assert abs(int(np.flatnonzero(heard)[-1]) - 1600) < 50
    assert 15_000 < heard.max() < 18_000


async def interrupted(peer: Peer) -> None:
    await peer.event("session.created")
    await peer.hear_silence()
    await peer.event("response.created", response={"id": "r1"})
    await peer.audio(240)
    await peer.hear_speech()
    await peer.event("output_audio_buffer.cleared", response_id="r1")
    await peer.audio(100)
    await peer.finish("r1", status="cancelled")
    await peer.hear_silence()
    await peer.respond("r2")
    await peer.listen_for_ever()


async def test_an_interruption(scene: Scene) -> None:
    first, second = await scene.play(interrupted, interrupt_at_s=0.05)
    assert (first.status, first.stale_bytes, len(first.pcm)) == ("cancelled", 200, 480)
    assert (second.status, second.stale_bytes, len(second.pcm)) == ("completed", 0, 4800)
    assert "ms after speech onset, 200 stale bytes after it" in scene.output.getvalue()


async def test_an_answer_that_is_over_too_soon_to_be_interrupted(scene: Scene) -> None:
    with pytest.raises(TalkError, match=r"over after 0\.1 s, before it could be interrupted"):
        await scene.play(answer, interrupt_at_s=5.0)


async def never_created(peer: Peer) -> None:
    await peer.listen_for_ever()


async def no_answer(peer: Peer) -> None:
    await peer.event("session.created")
    await peer.listen_for_ever()


async def stops_in_the_middle(peer: Peer) -> None:
    await peer.event("session.created")
    await peer.hear_silence()
    await peer.event("response.created", response={"id": "r1"})
    await peer.listen_for_ever()


async def not_json(peer: Peer) -> None:
    await peer.connection.send("hello")
    await peer.listen_for_ever()


async def closes_politely(peer: Peer) -> None:
    await peer.event("session.created")
    await peer.hear_speech()


async def is_busy(peer: Peer) -> None:
    await peer.connection.close(1013, "The engine is in another conversation.")


async def wants_a_key(peer: Peer) -> None:
    await peer.connection.close(1008, "This server needs a key.")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (never_created, "no session within"),
        (no_answer, "No answer within"),
        (stops_in_the_middle, "stopped in the middle"),
        (not_json, "not an event"),
        (closes_politely, r"ended the talk \(code 1000\)"),
        (is_busy, r"code 1013\): The engine is in another conversation\.$"),
        (wants_a_key, "--api-key"),
    ],
)
async def test_what_goes_wrong_is_said(scene: Scene, script: Handler, message: str) -> None:
    with pytest.raises(TalkError, match=message):
        await scene.play(script)


async def goes_on(peer: Peer) -> None:
    await peer.event("session.created")
    await peer.hear_silence()
    await peer.event("response.created", response={"id": "r1"})
    await peer.audio(240)
    await peer.listen_for_ever()


async def test_a_break_that_does_not_come(scene: Scene) -> None:
    with pytest.raises(TalkError, match="although it was interrupted"):
        await scene.play(goes_on, interrupt_at_s=0.0, limits=TalkLimits(break_s=0.2))


async def test_no_server_there(scene: Scene) -> None:
    with pytest.raises(TalkError, match="make run"):
        await scene.talk(f"ws://127.0.0.1:{free_port()}/v1/realtime")


async def test_a_server_of_something_else(scene: Scene) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        del request
        return connection.respond(HTTPStatus.FORBIDDEN, "no")

    async with serve(lambda _: asyncio.sleep(0), "127.0.0.1", 0, process_request=refuse) as server:
        with pytest.raises(TalkError, match="HTTP 403"):
            await scene.talk(url(server))


def test_files_that_hold_no_speech(tmp_path: Path) -> None:
    with pytest.raises(TalkError, match="cannot be read"):
        read_speech(tmp_path / "absent.wav")
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(TalkError, match="cannot be read"):
        read_speech(tmp_path / "text.wav")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    with pytest.raises(TalkError, match="no audio"):
        read_speech(tmp_path / "empty.wav")


def test_the_microphone_knows_when_speech_began_and_ended() -> None:
    speech = np.concatenate([np.zeros(640), np.full(700, 9000), np.zeros(640)]).astype(np.int16)
    microphone = Microphone(speech)
    frames = [microphone.next_frame(float(number)) for number in range(10)]
    assert microphone.frames == 7
    assert b"".join(frames)[: 2 * len(speech)] == speech.tobytes()
    assert frames[7:] == [bytes(FRAME_BYTES)] * 3
    assert (microphone.utterances[0].onset_s, microphone.utterances[0].end_s) == (2.0, 5.0)
    assert microphone.silent_since_s == 5.0
    microphone.say_again()
    assert microphone.silent_since_s is None
    assert np.frombuffer(microphone.next_frame(20.0), "<i2").max() == 9000
    assert microphone.utterances[1].onset_s == 20.0


def test_audio_before_any_response_is_nobodys() -> None:
    log = TalkLog()
    log.receive_audio(b"\0\0", 1.0)
    assert log.replies == []


def test_errors_and_warnings_are_shown_and_deltas_are_not() -> None:
    log = TalkLog()
    assert log.receive_text('{"type":"error","error":{"message":"odd"}}', 1.0) == "error odd"
    assert log.receive_text('{"type":"session.warning","message":"late"}', 1.0) == "session.warning late"
    assert log.receive_text('{"type":"response.output_audio_transcript.delta","delta":"x"}', 1.0) is None
    with pytest.raises(TypeError):
        log.receive_text("[]", 1.0)
