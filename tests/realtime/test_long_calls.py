"""Hours of conversation in seconds: what is kept of a call is that of its last minutes, however long it lasts.

The whole of the server between a socket and an engine runs, on a loop whose time leaps. The queues that take long to
fill (docs/queues.md) are made short, so that they are full before the first look; from then on every byte counts.
"""

import asyncio
import base64
import json
from collections import Counter
from typing import Any

import pytest
from fastapi import FastAPI

from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import EngineAudio, EngineEvent, EngineIdle, EngineText, Mode
from duplex.evidence import NO_VOICE, Evidence
from duplex.session import SessionLimits
from realtime.access import Access
from realtime.dialects.choice import LIVE_PATH
from realtime.dialects.conversation_items import LARGEST_ITEMS_BYTES, ConversationItems
from realtime.endpoint import RealtimeService, make_router
from realtime.resume import Journal
from tests.duplex.fake_engine import FakeEngine
from tests.duplex.talk import LOUD, VOICE
from tests.leaping_loop import LeapingLoop, LoopClock
from tests.realtime.test_endpoint import Pool
from tests.weight import weighing, weight

TURN_S = 1.6
FEW, MANY = 40, 70
"""Turns until everything is full, and until the second look."""

GROWS_LESS_THAN = 4000
"""Bytes, 133 a turn. Between two looks of a flat server lie some hundred in all: what it keeps breathes."""

ANSWER: list[EngineEvent] = [EngineText("Yes, indeed."), EngineAudio(bytes(24_000)), EngineIdle()]


class ForgetfulEngine(FakeEngine):
    """Answers all there is, and remembers none of it: the test's own memory must not grow either."""

    async def prefill(self, pcm: bytes, *, image: bytes | None = None, slices: int = 1) -> None:
        del pcm, image, slices

    async def decode(self) -> None:
        self.emit(*ANSWER)

    async def interrupt(self, *, forget: bool = False) -> None:
        del forget
        self.emit(EngineIdle(interrupted=True))


class SampleIsSpeech:
    """One sample tells: the detectors of the product are not what is looked at, and take most of the time."""

    def __init__(self, *, behind_canceller: bool = False) -> None:
        del behind_canceller

    def judge(self, frame: bytes, far: bytes = b"") -> Evidence:
        del far
        return VOICE if int.from_bytes(frame[160:162], "little", signed=True) > 50 else NO_VOICE


class Call:
    """A client without a socket: what it sends is there at once, and what it gets is only counted."""

    def __init__(self, path: str, query: str) -> None:
        self.got: Counter[str] = Counter()
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        self._scope = {
            "type": "websocket",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [],
            "subprotocols": [],
            "client": ("10.0.0.1", 4001),
            "server": ("10.0.0.9", 80),
            "scheme": "ws",
            "root_path": "",
        }

    def send(self, event: object) -> None:
        self._inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(event)})

    def hang_up(self) -> None:
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def serve(self, app: FastAPI) -> None:
        await app(self._scope, self._inbox.get, self._receive)

    async def _receive(self, message: Any) -> None:
        if message["type"] == "websocket.send" and message.get("text"):
            self.got[json.loads(message["text"])["type"]] += 1


async def turns(call: Call, count: int, kind: str) -> None:
    """Each: a word, and the silence in which it is answered."""
    loud, quiet = (base64.b64encode(sample * 2400).decode() for sample in (LOUD, b"\0\0"))
    for _ in range(count):
        for at in range(round(TURN_S * 10)):
            call.send({"type": kind, "audio": loud if at < 4 else quiet})
            await asyncio.sleep(0.1)


async def growth(path: str, query: str, start: dict[str, Any], kind: str) -> tuple[int, Counter[str]]:
    """By how many bytes a call grows from its first minutes to its last."""
    app = FastAPI()
    service = RealtimeService(
        lease=Pool(ForgetfulEngine()).lease,
        access=Access(),
        defaults=ConversationSettings(mode=Mode.SIMPLEX),
        limits=SessionLimits(),
        make_detector=SampleIsSpeech,
        clock=LoopClock(),
    )
    app.include_router(make_router(service))
    call = Call(path, query)
    serving = asyncio.create_task(call.serve(app))
    if start:
        call.send(start)
    await turns(call, FEW, kind)
    before = weight()
    await turns(call, MANY - FEW, kind)
    after = weight()
    call.hang_up()
    await serving
    return after - before, call.got


@pytest.mark.parametrize(
    ("path", "query", "start", "kind", "answers"),
    [
        ("/v1/realtime", "?ext=1", {}, "input_audio_buffer.append", "response.done"),
        (
            LIVE_PATH,
            "?conversation=simplex",
            {"type": "session.start", "session": {"model": "m"}},
            "session.input_audio.append",
            "session.output_transcript.delta",
        ),
    ],
)
def test_what_is_kept_of_a_call_does_not_grow(
    monkeypatch: pytest.MonkeyPatch, path: str, query: str, start: dict[str, Any], kind: str, answers: str
) -> None:
    monkeypatch.setattr(ConversationItems.__init__, "__defaults__", (20, LARGEST_ITEMS_BYTES))
    monkeypatch.setitem(Journal.__init__.__kwdefaults__, "max_frames", 100)  # type: ignore[arg-type]
    with weighing(), asyncio.Runner(loop_factory=LeapingLoop) as runner:
        grown, got = runner.run(growth(path, query, start, kind))
    assert got[answers] >= MANY
    assert grown < GROWS_LESS_THAN
