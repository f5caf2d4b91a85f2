"""One session over HTTP, as its plan says.

Old clients do not say which session they mean: the server goes by their host. So each session here has an address of
its own, of the 127/8 that is all loopback on Linux.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator

from bench.errors import BenchError
from bench.http_client import HttpClient, json_body
from bench.torture.judge import Sounds
from bench.torture.plan import Plan
from bench.torture.socket_call import Left, Stuck
from bench.torture.voice import INPUT_RATE_HZ, marks_of, utterance
from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ, Mode
from duplex.engine.ports import LOOPBACK
from duplex.wav import write_wav

__all__ = ["HttpTortureCall"]

_BUFFER_BYTES = 2**22
_MOST_ROUNDS = 8
"""Seconds that are asked about in duplex until the model listens again."""
_TRIES = 10
_TRY_AGAIN_S = 5.0
_NOT_UNDERSTOOD = (b"{", b"[]", b'"a"', b"\0", b"\xff")
_NOT_DONE = (b"", b"{}", b'{"audio": 7}', b'{"audio": "UklGRg=="}', b'{"image": "/9j/"}', b'{"audio": ""}')
_SILENCE = bytes(2 * INPUT_RATE_HZ)


class HttpTortureCall:
    """Runs one plan. `violations` and `sounds` know what came of it."""

    def __init__(self, plan: Plan, port: int, speed: float) -> None:
        self._plan = plan
        self._port = port
        self._speed = speed
        self._choose = plan.choices()
        self._host = f"127.{1 + plan.index // 62_500 % 250}.{plan.index // 250 % 250}.{2 + plan.index % 250}"
        self._group: asyncio.TaskGroup | None = None
        self._stream: asyncio.Task[None] | None = None
        self._sounded = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()
        self._next_chunk = 0
        self._listens = False
        self._session_id = ""
        self._said = 0
        self._is_failed = False
        self.sounds = Sounds(plan)
        self.violations: list[str] = []
        self.begun = self.ended = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The session lives in the body. Raises `Left` when it is refused."""
        self._session_id = json.loads(await self._begin())["session_id"]
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                if self._stream is not None:
                    self._stream.cancel()

    async def _begin(self) -> bytes:
        """Callers by HTTP have no place in the queue, and so try again."""
        body = json_body({"media_type": "audio", "duplex_mode": self._plan.mode == Mode.DUPLEX})
        for _ in range(_TRIES):
            with contextlib.suppress(Left):
                return await self._post("/omni/init_sys_prompt", body)
            await asyncio.sleep(_TRY_AGAIN_S / self._speed)
        return await self._post("/omni/init_sys_prompt", body)

    async def step(self, name: str) -> None:
        """One step of the plan. Raises `Left` when the session cannot go on, `Stuck` when a stream does not end."""
        await getattr(self, f"_{name}")()
        if self._is_failed:
            raise Left("an answer failed")

    async def end(self) -> None:
        """Stop, or just go."""
        if self._plan.end == "close":
            await self._post(f"/omni/stop?session_id={self._session_id}")
            if self._stream is not None:
                await self._finished(self._stream)

    # --- steps

    async def _say(self) -> None:
        mark = marks_of(self._plan.index)[min(self._said, 2)]
        if self._said > 2:
            self.sounds.repeat(mark)
        words = utterance(mark, self._choose.uniform(0.7, 1.5), self._plan.index + self._said)
        self._said += 1
        await self._prefill(words + _SILENCE, last=True)

    async def _answer(self) -> None:
        stream = self._open_stream()
        sounded = asyncio.ensure_future(self._sounded.wait())
        await asyncio.wait({stream, sounded}, return_when=asyncio.FIRST_COMPLETED)
        sounded.cancel()

    async def _done(self) -> None:
        for _ in range(_MOST_ROUNDS):
            await self._finished(self._open_stream())
            self._stream = None
            if self._plan.mode == Mode.SIMPLEX or self._listens or self._is_failed:
                return
            await self._prefill(_SILENCE, last=False)

    async def _cancel(self) -> None:
        await self._post(f"/omni/break?session_id={self._session_id}")
        if self._stream is not None:
            await self._finished(self._stream)
            self._stream = None

    async def _storm(self) -> None:
        for _ in range(self._choose.randrange(3, 15)):
            await self._post(f"/omni/break?session_id={self._session_id}")

    async def _garbage(self) -> None:
        for _ in range(self._choose.randrange(2, 8)):
            route = self._choose.choice(("init_sys_prompt", "streaming_prefill", "streaming_generate", "nothing"))
            # An init that is understood would be a new session, and such a generate an answer.
            bodies = _NOT_UNDERSTOOD if route.endswith(("prompt", "generate")) else (*_NOT_UNDERSTOOD, *_NOT_DONE)
            with contextlib.suppress(Left):
                await self._post(f"/omni/{route}", self._choose.choice(bodies))

    async def _flood(self) -> None:
        mark = marks_of(self._plan.index)[2]
        self.sounds.repeat(mark)
        await self._prefill((utterance(mark, 3.0) + _SILENCE) * self._choose.randrange(2, 8), last=False)

    async def _stall(self) -> None:
        self._reads.clear()
        await asyncio.sleep(self._choose.uniform(0.0, 15.0) / self._speed)
        self._reads.set()

    async def _reconnect(self) -> None:
        """Hang up in the middle of an answer and go on by another connection."""
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    # --- the wire

    async def _prefill(self, pcm: bytes, *, last: bool) -> None:
        wav = base64.b64encode(write_wav(pcm, rate_hz=INPUT_RATE_HZ)).decode("ascii")
        await self._post("/omni/streaming_prefill", json_body({"audio": wav, "is_last_chunk": last}))

    def _open_stream(self) -> "asyncio.Task[None]":
        assert self._group is not None
        if self._stream is None or self._stream.done():
            self._sounded.clear()
            self._stream = self._group.create_task(self._read_answer())
        return self._stream

    async def _finished(self, stream: "asyncio.Task[None]") -> None:
        self._reads.set()
        # A stream may be cut off by whoever broke it; it must end in any case.
        done, _ = await asyncio.wait({stream}, timeout=30 + 900 / self._speed)
        if not done:
            raise Stuck

    async def _read_answer(self) -> None:
        dones = 0
        try:
            async with self._connected() as client:
                pieces = await client.open_stream("/omni/streaming_generate", b"{}")
                self.begun += 1
                async for piece in pieces:
                    await self._reads.wait()
                    if piece.content:
                        if dones:
                            self.violations.append("something came after the end of an answer")
                        dones += self._understand(json.loads(piece.content.removeprefix(b"data: ")))
        except BenchError as error:
            self._note(error)
            self._is_failed = True
            return
        if dones != 1:
            self.violations.append(f"{dones} ends of one answer")
        self.ended += 1

    def _understand(self, event: dict[str, object]) -> bool:
        """One event; True when the answer is over with it."""
        if "error" in event:
            self._is_failed = True
        chunk = event.get("chunk_data")
        if isinstance(chunk, dict):
            if self._plan.mode == Mode.SIMPLEX and event["chunk_idx"] == 0:
                self._next_chunk = 0
            if event["chunk_idx"] != self._next_chunk:
                self.violations.append(f"chunk {event['chunk_idx']} came in the place of {self._next_chunk}")
            self._next_chunk += 1
            self.sounds.hear(base64.b64decode(chunk["wav"], validate=True), ENGINE_OUTPUT_RATE_HZ)
            self._sounded.set()
        if event.get("done") is not True:
            return False
        self._listens = event.get("is_listen") is True or event.get("break") is True
        self.sounds.over(cut=event.get("break") is True)
        return True

    async def _post(self, path: str, body: bytes = b"") -> bytes:
        try:
            async with self._connected() as client:
                return (await client.post(path, body)).body
        except BenchError as error:
            self._note(error)
            raise Left(str(error).partition(": ")[0]) from None

    def _note(self, error: BenchError) -> None:
        """Whatever is answered is answered in words of ours, and everything is answered."""
        if "Internal Server Error" in str(error) or "No answer to" in str(error):
            self.violations.append(str(error))

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[HttpClient]:
        try:
            reader, writer = await asyncio.open_connection(
                LOOPBACK, self._port, limit=_BUFFER_BYTES, local_addr=(self._host, 0)
            )
        except OSError as error:
            raise BenchError(f"no connection {type(error).__name__}") from None
        try:
            yield HttpClient(reader, writer)
        except (OSError, EOFError) as error:
            raise BenchError(f"connection lost {type(error).__name__}") from None
        finally:
            writer.transport.abort()

    def finish(self) -> list[str]:
        """The session is over: everything that was wrong."""
        self.sounds.over()
        return [*self.violations, *self.sounds.violations]
