import asyncio
import sys
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from duplex.engine.base import EngineAudio, EngineEvent, EngineIdle, EngineListen, EngineSession, EngineText, Mode
from duplex.engine.limits import EngineLimits
from duplex.engine.llama_server import LlamaServerEngine
from duplex.engine.llama_wire import OmniInit
from duplex.engine.watch import PollingWatcher
from duplex.errors import EngineExited, EngineRefused, EngineStalled, EngineStartFailed, InvalidEvent
from duplex.wav import write_wav
from tests.duplex.engine.fake_llama import (
    DONE,
    LISTEN,
    OVER,
    Decode,
    FakeLlama,
    error,
    listens,
    put_flag,
    put_tokens,
    put_wav,
    says,
    says_nothing,
    sse,
    text,
)

SIMPLEX = EngineSession(Mode.SIMPLEX)
DUPLEX = EngineSession(Mode.DUPLEX)
SECOND = bytes(32_000)


class HandClock:
    """Moves when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> float:
        return self.now_s


class Bench:
    """The adapter on a scripted engine."""

    def __init__(self, folder: Path, limits: EngineLimits, *, is_child: bool = False) -> None:
        self.output_dir, self.input_dir = folder / "out", folder / "in"
        self.output_dir.mkdir()
        self.input_dir.mkdir()
        self.llama = FakeLlama(self.output_dir)
        self.clock = HandClock()
        self.engine = LlamaServerEngine(
            base_url="http://127.0.0.1:1/",
            output_dir=self.output_dir,
            input_dir=self.input_dir,
            init=OmniInit(model_dir=folder, tts_bin_dir=folder / "tts", is_child=is_child),
            client=self.llama.client(),
            watcher=PollingWatcher(),
            clock=self.clock,
            limits=limits,
        )

    async def answer(self, *decodes: object) -> list[EngineEvent]:
        """One prefill, one decode, and the events up to the next idle."""
        self.llama.decodes += decodes  # type: ignore[arg-type]
        await self.engine.prefill(SECOND)
        await self.engine.decode()
        return await self.until_idle()

    async def until_idle(self) -> list[EngineEvent]:
        """The events up to the end of a response."""
        seen: list[EngineEvent] = []
        async for event in self.engine.events():
            seen.append(event)
            if isinstance(event, EngineIdle):
                break
        return seen

    def files(self) -> list[str]:
        """What lies in both directories."""
        return [path.name for root in (self.output_dir, self.input_dir) for path in root.rglob("*") if path.is_file()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, EngineLimits(settle_ms=0))


async def test_the_calls_of_two_rounds(bench: Bench) -> None:
    await bench.engine.begin(SIMPLEX)
    for number in range(2):
        await bench.engine.prefill(SECOND)
        events = await bench.answer(says("a", "b", wavs=2))
        assert events == [
            EngineText("a"),
            EngineText("b"),
            EngineAudio(bytes([0, 1])),
            EngineAudio(bytes([1, 1])),
            EngineIdle(),
        ]
        assert bench.llama.bodies("decode")[number] == {"stream": True, "round_idx": number}
    assert bench.llama.names() == ["omni_init", *(["prefill", "prefill", "decode"] * 2)]
    assert [body["cnt"] for body in bench.llama.bodies("prefill")] == [0, 1, 0, 1]
    await bench.engine.finish()
    assert bench.files() == []


async def test_input_files_live_as_long_as_the_call(bench: Bench) -> None:
    await bench.engine.begin(DUPLEX)
    await bench.engine.prefill(b"ab" * 1601, image=b"\xff\xd8\xff rest")
    assert bench.llama.heard == [b"ab" * 1601 + bytes(3200 - 2)]
    body = bench.llama.bodies("prefill")[0]
    assert str(body["audio_path_prefix"]).startswith(str(bench.input_dir))
    assert str(body["img_path_prefix"]).endswith(".jpg")
    assert body["cnt"] != 0
    assert bench.files() == []


@pytest.mark.parametrize(("length", "heard"), [(0, 3200), (2, 3200), (3200, 3200), (3202, 6400), (960_000, 960_000)])
async def test_audio_is_padded_to_100_ms(bench: Bench, length: int, heard: int) -> None:
    await bench.engine.begin(DUPLEX)
    await bench.engine.prefill(bytes(length))
    assert len(bench.llama.heard[0]) == heard


@pytest.mark.parametrize("length", [1, 960_002])
async def test_audio_nobody_should_send(bench: Bench, length: int) -> None:
    await bench.engine.begin(DUPLEX)
    with pytest.raises(ValueError, match="30 s"):
        await bench.engine.prefill(bytes(length))


async def test_the_second_conversation_of_a_mode_keeps_the_process(bench: Bench) -> None:
    voice = bench.input_dir / "voice.wav"
    await bench.engine.begin(SIMPLEX)
    await bench.engine.finish()
    await bench.engine.begin(EngineSession(Mode.SIMPLEX, voice=b"RIFF of a voice"))
    assert voice.read_bytes() == b"RIFF of a voice"
    await bench.engine.begin(DUPLEX)
    assert not voice.exists()
    assert bench.llama.names() == ["omni_init", "update_session_config", "omni_init"]
    assert bench.llama.bodies("update_session_config") == [
        {"media_type": 2, "duplex_mode": False, "voice_audio": str(voice)}
    ]


async def test_a_session_without_pictures_is_prompted_for_speech_alone(bench: Bench) -> None:
    await bench.engine.begin(EngineSession(Mode.DUPLEX, vision=False))
    await bench.engine.begin(EngineSession(Mode.DUPLEX, vision=True))
    assert [(call.name, call.body["media_type"]) for call in bench.llama.calls] == [
        ("omni_init", 2),
        ("update_session_config", 1),
        ("update_session_config", 2),
    ]


async def test_an_image_alone(bench: Bench) -> None:
    await bench.engine.begin(SIMPLEX)
    await bench.engine.prefill(b"", image=b"\xff\xd8\xff", slices=2)
    bench.llama.answers["prefill"] = [error(500, "stream_prefill failed")]
    with pytest.raises(InvalidEvent):
        await bench.engine.prefill(b"", image=b"\xff\xd8\xff")
    await bench.engine.prefill(SECOND)
    bodies = bench.llama.bodies("prefill")
    assert [body["cnt"] for body in bodies] == [0, 1, 1]
    assert [bool(body["audio_path_prefix"]) for body in bodies] == [False, False, True]
    assert [body.get("max_slice_nums") for body in bodies] == [2, 1, None]


@pytest.mark.usefixtures("without_collector")
async def test_a_picture_that_is_refused_does_not_wait_for_the_collector(bench: Bench) -> None:
    await bench.engine.begin(SIMPLEX)
    bench.llama.answers["prefill"] = [error(500, "stream_prefill failed")]
    picture = b"\xff\xd8\xff" + bytes(999)
    known = sys.getrefcount(picture)
    with pytest.raises(InvalidEvent):
        await bench.engine.prefill(b"", image=picture)
    assert sys.getrefcount(picture) == known


async def test_a_prompt_that_nothing_was_said_to_is_not_built_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, EngineLimits(settle_ms=0), is_child=True)
    for session in (SIMPLEX, SIMPLEX, DUPLEX, DUPLEX):
        await bench.engine.begin(session)
        await bench.engine.finish()
    assert bench.llama.names() == ["omni_init", "omni_init"]
    await bench.engine.begin(DUPLEX)
    bench.llama.decodes = [listens]
    await bench.engine.prefill(SECOND)
    await bench.engine.decode()
    for session in (DUPLEX, DUPLEX, EngineSession(Mode.DUPLEX, voice=b"RIFF")):
        await bench.engine.begin(session)
    assert bench.llama.names()[2:] == ["prefill", "decode", "update_session_config", "update_session_config"]


async def test_a_process_that_has_forgotten_us_is_initialised(bench: Bench) -> None:
    await bench.engine.begin(SIMPLEX)
    await bench.engine.finish()
    bench.llama.is_initialised = False
    await bench.engine.begin(SIMPLEX)
    assert bench.llama.names() == ["omni_init", "update_session_config", "omni_init"]


@pytest.mark.parametrize(
    "answer",
    [error(500, "omni_init failed"), error(503, "Loading model"), httpx.ReadTimeout("late"), error(400, "no")],
)
async def test_a_failed_init_ends_the_process(bench: Bench, answer: httpx.Response | Exception) -> None:
    bench.llama.answers["omni_init"] = [answer]
    with pytest.raises(EngineStartFailed):
        await bench.engine.begin(SIMPLEX)
    with pytest.raises(EngineStartFailed):
        await bench.engine.prefill(SECOND)
    await bench.engine.begin(SIMPLEX)
    assert bench.llama.names() == ["omni_init", "omni_init"]


async def test_files_of_before_are_removed_and_directories_stay(bench: Bench) -> None:
    old = bench.output_dir / "round_000" / "tts_wav"
    old.mkdir(parents=True)
    put_wav(old, 0)
    put_flag(old, 0)
    await bench.engine.begin(SIMPLEX)
    assert bench.files() == []
    assert old.is_dir()
    assert await bench.answer(says("x")) == [EngineText("x"), EngineAudio(bytes([0, 1])), EngineIdle()]


@pytest.mark.parametrize("session", [SIMPLEX, DUPLEX])
async def test_no_break_is_sent_to_an_idle_engine(bench: Bench, session: EngineSession) -> None:
    await bench.engine.begin(session)
    await bench.engine.prefill(SECOND)
    await bench.engine.interrupt()
    await bench.engine.interrupt()
    assert await bench.until_idle() == [EngineIdle(interrupted=True)]
    assert await bench.until_idle() == [EngineIdle(interrupted=True)]
    assert "break" not in bench.llama.names()


async def test_a_break_waits_for_the_decode_and_goes_out_once(bench: Bench) -> None:
    go_on = asyncio.Event()

    async def decode(llama: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        yield sse(text("old"))
        await go_on.wait()
        assert "break" not in llama.names()
        put_wav(wav_dir, 0, b"older!")
        yield sse(text("older"), OVER) + DONE

    async def broken() -> None:
        put_flag(bench.output_dir / "round_000" / "tts_wav", 0)

    bench.llama.on_call["break"] = broken
    bench.llama.decodes = [decode, says("new")]
    await bench.engine.begin(SIMPLEX)
    await bench.engine.prefill(SECOND)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bench.engine.decode())
        events = aiter(bench.engine.events())
        assert await anext(events) == EngineText("old")
        tasks.create_task(bench.engine.interrupt())
        await asyncio.sleep(0)
        go_on.set()
        assert await anext(events) == EngineIdle(interrupted=True)
    assert bench.llama.names().count("break") == 1
    assert await bench.answer() == [EngineText("new"), EngineIdle()]
    assert bench.llama.bodies("decode")[1]["round_idx"] == 1


async def test_after_a_break_what_the_vocoder_held_back_is_cut(bench: Bench) -> None:
    async def broken() -> None:
        put_flag(bench.output_dir / "round_000" / "tts_wav", 0)

    async def new(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        yield sse(text("new"))
        put_wav(wav_dir, 1000, bytes(2 * 3840 - 2))
        put_wav(wav_dir, 1001, b"\0\0new!")
        put_flag(wav_dir, 1001)
        yield sse(OVER) + DONE

    bench.llama.on_call["break"] = broken
    bench.llama.decodes = [says("old", flag=False)]
    await bench.engine.begin(SIMPLEX)
    await bench.engine.prefill(SECOND)
    await bench.engine.decode()
    await bench.engine.interrupt()
    assert (await bench.until_idle())[-1] == EngineIdle(interrupted=True)
    assert await bench.answer(new) == [EngineText("new"), EngineAudio(b"new!"), EngineIdle()]


async def test_a_break_that_stuck_is_healed_with_the_same_words(bench: Bench) -> None:
    async def broken() -> None:
        put_flag(bench.output_dir / "round_000" / "tts_wav", 0)

    async def killed(_: FakeLlama, __: Path) -> AsyncIterator[bytes]:
        yield sse(OVER) + DONE

    bench.llama.on_call["break"] = broken
    bench.llama.decodes = [says("old", flag=False)]
    await bench.engine.begin(SIMPLEX)
    await bench.engine.prefill(SECOND)
    await bench.engine.decode()
    await bench.engine.interrupt()
    await bench.until_idle()
    bench.llama.calls.clear()
    bench.llama.heard.clear()
    bench.llama.decodes = [killed]
    await bench.engine.prefill(b"\1\0" * 16000)
    assert (await bench.answer(says("new")))[0] == EngineText("new")
    prefills = ["prefill", "prefill"]
    assert bench.llama.names() == [*prefills, "decode", "update_session_config", *prefills, "decode"]
    assert [body["cnt"] for body in bench.llama.bodies("prefill")] == [0, 1, 0, 1]
    assert bench.llama.heard[2:] == bench.llama.heard[:2]


async def test_an_empty_answer_without_a_break_is_an_answer(bench: Bench) -> None:
    async def empty(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        put_wav(wav_dir, 0)
        put_flag(wav_dir, 0)
        yield sse(OVER) + DONE

    await bench.engine.begin(SIMPLEX)
    assert await bench.answer(empty) == [EngineAudio(b"ab"), EngineIdle()]
    assert "update_session_config" not in bench.llama.names()


async def test_a_round_without_flag_costs_the_context(bench: Bench) -> None:
    await bench.engine.begin(SIMPLEX)
    bench.llama.decodes = [says("a", flag=False), says("b")]
    await bench.engine.prefill(SECOND)
    await bench.engine.decode()
    events = aiter(bench.engine.events())
    assert [await anext(events), await anext(events)] == [EngineText("a"), EngineAudio(bytes([0, 1]))]
    bench.clock.now_s += 2.0
    assert await anext(events) == EngineIdle()
    await bench.answer()
    assert bench.llama.names()[3:] == ["update_session_config", "prefill", "decode"]


async def test_audio_that_is_due_is_waited_for_and_then_the_engine_hangs(bench: Bench) -> None:
    async def owes(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        yield sse(text("a"))
        put_tokens(wav_dir, 0, 100)
        yield sse(OVER) + DONE

    await bench.engine.begin(SIMPLEX)
    bench.llama.decodes = [owes]
    await bench.engine.prefill(SECOND)
    await bench.engine.decode()
    bench.clock.now_s += 44.0
    wav_dir = bench.output_dir / "round_000" / "tts_wav"
    put_wav(wav_dir, 0)
    events = aiter(bench.engine.events())
    assert [await anext(events), await anext(events)] == [EngineText("a"), EngineAudio(b"ab")]
    bench.clock.now_s += 45.0
    with pytest.raises(EngineStalled):
        await anext(events)
    with pytest.raises(EngineStalled):
        await bench.engine.prefill(SECOND)


async def test_a_silent_decode_is_given_up_by_the_clock(bench: Bench) -> None:
    asked = asyncio.Event()

    async def hangs(_: FakeLlama, __: Path) -> AsyncIterator[bytes]:
        asked.set()
        await asyncio.Event().wait()
        yield b""

    await bench.engine.begin(DUPLEX)
    bench.llama.decodes = [hangs]
    await bench.engine.prefill(SECOND)
    async with asyncio.TaskGroup() as tasks:
        decode = tasks.create_task(_failure(bench.engine.decode))
        await asked.wait()
        bench.clock.now_s += 45.0
    assert isinstance(decode.result(), EngineStalled)
    await bench.engine.finish()


async def _failure(call: Callable[[], object]) -> Exception | None:
    try:
        await call()  # type: ignore[misc]
    except Exception as failure:  # noqa: BLE001 - the test looks at it
        return failure
    return None


async def _raw(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize(
    ("pieces", "failure"),
    [
        ((sse(OVER),), EngineRefused),
        ((sse(OVER) + DONE + sse(OVER),), EngineRefused),
        ((b'data: {"text":"a"}\n\n' + DONE,), EngineRefused),
        ((sse(OVER) + DONE + b"data: x",), EngineRefused),
        ((), EngineRefused),
    ],
    ids=["no end", "goes on", "unknown event", "cut event", "empty"],
)
async def test_answers_out_of_contract(bench: Bench, pieces: tuple[bytes, ...], failure: type[Exception]) -> None:
    await bench.engine.begin(DUPLEX)
    bench.llama.decodes = [lambda *_: _raw(*pieces)]
    await bench.engine.prefill(SECOND)
    with pytest.raises(failure):
        await bench.engine.decode()
    with pytest.raises(failure):
        await bench.until_idle()


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (error(500, "stream_prefill failed"), EngineRefused),
        (httpx.ReadTimeout("late"), EngineStalled),
        (httpx.ReadError("gone"), EngineExited),
        (httpx.ConnectError("gone"), EngineExited),
        (httpx.RemoteProtocolError("gone"), EngineExited),
    ],
)
async def test_failures_of_a_call(bench: Bench, answer: httpx.Response | Exception, failure: type[Exception]) -> None:
    await bench.engine.begin(DUPLEX)
    bench.llama.answers["prefill"] = [answer]
    with pytest.raises(failure):
        await bench.engine.prefill(SECOND)
    with pytest.raises(failure):
        await bench.engine.decode()
    with pytest.raises(failure):
        await bench.until_idle()
    assert bench.files() == []
    await bench.engine.begin(DUPLEX)
    assert bench.llama.names()[-1] == "omni_init"


async def test_a_decode_that_is_refused(bench: Bench) -> None:
    await bench.engine.begin(DUPLEX)
    bench.llama.answers["decode"] = [error(400, "no")]
    with pytest.raises(EngineRefused, match="400"):
        await bench.engine.decode()


async def test_an_image_the_engine_cannot_read_costs_no_words(bench: Bench) -> None:
    await bench.engine.begin(SIMPLEX)
    bench.llama.answers["prefill"] = [error(500, "stream_prefill failed")]
    with pytest.raises(InvalidEvent):
        await bench.engine.prefill(SECOND, image=b"\x89PNG\r\n\x1a\n")
    assert bench.llama.heard == [SECOND]
    assert [body["cnt"] for body in bench.llama.bodies("prefill")] == [0, 0]
    assert await bench.answer(says("a")) == [EngineText("a"), EngineAudio(bytes([0, 1])), EngineIdle()]


async def test_audio_of_another_kind_is_refused(bench: Bench) -> None:
    async def wrong(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        yield sse(text("a"))
        (wav_dir / "wav_0.wav").write_bytes(write_wav(b"ab", rate_hz=16_000))
        yield sse(OVER) + DONE

    await bench.engine.begin(DUPLEX)
    bench.llama.decodes = [wrong]
    # The pump may meet the file before or after the decode has ended.
    await _failure(bench.engine.decode)
    with pytest.raises(EngineRefused, match="16000 Hz"):
        await bench.until_idle()


async def test_a_wav_is_read_when_it_is_whole(bench: Bench) -> None:
    whole = write_wav(b"abcdef", rate_hz=24_000)
    wav = bench.output_dir / "round_000" / "tts_wav" / "wav_0.wav"

    async def grows(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        for length in (0, 10, 44, 47):
            wav.write_bytes(whole[:length])
            yield sse(text(str(length)))
        wav.write_bytes(whole)
        put_flag(wav_dir, 0)
        yield sse(OVER) + DONE

    await bench.engine.begin(SIMPLEX)
    events = await bench.answer(grows)
    assert [event for event in events if isinstance(event, EngineAudio)] == [EngineAudio(b"abcdef")]


async def test_a_file_torn_for_good_is_read_as_far_as_it_goes(bench: Bench) -> None:
    async def torn(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        yield sse(text("a"))
        (wav_dir / "wav_0.wav").write_bytes(b"RIFF")
        (wav_dir / "wav_1.wav").write_bytes(write_wav(b"abcdef", rate_hz=24_000)[:49])
        put_wav(wav_dir, 2, b"gh")
        put_flag(wav_dir, 2)
        yield sse(OVER) + DONE

    await bench.engine.begin(SIMPLEX)
    events = await bench.answer(torn)
    assert events[1:] == [EngineAudio(b"abcd"), EngineAudio(b"gh"), EngineIdle()]


async def test_in_duplex_a_flag_ends_the_turn_and_listening_does_not(bench: Bench) -> None:
    async def speaks(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        put_wav(wav_dir, 0, b"a!")
        yield sse(text("a"), OVER) + DONE

    async def listens(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        put_wav(wav_dir, 1, b"b!")
        put_flag(wav_dir, 1)
        yield sse(LISTEN, text("b")) + DONE

    await bench.engine.begin(DUPLEX)
    bench.llama.decodes = [speaks, listens]
    for _ in range(2):
        await bench.engine.prefill(SECOND)
        await bench.engine.decode()
    events = await bench.until_idle()
    assert [event for event in events if isinstance(event, EngineAudio)] == [EngineAudio(b"a!"), EngineAudio(b"b!")]
    assert [event for event in events if isinstance(event, EngineText)] == [EngineText("a"), EngineText("b")]
    assert events.count(EngineIdle()) == 1
    assert bench.llama.bodies("decode") == [{"stream": True}] * 2
    await bench.engine.finish()
    assert bench.files() == []


async def test_in_duplex_what_lies_there_before_a_step_is_older_than_the_idle(bench: Bench) -> None:
    async def listens(_: FakeLlama, __: Path) -> AsyncIterator[bytes]:
        yield sse(LISTEN) + DONE

    await bench.engine.begin(DUPLEX)
    wav_dir = bench.output_dir / "tts_wav"
    put_wav(wav_dir, 0)
    put_flag(wav_dir, 0)
    bench.llama.decodes = [listens]
    await bench.engine.decode()
    await bench.engine.interrupt()
    assert await bench.until_idle() == [EngineListen(), EngineIdle(interrupted=True)]


async def test_a_consumer_that_stops_is_noticed_and_nothing_waits_for_it(bench: Bench) -> None:
    async def long(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        for number in range(300):
            put_wav(wav_dir, number)
        put_flag(wav_dir, 299)
        yield sse(text("a"), OVER) + DONE

    await bench.engine.begin(SIMPLEX)
    bench.llama.decodes = [long]
    await bench.engine.prefill(SECOND)
    await bench.engine.decode()
    async with asyncio.TaskGroup() as tasks:
        prefill = tasks.create_task(_failure(lambda: bench.engine.prefill(SECOND)))
        while not prefill.done():
            bench.clock.now_s += 45.0
            await asyncio.sleep(0.002)
    assert isinstance(prefill.result(), RuntimeError)
    await bench.engine.finish()
    assert bench.files() == []


async def test_breaking_a_response_nobody_reads(bench: Bench) -> None:
    async def long(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        for number in range(300):
            put_wav(wav_dir, number)
        put_flag(wav_dir, 299)
        yield sse(text("a"), OVER) + DONE

    await bench.engine.begin(SIMPLEX)
    bench.llama.decodes = [long]
    await bench.engine.prefill(SECOND)
    await bench.engine.decode()
    await bench.engine.interrupt()
    assert await bench.until_idle() == [EngineIdle(interrupted=True)]


async def test_calls_before_begin_and_after_finish_are_mistakes(bench: Bench) -> None:
    for _ in range(2):
        for call in (lambda: bench.engine.prefill(SECOND), bench.engine.decode, bench.engine.interrupt):
            assert isinstance(await _failure(call), RuntimeError)
        assert [event async for event in bench.engine.events()] == []
        await bench.engine.begin(SIMPLEX)
        await bench.engine.finish()


async def test_a_decode_that_was_broken_before_it_began_does_not_begin(bench: Bench) -> None:
    await bench.engine.begin(SIMPLEX)
    bench.llama.decodes = [says("a", flag=False), says("never")]
    await bench.engine.prefill(SECOND)
    await bench.engine.decode()

    async def broken() -> None:
        put_flag(bench.output_dir / "round_000" / "tts_wav", 0)

    bench.llama.on_call["break"] = broken
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bench.engine.decode())
        await asyncio.sleep(0)
        tasks.create_task(bench.engine.interrupt())
    assert bench.llama.names().count("decode") == 1
    assert (await bench.until_idle())[-1] == EngineIdle(interrupted=True)
    assert await bench.answer(says("b")) != []


async def test_a_new_conversation_ends_the_events_of_the_last(bench: Bench) -> None:
    await bench.engine.begin(SIMPLEX)
    old = bench.engine.events()
    await bench.engine.begin(SIMPLEX)
    assert [event async for event in old] == []


async def test_a_failure_that_only_finish_meets_is_told(bench: Bench) -> None:
    await bench.engine.begin(SIMPLEX)
    bench.llama.decodes = [says("a", flag=False)]
    await bench.engine.prefill(SECOND)
    await bench.engine.decode()
    bench.llama.answers["break"] = [httpx.ReadError("gone")]
    with pytest.raises(EngineExited):
        await bench.engine.finish()
    assert bench.files() == []
    await bench.engine.finish()
    await bench.engine.begin(SIMPLEX)
    assert bench.llama.names()[-1] == "omni_init"


@pytest.mark.parametrize("is_idle", [True, False])
async def test_forgetting_empties_the_context_and_opens_a_round(bench: Bench, *, is_idle: bool) -> None:
    async def broken() -> None:
        put_flag(bench.output_dir / "round_000" / "tts_wav", 0)

    await bench.engine.begin(SIMPLEX)
    await bench.engine.prefill(SECOND)
    if is_idle:
        bench.llama.decodes = [says_nothing]
    else:
        bench.llama.on_call["break"] = broken
        bench.llama.decodes = [says("a", flag=False)]
        await bench.engine.decode()
    await bench.engine.interrupt(forget=True)
    assert bench.llama.names()[-1] == "update_session_config"
    await bench.until_idle()
    bench.llama.calls.clear()
    await bench.answer(says("b"))
    assert [body["cnt"] for body in bench.llama.bodies("prefill")] == [0]


@pytest.mark.parametrize("end", ["finish", "begin", "interrupt"])
@pytest.mark.parametrize(
    ("session", "answer", "calls"),
    [(SIMPLEX, says_nothing, ["prefill", "break", "decode"]), (DUPLEX, listens, ["prefill", "decode"])],
)
async def test_what_is_only_queued_is_read_before_the_context_is_emptied(
    bench: Bench, session: EngineSession, answer: Decode, calls: list[str], end: str
) -> None:
    await bench.engine.begin(session)
    bench.llama.calls.clear()
    bench.llama.decodes = [answer]
    await bench.engine.prefill(SECOND)
    match end:
        case "finish":
            await bench.engine.finish()
        case "begin":
            await bench.engine.begin(session)
        case "interrupt":
            await bench.engine.interrupt(forget=True)
            assert await bench.until_idle() == [EngineIdle(interrupted=True)]
    assert bench.llama.names() == (calls if end == "finish" else [*calls, "update_session_config"])
    bench.llama.calls.clear()
    await bench.engine.finish()
    assert bench.llama.names() == [], "it is read once"


async def test_a_step_that_only_reads_is_heard_by_nobody(bench: Bench) -> None:
    async def speaks(llama: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        put_wav(wav_dir, 0)
        yield sse(text("to nobody"), OVER) + DONE

    async def broken() -> None:
        put_flag(bench.output_dir / "tts_wav", 0)

    bench.llama.on_call["break"] = broken
    bench.llama.decodes = [speaks]
    await bench.engine.begin(DUPLEX)
    await bench.engine.prefill(SECOND)
    await bench.engine.interrupt(forget=True)
    assert await bench.until_idle() == [EngineIdle(interrupted=True)]
    assert bench.llama.names()[-3:] == ["decode", "break", "update_session_config"]


async def test_an_engine_that_does_not_read_is_stalled(bench: Bench) -> None:
    async def hangs(_: FakeLlama, __: Path) -> AsyncIterator[bytes]:
        bench.clock.now_s += 46
        yield b""
        await asyncio.Event().wait()

    bench.llama.decodes = [hangs]
    await bench.engine.begin(SIMPLEX)
    await bench.engine.prefill(SECOND)
    with pytest.raises(EngineStalled):
        await bench.engine.finish()
    assert bench.files() == []


async def test_a_lost_break_lets_nothing_through(bench: Bench) -> None:
    """The decode that should only read answers, and that must have ended before anybody else comes."""
    is_first = True

    async def lost_once() -> None:
        nonlocal is_first
        if not is_first:
            put_flag(bench.output_dir / "round_000" / "tts_wav", 1)
        is_first = False

    bench.llama.on_call["break"] = lost_once
    bench.llama.decodes = [says("to nobody", wavs=2, flag=False)]
    await bench.engine.begin(SIMPLEX)
    await bench.engine.prefill(SECOND)
    await bench.engine.interrupt(forget=True)
    assert await bench.until_idle() == [EngineIdle(interrupted=True)]
    assert bench.llama.names() == ["omni_init", "prefill", "break", "decode", "break", "update_session_config"]


async def test_a_prefill_that_is_cancelled_is_waited_for(bench: Bench) -> None:
    arrived, answered = asyncio.Event(), asyncio.Event()

    async def late() -> None:
        arrived.set()
        await answered.wait()

    bench.llama.on_call["prefill"] = late
    bench.llama.decodes = [listens]
    await bench.engine.begin(DUPLEX)
    prefill = asyncio.ensure_future(bench.engine.prefill(SECOND))
    await arrived.wait()
    prefill.cancel()
    await asyncio.wait([prefill])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bench.engine.finish())
        for _ in range(10):
            await asyncio.sleep(0)
        assert bench.llama.names()[-1] == "prefill"
        answered.set()
    assert bench.llama.names()[-2:] == ["prefill", "decode"]
    assert bench.llama.heard == [SECOND]


async def test_an_engine_that_fails_while_it_hears_says_so(bench: Bench) -> None:
    arrived = asyncio.Event()

    async def late() -> None:
        arrived.set()
        await asyncio.Event().wait()

    bench.llama.on_call["prefill"] = late
    await bench.engine.begin(DUPLEX)
    prefill = asyncio.ensure_future(bench.engine.prefill(SECOND))
    await arrived.wait()
    bench.engine.fail(EngineExited("The engine was killed."))
    with pytest.raises(EngineExited, match="was killed"):
        await prefill
    await bench.engine.finish()


async def test_cut_characters_wait_for_the_groups_text(bench: Bench) -> None:
    written = asyncio.Event()

    async def cut(llama: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        debug = wav_dir.parent / "llm_debug"
        yield sse(text("你\ufffd"), text("\ufffd\ufffd吗"), text("?"), OVER) + DONE
        await written.wait()
        for number, group in enumerate(("你", "好吗", "?")):
            folder = debug / f"chunk_{number}"
            folder.mkdir(parents=True)
            (folder / "llm_text.txt").write_text(group)
            (folder / "llm_hidden_states.txt").write_text("big")
        for number in range(3):
            put_tokens(wav_dir, number, 25)
        put_wav(wav_dir, 0)
        put_flag(wav_dir, 0)

    await bench.engine.begin(SIMPLEX)
    bench.llama.decodes = [cut]
    await bench.engine.prefill(SECOND)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bench.engine.decode())
        events = aiter(bench.engine.events())
        assert await anext(events) == EngineText("你")
        written.set()
        assert await anext(events) == EngineText("好吗?")
    assert await anext(events) == EngineAudio(b"ab")
    assert await anext(events) == EngineIdle()
    await bench.engine.prefill(SECOND)
    assert bench.files() == []


async def test_text_is_not_held_for_ever(bench: Bench) -> None:
    go_on = asyncio.Event()

    async def cut(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        yield sse(text("\ufffdb"))
        await go_on.wait()
        put_wav(wav_dir, 0)
        put_flag(wav_dir, 0)
        yield sse(OVER) + DONE

    await bench.engine.begin(SIMPLEX)
    bench.llama.decodes = [cut]
    await bench.engine.prefill(SECOND)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bench.engine.decode())
        first = tasks.create_task(_first(bench))
        while not first.done():
            bench.clock.now_s += 1.0
            await asyncio.sleep(0.002)
        assert first.result() == EngineText("b")
        go_on.set()


async def _first(bench: Bench) -> EngineEvent:
    return await anext(aiter(bench.engine.events()))


async def test_no_break_is_sent_when_the_flag_came_with_the_decodes_end(bench: Bench) -> None:
    go_on = asyncio.Event()

    async def decode(_: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        yield sse(text("a"))
        put_wav(wav_dir, 0)
        put_flag(wav_dir, 0)
        await go_on.wait()
        yield sse(OVER) + DONE

    await bench.engine.begin(SIMPLEX)
    bench.llama.decodes = [decode]
    await bench.engine.prefill(SECOND)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bench.engine.decode())
        events = aiter(bench.engine.events())
        assert [await anext(events), await anext(events)] == [EngineText("a"), EngineAudio(b"ab")]
        tasks.create_task(bench.engine.interrupt())
        await asyncio.sleep(0)
        go_on.set()
    assert await anext(events) == EngineIdle(interrupted=True)
    assert "break" not in bench.llama.names()


async def test_an_exit_that_somebody_else_notices_ends_the_wait_for_audio(bench: Bench) -> None:
    await bench.engine.begin(SIMPLEX)
    bench.llama.decodes = [says("a", wavs=0, flag=False)]
    await bench.engine.prefill(SECOND)
    await bench.engine.decode()
    async with asyncio.TaskGroup() as tasks:
        prefill = tasks.create_task(_failure(lambda: bench.engine.prefill(SECOND)))
        await asyncio.sleep(0)
        bench.engine.fail(EngineExited("gone"))
    assert isinstance(prefill.result(), EngineExited)
    with pytest.raises(EngineExited):
        await bench.until_idle()


@pytest.mark.usefixtures("without_collector")
@pytest.mark.parametrize("fails", [True, False])
async def test_an_engine_that_is_replaced_does_not_wait_for_the_collector(tmp_path: Path, *, fails: bool) -> None:
    """It has heard minutes, and a server whose engines fail makes one after the other."""
    bench = Bench(tmp_path, EngineLimits(settle_ms=0))
    await bench.engine.begin(SIMPLEX)
    await bench.answer(says("a"))
    await bench.engine.prefill(SECOND)
    if fails:
        bench.engine.fail(EngineExited("The engine was killed."))
    bench.llama.decodes = [says_nothing]
    await bench.engine.finish()
    gone = weakref.ref(bench.engine)
    del bench
    assert gone() is None
