"""One session over a WebSocket, as its plan says: talk, interrupt, misbehave, come back, vanish."""

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from bench.torture.judge import Judge
from bench.torture.plan import Plan
from bench.torture.voice import INPUT_RATE_HZ, marks_of, utterance
from duplex.engine.ports import LOOPBACK

__all__ = ["Left", "SocketCall", "Stuck"]

_MIC_S = 0.3
"""Of sound in one message of silence; the demo's dialect takes no less than a quarter of a second."""
_ORDERLY = frozenset({1000, 1001, 1008, 1009, 1011, 1012, 1013})

_EVENTS: Sequence[dict[str, Any]] = (
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "response.create", "response": {"metadata": {"a": "b"}}},
    {"type": "response.cancel", "response_id": "resp_1"},
    {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": []}},
    {"type": "conversation.item.truncate", "item_id": "item_1", "content_index": 0, "audio_end_ms": 90},
    {"type": "conversation.item.delete", "item_id": "item_1"},
    {"type": "conversation.item.retrieve", "item_id": "item_1"},
    {"type": "playback.ack", "response_id": "resp_1", "played_ms": 40},
    {"type": "session.input_audio.append", "audio": "AAAAAAAAAAA="},
    {"type": "session.resume", "session_id": "a", "resume_token": "b", "last_received_server_event_seq": 1},
    {"type": "make.coffee"},
)
_STRANGE: Sequence[Any] = (None, True, -1, 10**30, 0.5, "", "root", "====", [], {}, [[]], "\ud800")
_STORM = ("response.cancel", "output_audio_buffer.clear", "input_audio_buffer.clear", "response.create")
_LIVE_STORM = ("session.input_audio.mute", "session.input_audio.unmute")


class Left(Exception):
    """The server has ended the session; the message says how."""


class Stuck(Exception):
    """What must come did not come."""


