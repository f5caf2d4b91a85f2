"""The shell: what it performs, what it lets through, how it ends."""

import asyncio
from dataclasses import replace

import pytest

from duplex.clock import MonotonicClock
from duplex.conversation import Conversation
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import EngineIdle
from duplex.errors import ClientStalled, EngineExited
from duplex.messages import (
    AcknowledgePlayback,
    AppendAudio,
    CancelResponse,
    CommitInput,
    CreateResponse,
    Refused,
    ResponseAudio,
    ResponseCut,
    ResponseEnded,
    ResponseStarted,
    ServerMessage,
    Warned,
)
from duplex.session import DuplexSession, SessionLimits
from tests.duplex.fake_engine import FakeEngine, answer, is_answer
from tests.duplex.talk import LOUD, LoudIsSpeech, duplex, simplex

PTT = simplex(detect_turns=False)


class Client:
    """One side of a session: what was sent, and a wait for a message of a kind."""

    def __init__(
        self, engine: FakeEngine, settings: ConversationSettings = PTT, limits: SessionLimits | None = None
    ) -> None:
        self.engine = engine
        self.received: list[ServerMessage] = []
        self.reading = asyncio.Event()
        self.reading.set()
        self.stalls = False
        self.hung_up = asyncio.Event()
        self._news = asyncio.Condition()
        clock = MonotonicClock()
        conversation = Conversation(settings, LoudIsSpeech(), clock.now())
        self.session = DuplexSession(engine, conversation, self._transmit, clock, limits or SessionLimits())

    async def run(self) -> None:
        await self.session.run(self._read)

    async def _read(self) -> None:
        await self.hung_up.wait()

    async def _transmit(self, message: ServerMessage) -> None:
        await self.reading.wait()
        if self.stalls:
            raise ClientStalled("The client has not read for 10 s.")
        async with self._news:
            self.received.append(message)
            self._news.notify_all()

    async def until(self, kind: type[ServerMessage], times: int = 1) -> None:
        async with self._news:
            await self._news.wait_for(lambda: sum(isinstance(m, kind) for m in self.received) >= times)

    def ask(self) -> None:
        self.session.receive(AppendAudio(LOUD * 16_000))
        self.session.receive(CommitInput())
        self.session.receive(CreateResponse())


