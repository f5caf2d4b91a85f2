"""One HTTP session on a scripted engine."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from duplex.conversation_settings import AfterBreak
from duplex.engine.base import EngineAudio, EngineIdle, EngineListen, EngineSession, EngineText, Mode
from duplex.errors import EngineBusy, EngineExited, EngineStalled, InvalidEvent
from http_compat.choice import SessionChoice
from http_compat.ears import StackFrames
from http_compat.line import Errand
from http_compat.reply import Reply
from http_compat.session import HttpSession
from http_compat.session_limits import SessionLimits
from http_compat.work import Heard, Upload
from tests.duplex.fake_engine import FakeEngine, answer
from tests.http_compat.decoding_here import stack_here
from tests.speech import silence, speech
from tests.weight import weighing, weight

SECOND = bytes([1, 0]) * 16_000
OTHER = bytes([2, 0]) * 16_000
QUICK = SessionLimits(tail_s=0.0, pair_s=0.0, empty_step_s=0.0)
PATIENT = SessionLimits(tail_s=20.0, pair_s=20.0, empty_step_s=0.0)
_PATIENCE_S = 20.0


class HandClock:
    """Moves when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> float:
        return self.now_s


class Caller:
    """What routes do with a session."""

    def __init__(self, session: HttpSession, engine: FakeEngine, clock: HandClock) -> None:
        self.session = session
        self.engine = engine
        self.clock = clock

    async def prefill(self, pcm: bytes = SECOND, **facts: Any) -> Heard:
        with self.session.join(Errand.PREFILL) as place:
            return await self.session.hear(place, Upload(pcm, facts.pop("image", None), **facts))

    def generate(self, *, keep_open: bool = False) -> "Stream":
        with self.session.join(Errand.GENERATE) as place:
            return Stream(self.session.open_reply(place, keep_open=keep_open))