class SocketCall:
    """Runs one plan. `judge` knows what came of it."""

    def __init__(self, plan: Plan, port: int, speed: float) -> None:
        self._plan = plan
        self._port = port
        self._speed = speed
        self._choose = plan.choices()
        self.judge = Judge(plan)
        self._socket: ClientConnection | None = None
        self._news = asyncio.Condition()
        self._ended: str | None = None
        self._said = 0
        self._reads = asyncio.Event()
        self._by_name = plan.interface in {"openai", "openai-beta"} and "reconnect" in plan.steps

    # --- the frame of a session

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The session lives in the body. Raises `Left` when it is refused."""
        await self._connect(self._query())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._read()), group.create_task(self._be_silent())]
            try:
                await self._greet()
                yield
            finally:
                for task in tasks:
                    task.cancel()
                if self._socket is not None:
                    self._socket.transport.abort()

    async def step(self, name: str) -> None:
        """One step of the plan. Raises `Left` when the server ended the session, `Stuck` when it owes something."""
        await getattr(self, f"_{name}")()

    async def end(self) -> None:
        """End the session as the plan says."""
        socket = self._living()
        if self._plan.end == "abort":
            socket.transport.abort()
        elif self._plan.end == "leave":
            await socket.close(1001)
        else:
            await self._send({"type": "session.close"})
            await self._until(lambda: self._ended is not None, hard=True)

    # --- steps

    async def _say(self) -> None:
        mark = marks_of(self._plan.index)[min(self._said, 2)]
        words = utterance(mark, self._choose.uniform(0.7, 1.5), self._plan.index + self._said)
        if self._said > 2:
            self.judge.sounds.repeat(mark)
        self._said += 1
        for piece in _pieces(words + bytes(2 * INPUT_RATE_HZ), self._choose, at_least_s=_MIC_S):
            await self._send_sound(piece)

    async def _answer(self) -> None:
        begun = self.judge.begun
        await self._until(lambda: self.judge.is_open or self.judge.begun > begun)
        await asyncio.sleep(self._choose.uniform(0.0, 1.0) / self._speed)

    async def _done(self) -> None:
        begun = self.judge.begun
        await self._until(lambda: self.judge.begun > begun or self.judge.is_open)
        await self._until(lambda: not self.judge.is_open, hard=True)

    async def _cancel(self) -> None:
        await self._send({"type": "response.cancel"})
        await self._until(lambda: not self.judge.is_open, hard=self._plan.interface != "live")

    async def _storm(self) -> None:
        kinds = _LIVE_STORM if self._plan.interface == "live" else _STORM
        for _ in range(self._choose.randrange(5, 40)):
            await self._send({"type": self._choose.choice(kinds)})
        if self._plan.interface == "live":
            await self._send({"type": "session.input_audio.unmute"})

    async def _garbage(self) -> None:
        for _ in range(self._choose.randrange(3, 20)):
            await self._send_raw(_garbage(self._choose))

    async def _flood(self) -> None:
        mark = marks_of(self._plan.index)[2]
        self.judge.sounds.repeat(mark)
        words = utterance(mark, 3.0) + bytes(2 * INPUT_RATE_HZ)
        for _ in range(self._choose.randrange(4, 12)):
            await self._send_sound(words)

    async def _stall(self) -> None:
        self._reads.clear()
        await asyncio.sleep(self._choose.uniform(0.0, 15.0) / self._speed)
        self._reads.set()

    async def _reconnect(self) -> None:
        if self._plan.interface not in {"binary", "openai", "openai-beta"}:
            return
        self._reads.clear()
        last = self.judge.received
        self._living().transport.abort()
        self._socket = None
        await asyncio.sleep(self._choose.choice((0.0, 0.0, 5.0, 40.0)) / self._speed)
        if self._by_name:
            self.judge.begin_anew(in_the_middle=True)
            await self._connect(self._query())
        else:
            await self._connect({**self._query(), "resume": "1"})
            request = {"session_id": self.judge.session_id, "resume_token": self.judge.token}
            self.judge.is_resuming = True
            await self._send({"type": "session.resume", **request, "last_received_server_event_seq": last})
        self._reads.set()

    # --- the wire

    def _query(self) -> dict[str, str]:
        plan = self._plan
        if plan.interface == "minicpmo":
            return {"mode": "audio", "conversation": plan.mode}
        query = {"conversation": plan.mode}
        if plan.interface != "live":
            query |= {"input_rate": str(INPUT_RATE_HZ), "output_rate": str(plan.rate_hz)}
        if self._choose.random() < 0.75:
            # Looking for echo is the dearest part of a call.
            query["echo"] = "cancelled"
        if plan.interface == "binary":
            query["audio"] = "binary"
        elif self._by_name:
            query["session"] = f"torture-{plan.seed}-{plan.index}"
        return query

    async def _connect(self, query: dict[str, str]) -> None:
        path = "/v1/live/sessions" if self._plan.interface == "live" else "/v1/realtime"
        headers = {"OpenAI-Beta": "realtime=v1"} if self._plan.interface == "openai-beta" else {}
        try:
            self._socket = await connect(
                f"ws://{LOOPBACK}:{self._port}{path}?{urlencode(query)}",
                additional_headers=headers,
                compression=None,
                proxy=None,
                max_size=None,
                max_queue=8,
                open_timeout=60,
                close_timeout=10,
                ping_interval=None,
            )
        except InvalidStatus as error:
            raise Left(f"refused {error.response.status_code}") from None
        except (InvalidHandshake, InvalidMessage, OSError) as error:
            raise Left(f"refused {type(error).__name__}") from None
        self._ended = None
        self._reads.set()

    async def _greet(self) -> None:
        kinds = self.judge.kinds
        if self._plan.interface == "minicpmo":
            await self._until(lambda: "session.queue_done" in kinds, hard=True)
            await self._send({"type": "session.update", "session": {}})
        elif self._plan.interface == "live":
            form = {"type": "audio/pcm", "rate": INPUT_RATE_HZ}
            await self._send({"type": "session.start", "session": {"model": "m", "audio": {"format": form}}})
        await self._until(lambda: bool(kinds & {"session.created", "session.started"}), hard=True)
        if self._plan.interface == "binary" and "reconnect" in self._plan.steps:
            await self._send({"type": "session.event_ack", "server_event_seq": self.judge.received})

    async def _read(self) -> None:
        while True:
            await self._reads.wait()
            socket = self._socket
            if socket is None:
                await asyncio.sleep(0)
                continue
            try:
                message = await socket.recv()
            except ConnectionClosed as closed:
                if socket is not self._socket or not self._reads.is_set():
                    # We have hung up ourselves, and shall come back.
                    await asyncio.sleep(0.001)
                    continue
                self._ended = str(closed.rcvd.code if closed.rcvd else 1006)
                self._note_close(self._ended)
            else:
                if socket is self._socket:
                    self.judge.hear(message)
            async with self._news:
                self._news.notify_all()
            if self._ended is not None:
                return

    def _note_close(self, code: str) -> None:
        # Who does not read is dropped, and then his pongs may be late too.
        may_be_dropped = self._plan.end == "abort" or "stall" in self._plan.steps
        if int(code) not in _ORDERLY and not may_be_dropped:
            self.judge.violations.append(f"the connection ended with {code}")

    async def _be_silent(self) -> None:
        """The microphone between words, in the server's time. Most callers here leave it to the server to find that it
        sends nothing, which costs neither of them a thing."""
        if self._choose.random() < 0.7:
            await asyncio.Event().wait()
        silence = bytes(2 * round(_MIC_S * INPUT_RATE_HZ))
        while True:
            await asyncio.sleep(_MIC_S / self._speed)
            ready = self.judge.kinds & {"session.created", "session.started"}
            if ready and self._socket is not None and self._ended is None:
                with contextlib.suppress(Left):
                    await self._send_sound(silence)

    async def _until(self, condition: Callable[[], bool], *, hard: bool = False) -> None:
        """Wait. `hard`: it must come true, however slow the engine; else there may be reasons why it does not."""
        patience_s = 30 + 900 / self._speed if hard else 1 + 15 / self._speed
        try:
            async with asyncio.timeout(patience_s), self._news:
                await self._news.wait_for(lambda: condition() or self._ended is not None)
        except TimeoutError:
            if hard:
                raise Stuck from None
        if self._ended is not None and not condition():
            raise Left(f"closed {self._ended}")

    def _living(self) -> ClientConnection:
        if self._socket is None or self._ended is not None:
            raise Left(f"closed {self._ended}")
        return self._socket

    async def _send(self, event: dict[str, Any]) -> None:
        await self._send_raw(json.dumps(event))

    async def _send_raw(self, frame: str | bytes) -> None:
        try:
            async with asyncio.timeout(30 + 900 / self._speed):
                await self._living().send(frame)
        except ConnectionClosed as closed:
            raise Left(f"closed {closed.rcvd.code if closed.rcvd else 1006}") from None
        except TimeoutError:
            raise Stuck from None

    async def _send_sound(self, pcm: bytes) -> None:
        match self._plan.interface:
            case "binary":
                await self._send_raw(pcm)
            case "minicpmo":
                floats = np.frombuffer(pcm, dtype="<i2").astype("<f4") / 32768
                await self._send({"type": "input_audio_buffer.append", "audio": _base64(floats.tobytes())})
            case "live":
                await self._send({"type": "session.input_audio.append", "audio": _base64(pcm)})
            case _:
                await self._send({"type": "input_audio_buffer.append", "audio": _base64(pcm)})


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _pieces(pcm: bytes, choose: random.Random, *, at_least_s: float) -> Iterator[bytes]:
    at = 0
    while at < len(pcm):
        size = 2 * round(choose.uniform(at_least_s, 0.6) * INPUT_RATE_HZ)
        # What is too little for a message of its own goes with the last one.
        end = len(pcm) if len(pcm) - at - size < 2 * round(at_least_s * INPUT_RATE_HZ) else at + size
        yield pcm[at:end]
        at = end


def _garbage(choose: random.Random) -> str | bytes:
    dice = choose.random()
    if dice < 0.2:
        return choose.choice(("", "{", "[]", "null", "7", '{"type":1}', "[" * 3000, '{"a":' * 500, "\x00"))
    if dice < 0.3:
        return choose.randbytes(choose.choice((1, 3, 7)))
    if dice < 0.33:
        return json.dumps({"type": "input_audio_buffer.append", "audio": "A" * choose.randrange(100_000)})
    event = dict(choose.choice(_EVENTS))
    if len(event) > 1 or choose.random() < 0.5:
        event[choose.choice(list(event))] = choose.choice(_STRANGE)
    return json.dumps(event)