async def test_a_turn_through_all_tasks() -> None:
    client = Client(FakeEngine(answer("Yes.", 0.3)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        client.ask()
        await client.until(ResponseEnded)
        client.hung_up.set()
    assert client.engine.calls == ["prefill", "decode"]
    sound = b"".join(m.pcm for m in client.received if isinstance(m, ResponseAudio))
    assert is_answer(sound, 0.3)
    assert client.session.numbers.responses == 1


async def test_a_break_silences_at_once_though_the_engine_still_decodes() -> None:
    engine = FakeEngine(answer("A long story.", 20.0)[:2])
    engine.gate.clear()
    client = Client(engine)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        client.ask()
        await client.until(ResponseAudio)
        client.session.receive(CancelResponse())
        await client.until(ResponseCut)
        assert "interrupt" not in engine.calls, "the decode is read to its end first"
        engine.gate.set()
        await engine.until("interrupt")
        engine.script.append(answer("Next.", 0.2))
        client.ask()
        await client.until(ResponseEnded)
        client.hung_up.set()
    cut_at = next(i for i, m in enumerate(client.received) if isinstance(m, ResponseCut))
    after = client.received[cut_at + 1 :]
    first_started = next(i for i, m in enumerate(after) if isinstance(m, ResponseStarted))
    assert not any(isinstance(m, ResponseAudio) for m in after[:first_started])
    sound = b"".join(m.pcm for m in after if isinstance(m, ResponseAudio))
    assert is_answer(sound, 0.2)


async def test_a_request_that_cannot_be_granted_is_answered_and_nothing_else_is_lost() -> None:
    client = Client(FakeEngine())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        client.session.receive(CancelResponse(), event_id="mine")
        await client.until(Refused)
        client.hung_up.set()
    assert client.received == [
        Refused("response_cancel_not_active", "Cancellation failed: no active response found", None, "mine")
    ]


@pytest.mark.parametrize("where", ["call", "events"])
async def test_an_engine_that_dies_ends_the_session_with_its_error(where: str) -> None:
    engine = FakeEngine()
    client = Client(engine)
    running = asyncio.create_task(client.run())
    if where == "call":
        engine.fail = EngineExited("gone")
        client.ask()
    else:
        engine.emit(EngineExited("gone"))
    with pytest.raises(EngineExited, match="gone"):
        await running
    assert len(asyncio.all_tasks()) == 1, "nothing outlives its session"


async def test_a_client_that_stops_reading_is_given_up() -> None:
    client = Client(FakeEngine(answer("Hi", 5.0)))
    client.stalls = True
    running = asyncio.create_task(client.run())
    client.ask()
    with pytest.raises(ClientStalled):
        await running
    assert len(asyncio.all_tasks()) == 1


async def test_nothing_leaves_while_nobody_is_there_and_nothing_is_lost() -> None:
    engine = FakeEngine(answer("Yes.", 0.3))
    client = Client(engine)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        client.session.pause()
        client.ask()
        await engine.until("decode")
        for _ in range(50):
            await asyncio.sleep(0)
        assert client.session._outbox.audio_s == pytest.approx(0.3)
        assert client.received == []
        client.session.go_on(0.0, AcknowledgePlayback(0, 0))
        await client.until(ResponseEnded)
        client.hung_up.set()
    assert is_answer(b"".join(m.pcm for m in client.received if isinstance(m, ResponseAudio)), 0.3)


async def test_a_flood_of_bad_events_from_a_client_that_does_not_read_is_bounded() -> None:
    client = Client(FakeEngine())
    client.reading.clear()
    running = asyncio.create_task(client.run())
    with pytest.raises(ClientStalled):
        flood(client.session, CancelResponse(), times=10_000)
    client.hung_up.set()
    client.reading.set()
    await running


def flood(session: DuplexSession, request: CancelResponse, times: int) -> None:
    for _ in range(times):
        session.receive(request)


async def test_an_engine_far_ahead_of_real_time_is_left_waiting() -> None:
    """The sound that waits is bounded: the events beyond it stay with the engine until there is room again."""
    engine = FakeEngine([*answer("a", 2.0)[:2], *answer("b", 2.0)[:2], *answer("c", 0.1)])
    client = Client(engine, limits=SessionLimits(audio_waiting_s=0.5, lead_s=10.0))
    client.reading.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        client.ask()
        await engine.until("decode")
        client.reading.set()
        await client.until(ResponseEnded)
        client.hung_up.set()
    sound = b"".join(m.pcm for m in client.received if isinstance(m, ResponseAudio))
    assert len(sound) == round(4.1 * 48_000)


async def test_an_engine_that_cannot_keep_up_loses_the_oldest_and_the_client_is_told() -> None:
    engine = FakeEngine()
    engine.gate.clear()
    client = Client(engine, duplex(), SessionLimits(input_waiting_s=2.0))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        client.session.receive(AppendAudio(bytes(32_000)))
        await engine.until("decode")
        for _ in range(5):
            client.session.receive(AppendAudio(bytes(32_000)))
        await client.until(Warned)
        client.hung_up.set()
        engine.gate.set()
    assert [m.code for m in client.received if isinstance(m, Warned)] == ["input_dropped"]
    assert client.session.numbers.input_dropped_s == 3.0


async def test_the_timer_ends_the_speech_of_a_silent_microphone() -> None:
    engine = FakeEngine(answer("Yes.", 0.1))
    client = Client(engine, replace(simplex(), microphone_idle_s=0.05, vad=replace(simplex().vad, hangover_ms=40)))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        client.session.receive(AppendAudio(LOUD * 16_000))
        await client.until(ResponseEnded)
        client.hung_up.set()
    assert engine.calls[-1] == "decode"


async def test_cancelling_the_session_leaves_nothing_behind() -> None:
    engine = FakeEngine()
    engine.gate.clear()
    client = Client(engine)
    running = asyncio.create_task(client.run())
    client.ask()
    await engine.until("decode")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(asyncio.all_tasks()) == 1


async def test_an_idle_event_after_a_break_does_not_end_the_next_answer() -> None:
    engine = FakeEngine(answer("One", 5.0)[:2])
    client = Client(engine)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        client.ask()
        await client.until(ResponseAudio)
        engine.emit(EngineIdle())
        client.session.receive(CancelResponse())
        await engine.until("interrupt")
        engine.script.append(answer("Two", 0.1))
        client.ask()
        await client.until(ResponseEnded)
        client.hung_up.set()
    assert client.session.numbers.responses == 2


async def test_a_nearly_full_context_is_left_at_a_silence_and_nothing_said_meanwhile_is_lost() -> None:
    engine = FakeEngine()
    client = Client(engine, duplex())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.run())
        client.session.receive(AppendAudio(bytes(32_000)))
        await engine.until("decode")
        engine.context_fill = 0.8
        engine.renews.clear()
        client.session.receive(AppendAudio(bytes(32_000)))
        await engine.until("renew")
        for _ in range(3):
            client.session.receive(AppendAudio(LOUD * 16_000))
        assert engine.calls[-1] == "renew"
        engine.renews.set()
        await client.until(Warned)
        await engine.until("prefill", 5)
        client.hung_up.set()
    assert engine.calls.count("renew") == 1
    assert engine.calls[:4] == ["prefill", "decode", "renew", "prefill"]
    assert len(engine.heard) == 5 * 32_000
    assert client.session.numbers.input_dropped_s == 0.0
    assert [m.code for m in client.received if isinstance(m, Warned)] == ["context_restarted"]
