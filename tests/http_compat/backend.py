"""A stand-in of the backend that sends calls to registered nodes: its registry, its health monitor, and its calls."""

import asyncio
import base64
import json
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict

from duplex.engine.base import ENGINE_INPUT_RATE_HZ, Mode
from duplex.wav import write_wav

__all__ = ["Backend", "Call", "Chunk", "Fired", "PieceReader", "Record", "Stream", "init_body"]

_HEALTH_S = 5.0
_REQUEST_S = 120.0
"""For a whole request, also for a whole stream."""

_RETRY_DELAYS_S = (1.0, 2.0, 4.0)

_DONE_LETTERS = ('"done": true', '"done":true')

_PATIENCE_S = 20.0
"""A condition that does not come true fails its own test and no other."""

Json = dict[str, Any]
Answer = TypeVar("Answer")


# --- the registry


class _Registration(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    ip: str
    port: int
    model_port: int
    service_name: str
    model_type: str
    session_type: str


@dataclass(slots=True)
class Record:
    """One node in the list. `misses` counts the health checks it missed in a row."""

    registration: _Registration
    status: str = "available"
    heartbeat_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    locked_by: str | None = None
    lock_time: datetime | None = None
    misses: int = 0

    @property
    def health_url(self) -> str:
        """Where the monitor asks."""
        return f"http://{self.registration.ip}:{self.registration.port + 1}/health"

    def row(self, service_id: str) -> Json:
        """The node as `/services` shows it."""
        return {
            "service_id": service_id,
            **self.registration.model_dump(),
            "status": self.status,
            "heartbeat_time": self.heartbeat_time.isoformat(),
            "locked_by": self.locked_by,
            "lock_time": self.lock_time and self.lock_time.isoformat(),
        }


class Backend:
    """The registry in memory, behind `app`. `node_transport` is the way to the nodes; None is the network."""

    def __init__(self, *, node_transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.app = FastAPI()
        self.records: dict[str, Record] = {}
        self.registered: list[Json] = []
        """The bodies of all registrations so far."""
        self.unregistered: list[str] = []
        """The service_ids of all requests to unregister so far."""
        self.looks = 0
        """How often somebody asked for the list."""
        self._node_transport = node_transport
        self.app.post("/api/inference/register")(self._register)
        self.app.delete("/api/inference/unregister/{service_id}")(self._unregister)
        self.app.get("/api/inference/services")(self._services)

    def forget(self) -> None:
        """What a restart does."""
        self.records.clear()

    def lock(self, service_id: str, user: str) -> None:
        """A call of `user` begins."""
        record = self.records[service_id]
        record.locked_by, record.lock_time, record.status = user, datetime.now(UTC), "busy"

    def release(self, service_id: str) -> None:
        """The call is over."""
        record = self.records[service_id]
        record.locked_by, record.lock_time, record.status = None, None, "available"

    async def check_health(self) -> None:
        """One round of the monitor: the first miss takes a node offline, the second in a row deletes it for good."""
        for service_id, record in list(self.records.items()):
            if await self._is_healthy(record):
                record.misses = 0
                record.heartbeat_time = datetime.now(UTC)
                record.status = "busy" if record.locked_by else "available"
                continue
            record.misses += 1
            record.status = "offline"
            if record.misses > 1:
                del self.records[service_id]

    async def _is_healthy(self, record: Record) -> bool:
        try:
            async with (
                asyncio.timeout(_HEALTH_S),
                httpx.AsyncClient(transport=self._node_transport, trust_env=False, timeout=None) as client,
            ):
                return (await client.get(record.health_url)).status_code == 200
        except (httpx.HTTPError, TimeoutError):
            return False

    async def _register(self, registration: _Registration) -> Json:
        service_id = f"{registration.ip}:{registration.port}"
        self.registered.append(registration.model_dump())
        self.records[service_id] = Record(registration)
        return {"service_id": service_id, "message": "registered"}

    async def _unregister(self, service_id: str) -> Json:
        self.unregistered.append(service_id)
        if self.records.pop(service_id, None) is None:
            raise HTTPException(404, "no such service")
        return {"message": "unregistered"}

    async def _services(self, available_only: bool = False) -> Json:
        self.looks += 1
        rows = [
            record.row(service_id)
            for service_id, record in self.records.items()
            if record.status == "available" or not available_only
        ]
        return {"services": rows, "total": len(rows)}


# --- one call


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk event, and the number of the stream it came in."""

    pcm: bytes
    text: str
    chunk_idx: int
    sample_rate: int
    stream: int


@dataclass(slots=True)
class Stream:
    """One generate request. `number` counts them from 0, repeated ones too."""

    number: int
    status: int | None = None
    """None: there was no answer."""
    messages: list[str] = field(default_factory=list)
    """What came, up to the first message that looks like a done event."""
    done: Json | None = None
    refusal: str = ""
    """The body of an answer that is no stream."""

    @property
    def events(self) -> list[Json]:
        """The messages that are events."""
        return [event for message in self.messages if (event := _event(message)) is not None]


@dataclass(frozen=True, slots=True)
class Fired:
    """Requests on their way. Nobody has to wait for them; a result of None is a request that had no answer."""

    prefill: asyncio.Task[int | None] | None = None
    generate: asyncio.Task[Stream] | None = None


class PieceReader:
    """Messages out of pieces of TCP. Each piece is decoded for itself: a character cut in two is lost."""

    def __init__(self) -> None:
        self._waiting = ""

    def push(self, piece: bytes) -> list[str]:
        """The messages this piece completes."""
        *whole, self._waiting = (self._waiting + piece.decode("utf-8", errors="ignore")).split("\n\n")
        return [message for message in whole if message.strip()]


def init_body(**changes: object) -> Json:
    """The keys the backend sends; what is not chosen in the page is null."""
    return {
        "highRefresh": False,
        "highImage": False,
        "timbreId": None,
        "timbreBase64": None,
        "media_type": None,
        "audio_prompt_text": None,
        "task_prompt_text": None,
        "timbre_id": None,
        "checkpoint_id": None,
        **changes,
    }


class Call:
    """Drives a node as the backend does, at any pace: the test decides when the next second goes.

    Use it as a context manager; leaving it abandons what still runs. `control_url` is port + 1 unless it is given.
    `sleep` waits before a request is repeated.
    """

    def __init__(
        self,
        *,
        base_url: str,
        mode: Mode,
        control_url: str | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._control_url = (control_url or _next_port(self._base_url)).rstrip("/")
        self._mode = mode
        self._sleep = sleep
        self._client = httpx.AsyncClient(
            trust_env=False, timeout=None, limits=httpx.Limits(max_connections=None, max_keepalive_connections=None)
        )
        self._tasks: list[asyncio.Task[Any]] = []
        self._changed = asyncio.Event()
        self._audio_id = 0
        self._round = 0
        self._running: set[int] = set()
        self.session_id = f"{uuid.uuid4()}1"
        """A room of the backend's, nothing the node ever said."""
        self.init_answer: Json | None = None
        self.chunks: list[Chunk] = []
        """In the order they came, over all streams."""
        self.streams: list[Stream] = []
        self.statuses: list[tuple[str, int]] = []
        """Route and status of every answer, in the order they came."""
        self.failures: list[str] = []
        """Every request that broke, with its reason."""

    @property
    def done_events(self) -> list[Json]:
        """One for each stream that had one, in the order the streams were asked for."""
        return [stream.done for stream in self.streams if stream.done is not None]

    @property
    def pcm(self) -> bytes:
        """All sound so far."""
        return b"".join(chunk.pcm for chunk in self.chunks)

    @property
    def text(self) -> str:
        """All words so far."""
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def generates(self) -> bool:
        """Whether a generate runs now."""
        return bool(self._running)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.abandon()
        await self._client.aclose()
        bugs = [task for task in self._tasks if not task.cancelled() and task.exception()]
        if error is None and bugs:
            bugs[0].result()

    async def begin(self, **changes: object) -> int | None:
        """Ask for a session; the status. `changes` go into the body."""
        return await self._attempt(lambda: self._post_init(init_body(**changes)))

    async def say(self, pcm: bytes | None, *, jpeg: bytes | None = None, generate_first: bool = False) -> Fired:
        """One second of 16 kHz mono PCM, and an image with it.

        In duplex its generate is fired at once, too. In simplex the prefill is all, and it has been answered when this
        returns, because the next one comes a second later.
        """
        if self._mode is Mode.DUPLEX:
            return self._fire(pcm, jpeg, is_last=False, generate_first=generate_first)
        prefill = self._prefill(pcm, jpeg, is_last=False)
        await asyncio.wait({prefill})
        return Fired(prefill=prefill)

    def show(self, jpeg: bytes) -> Fired:
        """An image without sound. It belongs to the sound that comes next."""
        return Fired(prefill=self._post_later(self._prefill_body(None, jpeg, is_last=False)))

    def finish(self, tail: bytes | None, *, generate_first: bool = False) -> Fired:
        """Simplex: the end of speech was heard. The tail and the generate go together; without a tail, generate alone.

        `generate_first` sends them in the other order, as happens when two connections race.
        """
        if tail is None:
            return Fired(generate=self._generate())
        return self._fire(tail, None, is_last=True, generate_first=generate_first)

    async def break_off(self, *, abandon: bool = False) -> int | None:
        """The user interrupts: asked for only while a generate runs. `abandon` also drops the connections of all
        running requests first."""
        if not self.generates:
            return None
        if abandon:
            await self.abandon()
        return await self._attempt(lambda: self._post_control("/omni/break"))

    async def end(self) -> int | None:
        """The call is over; the user's lock is released only after a 2xx."""
        return await self._attempt(lambda: self._post_control("/omni/stop"))

    async def abandon(self) -> None:
        """Cancel all requests, which closes their connections."""
        running = {task for task in self._tasks if not task.done()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def settle(self) -> None:
        """Wait for the end of everything that was fired so far and not abandoned."""
        async with asyncio.timeout(_PATIENCE_S):
            for task in [task for task in self._tasks if not task.cancelled()]:
                await task

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that came makes the condition true."""
        async with asyncio.timeout(_PATIENCE_S):
            while not condition():
                await self._changed.wait()

    def _fire(self, pcm: bytes | None, jpeg: bytes | None, *, is_last: bool, generate_first: bool) -> Fired:
        if generate_first:
            generate = self._generate()
            return Fired(prefill=self._prefill(pcm, jpeg, is_last=is_last), generate=generate)
        return Fired(prefill=self._prefill(pcm, jpeg, is_last=is_last), generate=self._generate())

    def _prefill(self, pcm: bytes | None, jpeg: bytes | None, *, is_last: bool) -> asyncio.Task[int | None]:
        body = self._prefill_body(pcm, jpeg, is_last=is_last)
        self._audio_id += 1
        return self._post_later(body)

    def _prefill_body(self, pcm: bytes | None, jpeg: bytes | None, *, is_last: bool) -> Json:
        wav = None if pcm is None else write_wav(pcm, rate_hz=ENGINE_INPUT_RATE_HZ)
        return {
            "session_id": self.session_id,
            "audio": None if wav is None else base64.b64encode(wav).decode("ascii"),
            "image": None if jpeg is None else base64.b64encode(jpeg).decode("ascii"),
            "image_audio_id": self._audio_id,
            "round": self._round,
            "last_chunk": is_last,
        }

    def _post_later(self, body: Json) -> asyncio.Task[int | None]:
        return self._start(self._attempt(lambda: self._post("/omni/streaming_prefill", body)))

    def _generate(self) -> asyncio.Task[Stream]:
        self._round += 1
        body = {"session_id": self.session_id, "mode": self._mode.value, "stream": True}
        return self._start(self._generate_until_done(body))

    def _start(self, request: Coroutine[Any, Any, Answer]) -> asyncio.Task[Answer]:
        task = asyncio.create_task(request)
        self._tasks.append(task)
        return task

    async def _generate_until_done(self, body: Json) -> Stream:
        """The stream of the last attempt."""
        attempts: list[Stream] = []

        async def attempt() -> None:
            stream = Stream(len(self.streams))
            attempts.append(stream)
            self.streams.append(stream)
            self._running.add(stream.number)
            self._tell()
            try:
                await self._read(stream, body)
            finally:
                self._running.discard(stream.number)
                self._tell()

        await self._attempt(attempt)
        return attempts[-1]

    async def _read(self, stream: Stream, body: Json) -> None:
        route = "/omni/streaming_generate"
        async with self._client.stream("POST", f"{self._base_url}{route}", json=body) as response:
            stream.status = response.status_code
            self._note(route, response.status_code)
            if not response.is_success:
                stream.refusal = (await response.aread()).decode("utf-8", errors="replace")
                return
            reader = PieceReader()
            async for piece in response.aiter_raw():
                for message in reader.push(piece):
                    self._take(stream, message)
                    if stream.done is not None:
                        return

    def _take(self, stream: Stream, message: str) -> None:
        stream.messages.append(message)
        event = _event(message) or {}
        if any(letters in message for letters in _DONE_LETTERS):
            stream.done = event
        elif "chunk_data" in event:
            part = event["chunk_data"]
            self.chunks.append(
                Chunk(
                    pcm=base64.b64decode(part.get("wav", "")),
                    text=part.get("text", ""),
                    chunk_idx=event["chunk_idx"],
                    sample_rate=part.get("sample_rate", 24_000),
                    stream=stream.number,
                )
            )
        self._tell()

    async def _post_init(self, body: Json) -> int:
        response = await self._client.post(f"{self._base_url}/omni/init_sys_prompt", json=body)
        self.init_answer = response.json()
        return self._note("/omni/init_sys_prompt", response.status_code)

    async def _post(self, route: str, body: Json) -> int:
        return self._note(route, (await self._client.post(f"{self._base_url}{route}", json=body)).status_code)

    async def _post_control(self, route: str) -> int:
        return self._note(route, (await self._client.post(f"{self._control_url}{route}")).status_code)

    async def _attempt(self, request: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """A request that may break three times; None when it broke once more, or took too long."""
        for delay_s in (*_RETRY_DELAYS_S, None):
            try:
                async with asyncio.timeout(_REQUEST_S):
                    return await request()
            except TimeoutError:
                self.failures.append(f"took more than {_REQUEST_S:g} s")
                break
            except httpx.TransportError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            self._tell()
            if delay_s is not None:
                await self._sleep(delay_s)
        return None

    def _note(self, route: str, status: int) -> int:
        self.statuses.append((route, status))
        self._tell()
        return status

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _event(message: str) -> Json | None:
    line = message.strip()
    if not line.startswith("data:"):
        return None
    try:
        event = json.loads(line.removeprefix("data:"))
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _next_port(url: str) -> str:
    parsed = httpx.URL(url)
    assert parsed.port is not None
    return str(parsed.copy_with(port=parsed.port + 1))
