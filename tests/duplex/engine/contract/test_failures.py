"""What an engine does wrong, and what the port makes of it."""

import asyncio
import contextlib

import pytest

from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ, EngineIdle, EngineSession, Mode
from duplex.engine.limits import EngineLimits
from duplex.errors import EngineError, EngineExited, EngineMute, EngineStalled, EngineStartFailed, InvalidEvent
from tests.duplex.engine.contract.conftest import EngineFactory
from tests.duplex.engine.contract.harness import Heard, RunningEngine, listening, loudness_at, silence, tone, voice
from tests.duplex.engine.contract.test_simplex import SIMPLEX, ask, ask_and_hear

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

IMPATIENT = EngineLimits(stall_s=1.0, quiet_s=0.5, first_sound_s=0.8)


async def test_death_in_a_decode(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(SIMPLEX)
        if running.kind == "parrot":
            await running.fault("slow_llm", 200)
        async with listening(running.engine) as heard:
            await running.engine.prefill(voice(4.0))
            decode = asyncio.ensure_future(running.engine.decode())
            await heard.until(lambda heard: bool(heard.text))
            running.kill()
            with pytest.raises(EngineExited):
                await decode
            await heard.until(lambda heard: heard.is_over)
            assert isinstance(heard.failure, EngineExited)
            with pytest.raises(EngineExited):
                await running.engine.prefill(voice(1.0))
        await running.engine.finish()
        assert running.spool_files() == []


async def test_a_decode_that_hangs(parrot_factory: EngineFactory) -> None:
    async with parrot_factory(limits=IMPATIENT) as running:
        await running.fault("hang_decode")
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await ask(running)
            with pytest.raises(EngineStalled):
                await running.engine.decode()
            await heard.until(lambda heard: heard.is_over)
            assert isinstance(heard.failure, EngineStalled)
        await running.engine.finish()


async def test_an_engine_that_cannot_be_initialised(parrot_factory: EngineFactory) -> None:
    async with parrot_factory(argv=["--fault", "init_fails"]) as running:
        with pytest.raises(EngineStartFailed):
            await running.engine.begin(SIMPLEX)
        with pytest.raises(EngineError):
            await running.engine.prefill(voice(1.0))
        await running.engine.finish()


@pytest.mark.parametrize("fault", ["no_flag", "n_predict_end"])
async def test_an_answer_without_a_flag(parrot_factory: EngineFactory, fault: str) -> None:
    async with parrot_factory() as running:
        await running.fault(fault)
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await ask_and_hear(running, heard)
            await running.fault(fault, None)
            await ask_and_hear(running, heard)


async def _ask_in(running: RunningEngine, frequency_hz: float) -> None:
    for chunk in (tone(2.9, frequency_hz), silence(0.5)):
        await running.engine.prefill(chunk)
    await running.engine.decode()


async def _hear_only(heard: Heard, own_hz: float, other_hz: float) -> None:
    await heard.until_idle()
    assert loudness_at(heard.pcm, own_hz, ENGINE_OUTPUT_RATE_HZ) > 0.1
    assert loudness_at(heard.pcm, other_hz, ENGINE_OUTPUT_RATE_HZ) < 0.02


async def test_what_an_answer_without_an_end_leaves_behind_is_not_heard_by_the_next_caller(
    parrot_factory: EngineFactory,
) -> None:
    async with parrot_factory(limits=IMPATIENT) as running:
        await running.fault("n_predict_end")
        for frequency_hz, other_hz in ((2300, 1700), (1700, 2300)):
            await running.engine.begin(SIMPLEX)
            async with listening(running.engine) as heard:
                await _ask_in(running, frequency_hz)
                await _hear_only(heard, frequency_hz, other_hz)
            await running.engine.finish()


async def test_nor_is_what_one_leaves_behind_that_was_broken_off(parrot_factory: EngineFactory) -> None:
    async with parrot_factory(limits=IMPATIENT, n_predict=11) as running:
        await running.fault("n_predict_end")
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await _ask_in(running, 2300)
            await heard.until(lambda heard: len(heard.pcm) > 2 * 2.3 * ENGINE_OUTPUT_RATE_HZ)
            await running.engine.interrupt()
        await running.engine.finish()
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await _ask_in(running, 1700)
            await _hear_only(heard, 1700, 2300)
        await running.engine.finish()


@pytest.mark.parametrize("fault", ["sticky_break", "lost_break", "break_never_stops_audio"])
async def test_breaks_that_go_wrong(parrot_factory: EngineFactory, fault: str) -> None:
    async with parrot_factory() as running:
        await running.fault(fault)
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            for _ in range(2):
                heard.clear()
                await ask(running)
                await running.engine.decode()
                await running.engine.interrupt()
                await heard.until_idle()
                assert heard.idles[-1] == EngineIdle(interrupted=True)
                await ask_and_hear(running, heard)


async def test_a_break_that_stuck_costs_no_words(parrot_factory: EngineFactory) -> None:
    async with parrot_factory() as running:
        await running.fault("sticky_break")
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await running.engine.prefill(voice(1.0))
            await running.engine.decode()
            await running.engine.interrupt()
            await heard.until_idle()
            heard.clear()
            await running.engine.prefill(tone(1.0, 2300))
            await running.engine.prefill(silence(0.5))
            await running.engine.decode()
            await heard.until_idle()
            assert heard.idles == [EngineIdle()]
            assert loudness_at(heard.pcm, 2300, ENGINE_OUTPUT_RATE_HZ) > 0.1


@pytest.mark.parametrize("mode", Mode)
async def test_an_engine_that_lives_and_says_nothing_more_after_a_break(
    parrot_factory: EngineFactory, mode: Mode
) -> None:
    async with parrot_factory() as running:
        await running.engine.begin(EngineSession(mode))
        async with listening(running.engine) as heard:
            await ask(running)
            await running.engine.decode()
            await running.engine.interrupt()
            await heard.until_idle()
            await running.fault("no_answer")
            await ask(running)
            with contextlib.suppress(EngineMute):
                for _ in range(2):
                    await running.engine.decode()
            await heard.until(lambda heard: heard.is_over)
            assert isinstance(heard.failure, EngineMute)
            assert heard.idles == [EngineIdle(interrupted=True)], "the question is still to be answered"


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("fault", ["no_tts", "no_t2w"])
async def test_words_without_sound(parrot_factory: EngineFactory, fault: str, mode: Mode) -> None:
    async with parrot_factory(limits=IMPATIENT, argv=["--fault", fault]) as running:
        await running.fault("script", "S")
        await running.engine.begin(EngineSession(mode))
        async with listening(running.engine) as heard:
            await ask(running)
            await running.engine.decode()
            await heard.until(lambda heard: heard.is_over)
            assert heard.text
            assert isinstance(heard.failure, EngineMute)
            assert heard.idles == []


@pytest.mark.parametrize("fault", [("partial_writes", 30), ("open_empty", 30), ("slow_tts", 3), ("slow_t2w", 300)])
async def test_slow_writers_lose_nothing(parrot_factory: EngineFactory, fault: tuple[str, int]) -> None:
    async with parrot_factory() as running:
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await ask_and_hear(running, heard)
            whole = len(heard.pcm)
            await running.fault(*fault)
            await ask_and_hear(running, heard)
            # Not one sample less, and none more: the vocoder opens an answer with a replay of the last one's end.
            assert len(heard.pcm) == whole


@pytest.mark.parametrize("mode", Mode)
async def test_cut_characters_are_mended(parrot_factory: EngineFactory, mode: Mode) -> None:
    async with parrot_factory() as running:
        await running.fault("fffd")
        await running.engine.begin(EngineSession(mode))
        async with listening(running.engine) as heard:
            for chunk in (voice(4.0), silence(1.0)):
                await running.engine.prefill(chunk)
            await running.engine.decode()
            while mode is Mode.DUPLEX and not heard.idles:
                await running.engine.prefill(silence(1.0))
                await running.engine.decode()
            await heard.until_idle()
            assert "\ufffd" not in heard.text
            assert any(not character.isascii() for character in heard.text)


async def test_a_decode_that_says_nothing_at_all(parrot_factory: EngineFactory) -> None:
    async with parrot_factory() as running:
        await running.fault("early_done", 1)
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await ask(running)
            await running.engine.decode()
            await heard.until_idle()
            assert heard.idles == [EngineIdle()]
            await ask_and_hear(running, heard)


async def test_an_image_that_is_none_is_the_callers_fault(parrot_factory: EngineFactory) -> None:
    async with parrot_factory() as running:
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            with pytest.raises(InvalidEvent):
                await running.engine.prefill(voice(1.0), image=b"GIF89a")
            await ask_and_hear(running, heard)


async def test_duplex_turn_without_flag_ends_in_silence(parrot_factory: EngineFactory) -> None:
    async with parrot_factory() as running:
        await running.fault("no_flag")
        await running.fault("script", "SSELLLL")
        await running.engine.begin(EngineSession(Mode.DUPLEX))
        async with listening(running.engine) as heard:
            for _ in range(5):
                await running.engine.prefill(voice(1.0))
                await running.engine.decode()
            await heard.until_idle()
            assert heard.idles == [EngineIdle()]