class Stream:
    """A client of a generate stream."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.events: list[dict[str, Any]] = []
        self._news = asyncio.Condition()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self.reply.events():
            async with self._news:
                self.events.append(json.loads(event.removeprefix(b"data: ")))
                self._news.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(_PATIENCE_S), self._news:
            await self._news.wait_for(condition)

    async def until_chunks(self, count: int) -> None:
        await self.until(lambda: len(self.chunks) >= count)

    async def whole(self) -> "Stream":
        """Read to the end, which must be the one done event."""
        async with asyncio.timeout(_PATIENCE_S):
            await self.reading
        assert [bool(event.get("done")) for event in self.events] == [False] * (len(self.events) - 1) + [True]
        return self

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [event for event in self.events if "chunk_data" in event]

    @property
    def done(self) -> dict[str, Any]:
        return self.events[-1]

    @property
    def pcm(self) -> bytes:
        return b"".join(base64.b64decode(chunk["chunk_data"]["wav"]) for chunk in self.chunks)

    @property
    def text(self) -> str:
        return "".join(chunk["chunk_data"].get("text", "") for chunk in self.chunks)


@asynccontextmanager
async def calling(
    mode: Mode = Mode.SIMPLEX,
    *,
    engine: FakeEngine | None = None,
    limits: SessionLimits = QUICK,
    after_break: AfterBreak = AfterBreak.LISTEN,
    stack: StackFrames = stack_here,
    **choice: Any,
) -> AsyncIterator[Caller]:
    engine, clock = engine or FakeEngine(), HandClock()
    await engine.begin(EngineSession(mode))
    session = HttpSession(
        engine,
        SessionChoice(mode, **choice),
        clock=clock,
        stack=stack,
        limits=limits,
        after_break=after_break,
    )
    running = asyncio.create_task(session.run())
    try:
        yield Caller(session, engine, clock)
        session.end()
        async with asyncio.timeout(_PATIENCE_S):
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def say(text: str, *pieces: bytes) -> list[Any]:
    return [EngineText(text), *(EngineAudio(piece) for piece in pieces)]


# --- simplex


async def test_a_question_and_its_answer() -> None:
    async with calling() as caller:
        caller.engine.script = [[*say("one", b"ab"), *say("two", b"cd"), EngineIdle()]]
        heard = [await caller.prefill(), await caller.prefill(OTHER)]
        assert [one.number for one in heard] == [0, 1]
        stream = await caller.generate().whole()
        assert caller.engine.heard == SECOND + OTHER
        assert caller.engine.calls == ["begin", "prefill", "prefill", "decode"]
        assert stream.events == [
            {"chunk_idx": 0, "chunk_data": {"wav": "YWI=", "sample_rate": 24000, "text": "one"}},
            {"chunk_idx": 1, "chunk_data": {"wav": "Y2Q=", "sample_rate": 24000, "text": "two"}},
            {"done": True},
        ]
        assert (await caller.prefill()).number == 0, "the next round counts from the start"


async def test_a_prefill_is_heard_at_once_and_not_with_the_next() -> None:
    async with calling() as caller:
        await caller.prefill()
        assert caller.engine.heard == SECOND


async def test_every_answer_counts_its_chunks_from_the_start() -> None:
    async with calling() as caller:
        caller.engine.script = [answer("a", 2.0), answer("b", 1.0)]
        numbers = []
        for _ in range(2):
            await caller.prefill()
            stream = await caller.generate().whole()
            numbers.append([chunk["chunk_idx"] for chunk in stream.chunks])
        assert numbers == [[0], [0]]


async def test_words_without_sound_come_before_the_end() -> None:
    async with calling() as caller:
        caller.engine.script = [[EngineText("only "), EngineText("words"), EngineIdle()]]
        await caller.prefill()
        stream = await caller.generate().whole()
        assert stream.events[0]["chunk_data"] == {"wav": "", "sample_rate": 24000, "text": "only words"}


@pytest.mark.parametrize("tail_first", [True, False])
async def test_the_tail_and_the_request_for_the_answer_arrive_together(tail_first: bool) -> None:
    """Defects 1 and 2: the tail is heard once, before the answer is thought, whichever arrives first."""
    async with calling(limits=PATIENT) as caller:
        caller.engine.script = [answer("a", 1.0)]
        await caller.prefill(marks_last=True)
        if tail_first:
            tail = asyncio.create_task(caller.prefill(OTHER, is_last=True, marks_last=True))
            await asyncio.sleep(0)
            stream = caller.generate()
        else:
            stream = caller.generate()
            tail = asyncio.create_task(caller.prefill(OTHER, is_last=True, marks_last=True))
        await stream.whole()
        await tail
        assert caller.engine.heard == SECOND + OTHER
        assert caller.engine.calls == ["begin", "prefill", "prefill", "decode"]


async def test_the_tail_is_heard_before_the_answer_however_slowly_its_body_comes() -> None:
    async with calling() as caller:
        caller.engine.script = [answer("a", 1.0)]
        with caller.session.join(Errand.PREFILL) as place:
            stream = caller.generate()
            await asyncio.sleep(0)
            assert "decode" not in caller.engine.calls
            await caller.session.hear(place, Upload(SECOND, None))
        await stream.whole()
        assert caller.engine.calls == ["begin", "prefill", "decode"]


async def test_a_body_that_was_no_good_holds_nobody_up() -> None:
    async with calling() as caller:
        caller.engine.script = [answer("a", 1.0)]
        await caller.prefill()
        with caller.session.join(Errand.PREFILL):
            stream = caller.generate()
        await stream.whole()


async def test_an_empty_round_is_answered() -> None:
    async with calling() as caller:
        caller.engine.script = [answer("nothing", 1.0)]
        stream = await caller.generate().whole()
        assert caller.engine.calls == ["begin", "prefill", "decode"], "silence opens the round"
        assert stream.text == "nothing"


async def test_a_break_ends_the_stream_at_once_whatever_the_engine_does() -> None:
    async with calling() as caller:
        caller.engine.script = [say("long", b"ab" * 24_000)]
        caller.engine.gate.clear()
        await caller.prefill()
        stream = caller.generate()
        await stream.until_chunks(1)
        assert caller.session.break_off()
        await stream.whole()
        assert stream.done == {"break": True, "done": True, "message": "用户打断"}
        assert "decode" in caller.engine.calls
        caller.engine.emit(EngineText("stale"), EngineAudio(b"stale!"))
        caller.engine.gate.set()
        await caller.engine.until("interrupt")
        caller.engine.script = [answer("next", 1.0)]
        await caller.prefill()
        assert (await caller.generate().whole()).text == "next"


async def test_a_break_between_the_question_and_the_request_for_its_answer_is_not_lost() -> None:
    """Defect 9: the question is withdrawn, and only that question."""
    async with calling() as caller:
        caller.engine.script = [answer("next", 1.0)]
        await caller.prefill()
        assert caller.session.break_off()
        assert "break" in (await caller.generate().whole()).done
        assert "decode" not in caller.engine.calls
        await caller.prefill()
        assert (await caller.generate().whole()).text == "next"


async def test_a_break_with_nothing_to_break_does_nothing() -> None:
    async with calling() as caller:
        caller.engine.script = [answer("a", 1.0)]
        assert not caller.session.break_off()
        await caller.prefill()
        assert "break" not in (await caller.generate().whole()).done
        assert not caller.session.break_off()
        assert "interrupt" not in caller.engine.calls


async def test_a_break_ends_answers_that_wait_for_their_turn() -> None:
    async with calling() as caller:
        caller.engine.script = [say("first", b"ab")]
        caller.engine.gate.clear()
        await caller.prefill()
        first, second = caller.generate(), caller.generate()
        await first.until_chunks(1)
        caller.session.break_off()
        for stream in (first, second):
            assert "break" in (await stream.whole()).done
        caller.engine.gate.set()
        caller.engine.script = [answer("next", 1.0)]
        await caller.prefill()
        assert (await caller.generate().whole()).text == "next"
        assert caller.engine.calls.count("decode") == 2


async def test_a_client_that_goes_leaves_nothing_for_the_next() -> None:
    """Defect 7."""
    async with calling() as caller:
        caller.engine.script = [say("old", b"old!")]
        await caller.prefill()
        stream = caller.generate()
        await stream.until_chunks(1)
        caller.session.abandon(stream.reply)
        await caller.engine.until("interrupt")
        caller.engine.script = [[*say("new", b"new!"), EngineIdle()]]
        await caller.prefill()
        stream = await caller.generate().whole()
        assert (stream.text, stream.pcm) == ("new", b"new!")


async def test_a_client_that_stops_reading_is_given_up() -> None:
    async with calling() as caller:
        caller.engine.script = [say("endless")]
        await caller.prefill()
        with caller.session.join(Errand.GENERATE) as place:
            reply = caller.session.open_reply(place)
        await caller.engine.until("decode")
        caller.engine.emit(*(EngineAudio(bytes(48_000)) for _ in range(125)))
        await caller.engine.until("interrupt")
        assert reply.is_over


async def test_the_engine_dies_in_an_answer() -> None:
    engine = FakeEngine()
    engine.script = [say("a", b"ab")]
    engine.gate.clear()
    session = HttpSession(engine, SessionChoice(Mode.SIMPLEX), clock=HandClock(), stack=stack_here, limits=QUICK)
    await engine.begin(EngineSession(Mode.SIMPLEX))
    running = asyncio.create_task(session.run())
    caller = Caller(session, engine, HandClock())
    await caller.prefill()
    stream, waiting = caller.generate(), asyncio.create_task(caller.prefill())
    await stream.until_chunks(1)
    engine.emit(EngineExited("the engine was killed"))
    await stream.whole()
    assert stream.events[-2]["error"].startswith("the engine was killed. The session goes on with another engine")
    assert stream.events[-1] == {"done": True}
    with pytest.raises(EngineExited):
        await waiting
    with pytest.raises(EngineExited):
        await running
    with pytest.raises(EngineExited):
        session.join(Errand.PREFILL)
    assert not session.break_off(), "nothing is left to end"


async def test_words_that_no_sound_was_made_of_are_told_before_the_failure() -> None:
    engine = FakeEngine()
    engine.script = [say("a mute answer")]
    session = HttpSession(engine, SessionChoice(Mode.SIMPLEX), clock=HandClock(), stack=stack_here, limits=QUICK)
    await engine.begin(EngineSession(Mode.SIMPLEX))
    running = asyncio.create_task(session.run())
    caller = Caller(session, engine, HandClock())
    await caller.prefill()
    stream = caller.generate()
    await engine.until("decode")
    engine.emit(EngineStalled("no sound"))
    await stream.whole()
    assert [next(iter(event)) for event in stream.events] == ["chunk_idx", "error", "done"]
    assert stream.events[0]["chunk_data"]["text"] == "a mute answer"
    with pytest.raises(EngineStalled):
        await running


async def test_an_engine_that_refuses_a_prefill_is_not_hidden() -> None:
    engine = FakeEngine()
    session = HttpSession(engine, SessionChoice(Mode.SIMPLEX), clock=HandClock(), stack=stack_here, limits=QUICK)
    await engine.begin(EngineSession(Mode.SIMPLEX))
    running = asyncio.create_task(session.run())
    engine.fail = EngineExited("gone")
    with pytest.raises(EngineExited):
        await Caller(session, engine, HandClock()).prefill()
    with pytest.raises(EngineExited):
        await running


async def test_a_picture_the_engine_cannot_read_costs_the_session_nothing() -> None:
    async with calling() as caller:
        caller.engine.script = [answer("a", 1.0)]
        caller.engine.fail = InvalidEvent("the engine cannot read the image")
        with pytest.raises(InvalidEvent):
            await caller.prefill(image=b"\xff\xd8\xff")
        caller.engine.fail = None
        await caller.prefill()
        await caller.generate().whole()


async def test_the_line_has_a_bound() -> None:
    async with calling(limits=SessionLimits(waiting_requests=2)) as caller:
        with caller.session.join(Errand.PREFILL), caller.session.join(Errand.PREFILL), pytest.raises(EngineBusy):
            caller.session.join(Errand.PREFILL)


async def test_streams_end_with_the_session() -> None:
    async with calling() as caller:
        caller.engine.script = [say("a", b"ab")]
        await caller.prefill()
        stream = caller.generate()
        await stream.until_chunks(1)
        caller.session.end("taken over")
        assert (await stream.whole()).events[-2:] == [{"error": "taken over"}, {"done": True}]


async def test_a_session_rests_between_its_turns_only() -> None:
    async with calling() as caller:
        session = caller.session
        assert session.rests
        caller.engine.script = [say("a", b"ab")]
        await caller.prefill()
        assert not session.rests, "a question waits for its answer"
        stream = caller.generate()
        await stream.until_chunks(1)
        assert not session.rests
        caller.clock.now_s += 60
        assert session.idle_s() == 0.0
        caller.engine.emit(EngineIdle())
        await stream.whole()
        await caller.prefill()
        caller.clock.now_s += 7
        assert session.idle_s() == 7.0
        assert not session.identity.is_stopped
        session.stop()
        assert session.identity.is_stopped
        await caller.prefill()
        assert not session.identity.is_stopped, "its caller goes on"


# --- duplex


async def test_a_model_that_listens_ends_the_stream_at_once() -> None:
    async with calling(Mode.DUPLEX) as caller:
        caller.engine.script = [[EngineListen()]]
        await caller.prefill()
        stream = await caller.generate().whole()
        assert stream.events == [
            {"is_listen": True, "chunks_received": 0},
            {"done": True, "is_listen": True, "chunks_received": 0, "audio_duration_seconds": 0.0},
        ]


async def test_overlapping_streams_lose_nothing_and_send_nothing_twice() -> None:
    """Defect 11: the backend opens a stream every second, and sound is late."""
    async with calling(Mode.DUPLEX) as caller:
        caller.engine.script = [say("one"), say("two", b"1111"), [EngineText("three"), EngineAudio(b"2222")]]
        streams = []
        for _ in range(3):
            prefill = asyncio.create_task(caller.prefill())
            await asyncio.sleep(0)
            streams.append(caller.generate())
            await prefill
            await caller.engine.until("decode", times=len(streams))
        caller.engine.emit(EngineAudio(b"3333"), EngineIdle())
        for stream in streams:
            await stream.whole()
        assert b"".join(stream.pcm for stream in streams) == b"111122223333"
        assert [chunk["chunk_idx"] for stream in streams for chunk in stream.chunks] == [0, 1, 2]
        assert [stream.done["is_listen"] for stream in streams] == [False, False, True]
        assert "".join(stream.text for stream in streams) == "onetwothree"


async def test_a_request_that_overtook_its_second_waits_for_it() -> None:
    async with calling(Mode.DUPLEX, limits=PATIENT) as caller:
        caller.engine.script = [[EngineListen()]]
        stream = caller.generate()
        prefill = asyncio.create_task(caller.prefill())
        await stream.whole()
        await prefill
        assert caller.engine.calls == ["begin", "prefill", "decode"]


async def test_a_caller_that_waits_gets_the_whole_turn() -> None:
    async with calling(Mode.DUPLEX) as caller:
        caller.engine.script = [
            [EngineListen()],
            say("one", b"1111"),
            say("two", b"2222"),
            [*say("three"), EngineIdle()],
        ]
        for text in ("", "onetwothree"):
            await caller.prefill()
            stream = await caller.generate().whole()
            assert stream.text == text
            assert stream.done["is_listen"]
        assert caller.engine.calls.count("decode") == 4
        assert caller.engine.heard == SECOND * 2 + bytes(2 * 32_000), "silence kept the beat"


async def test_a_break_in_duplex_makes_the_model_listen_until_the_user_has_finished() -> None:
    """Defect 8, and the model that would go on with the broken answer."""
    async with calling(Mode.DUPLEX) as caller:
        caller.engine.script = [say("long", b"1111")]
        await caller.prefill()
        stream = caller.generate()
        await stream.until_chunks(1)
        caller.session.break_off()
        assert "break" in (await stream.whole()).done
        for pcm in (silence(1.0), speech(1.0), speech(1.0)):
            await caller.prefill(pcm)
            assert (await caller.generate().whole()).done["is_listen"]
        assert caller.engine.calls.count("decode") == 1
        caller.engine.script = [[*say("new", b"2222"), EngineIdle()]]
        await caller.prefill(silence(1.0))
        stream = await caller.generate().whole()
        assert (stream.text, stream.pcm) == ("new", b"2222")
        assert [chunk["chunk_idx"] for chunk in stream.chunks] == [1], "numbers go on through the session"


async def test_a_break_can_make_the_model_forget_instead() -> None:
    async with calling(Mode.DUPLEX, after_break=AfterBreak.RESET) as caller:
        caller.engine.script = [say("long", b"1111"), [EngineListen()]]
        await caller.prefill()
        stream = caller.generate()
        await stream.until_chunks(1)
        caller.session.break_off()
        await caller.engine.until("forget")
        await caller.prefill()
        await caller.generate().whole()
        assert caller.engine.calls.count("decode") == 2


async def test_a_step_without_a_word_is_not_waited_for() -> None:
    async with calling(Mode.DUPLEX) as caller:
        caller.engine.script = [[]]
        await caller.prefill()
        assert (await caller.generate().whole()).done["is_listen"]


async def test_small_pieces_become_seconds_under_a_stream_that_is_kept_open() -> None:
    async with calling(Mode.DUPLEX) as caller:
        caller.engine.script = [
            [EngineListen()],
            say("one", b"1111"),
            [*say("two", b"2222"), EngineIdle()],
            say("three"),
        ]
        stream = caller.generate(keep_open=True)
        for _ in range(40):
            await caller.prefill(SECOND[: 2 * 1280])
        await caller.engine.until("decode", times=3)
        await stream.until_chunks(2)
        assert stream.text == "onetwo"
        assert not stream.reply.is_over
        caller.session.break_off()
        assert "break" in (await stream.whole()).done


async def test_another_stream_ends_the_one_that_is_kept_open() -> None:
    async with calling(Mode.DUPLEX) as caller:
        caller.engine.script = [[EngineListen()]]
        kept = caller.generate(keep_open=True)
        await caller.prefill()
        await caller.generate().whole()
        await kept.whole()


async def test_pictures_of_the_high_refresh_mode() -> None:
    async with calling(Mode.DUPLEX, high_fps=True) as caller:
        kept = [(await caller.prefill(None, image=picture(n), audio_id=1, frame_index=n)).kept for n in range(5)]  # type: ignore[arg-type]
        assert kept[0] is None
        assert [(frame.count, frame.is_complete) for frame in kept[1:] if frame] == [
            (1, False),
            (2, False),
            (3, False),
            (4, True),
        ]
        assert caller.engine.calls == ["begin", "prefill"]
        heard = await caller.prefill(audio_id=1)
        assert heard.is_stacked
        assert caller.engine.calls == ["begin", "prefill", "prefill"]
        await caller.prefill(audio_id=2)
        assert caller.engine.heard == SECOND * 2, "sound never waits for pictures"


async def test_sound_is_heard_although_its_pictures_cannot_be_stacked() -> None:
    async def fail(frames: Sequence[bytes]) -> bytes:
        raise EngineBusy(f"{len(frames)} frames too many")

    async with calling(high_fps=True, stack=fail) as caller:
        for index in range(3):
            await caller.prefill(None, image=b"\xff\xd8\xff", audio_id=1, frame_index=index)  # type: ignore[arg-type]
        with pytest.raises(InvalidEvent, match="2 frames too many") as refused:
            await caller.prefill(audio_id=1)
        assert refused.value.code == "invalid_image"
        await caller.prefill(OTHER, audio_id=2)
        assert caller.engine.heard == SECOND + OTHER


def picture(shade: int) -> bytes:
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (32, 24), (40 * shade, 0, 0)).save(file, "JPEG")
    return file.getvalue()


# --- long calls


@pytest.mark.parametrize(("fill", "seconds"), [(0.8, 11), (0.95, 2), (0.5, None)])
async def test_a_nearly_full_context_is_left_when_nothing_waits_for_an_answer(fill: float, seconds: int | None) -> None:
    """`seconds`: with which one it is. A caller does not say whether anybody speaks."""
    async with calling(Mode.DUPLEX) as caller:
        caller.engine.script = [[EngineListen()] for _ in range(15)]
        await caller.prefill()
        caller.engine.context_fill = fill
        for second in range(2, 14):
            await caller.generate().whole()
            await caller.prefill()
            renewed = caller.engine.calls.count("renew")
            assert renewed == (seconds is not None and second >= seconds)


async def test_a_nearly_full_context_is_left_after_an_answer_and_not_in_it() -> None:
    engine = FakeEngine(say("Well, ", SECOND), [*say("so.", SECOND), EngineIdle()])
    async with calling(Mode.DUPLEX, engine=engine) as caller:
        await caller.prefill()
        engine.context_fill = 0.95
        first = caller.generate()
        await first.until_chunks(1)
        await caller.prefill()
        assert "renew" not in engine.calls
        await caller.generate().whole()
        engine.context_fill = 0.8
        await caller.prefill()
        assert engine.calls[-2:] == ["renew", "prefill"]


class ForgetfulEngine(FakeEngine):
    """Remembers none of what it heard and did: the test's own memory must not grow either."""

    async def prefill(self, pcm: bytes, *, image: bytes | None = None, slices: int = 1) -> None:
        del pcm, image, slices

    async def decode(self) -> None:
        self.emit(*say("Yes, indeed.", SECOND), EngineIdle())


@pytest.mark.parametrize("mode", list(Mode))
async def test_what_is_kept_of_a_call_does_not_grow(mode: Mode) -> None:
    async def turns(caller: Caller, count: int) -> int:
        for _ in range(count):
            await caller.prefill()
            await caller.generate().whole()
        return weight()

    with weighing():
        async with calling(mode, engine=ForgetfulEngine()) as caller:
            before = await turns(caller, 50)
            assert await turns(caller, 200) - before < 4000
            assert caller.session.numbers.answers == 250
