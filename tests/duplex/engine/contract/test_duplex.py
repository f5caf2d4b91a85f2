"""The engine contract in duplex: a second at a time, and the model decides."""

import asyncio
from collections.abc import Iterable

import pytest

from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ, EngineIdle, EngineListen, EngineSession, EngineText, Mode
from duplex.engine.context import needs_new_context
from duplex.engine.limits import EngineLimits
from tests.duplex.engine.contract.conftest import EngineFactory
from tests.duplex.engine.contract.harness import Heard, RunningEngine, listening, loudness_at, silence, tone, voice

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

DUPLEX = EngineSession(Mode.DUPLEX)
OLD_HZ = 1300.0
NEW_HZ = 2300.0


async def step(running: RunningEngine, pcm: bytes) -> None:
    await running.engine.prefill(pcm)
    await running.engine.decode()


async def say(running: RunningEngine, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        await step(running, chunk)


async def step_until_idle(running: RunningEngine, heard: Heard, *, most: int = 30) -> None:
    """Go on with silence until the turn is over."""
    for _ in range(most):
        if heard.idles:
            return
        await step(running, silence(1.0))
    await heard.until_idle()


async def the_next_hears_only_its_own(running: RunningEngine, new_hz: float, old_hz: float) -> None:
    await running.engine.begin(DUPLEX)
    async with listening(running.engine) as heard:
        await say(running, [tone(1.0, new_hz)] * 2 + [silence(1.0)])
        await step_until_idle(running, heard)
        assert loudness_at(heard.pcm, new_hz, ENGINE_OUTPUT_RATE_HZ) > 0.1
        assert loudness_at(heard.pcm, old_hz, ENGINE_OUTPUT_RATE_HZ) < 0.02


async def test_every_step_speaks_or_listens(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            for index in range(8):
                seen = len(heard.events)
                await step(running, voice(1.0) if index < 3 else silence(1.0))
                await heard.until(lambda heard, seen=seen: len(heard.events) > seen)  # type: ignore[misc]
            assert any(isinstance(event, EngineListen | EngineText) for event in heard.events)
            assert "\ufffd" not in heard.text


async def test_breaks_are_answered_once_each(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            for _ in range(3):
                await say(running, [voice(1.0), voice(1.0), silence(1.0), silence(1.0)])
                heard.clear()
                await running.engine.interrupt()
                await heard.until(lambda heard: EngineIdle(interrupted=True) in heard.events)
                assert heard.idles.count(EngineIdle(interrupted=True)) == 1
                assert heard.events[-1] == EngineIdle(interrupted=True)


async def test_input_goes_on_during_the_drain(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard, asyncio.TaskGroup() as tasks:
            await say(running, [voice(1.0), voice(1.0), silence(1.0)])
            decode = tasks.create_task(step(running, silence(1.0)))
            await heard.until(lambda heard: len(heard.events) > 0)
            interrupt = tasks.create_task(running.engine.interrupt())
            for _ in range(3):
                await running.engine.prefill(voice(1.0))
            await interrupt
            await decode
            await heard.until(lambda heard: EngineIdle(interrupted=True) in heard.events)
            heard.clear()
            await running.engine.decode()
            await heard.until(lambda heard: bool(heard.events))


async def test_forgetting(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            await say(running, [voice(1.0), silence(1.0), silence(1.0)])
            await running.engine.interrupt(forget=True)
            await heard.until(lambda heard: EngineIdle(interrupted=True) in heard.events)
            heard.clear()
            await step(running, voice(1.0))
            await heard.until(lambda heard: bool(heard.events))


async def test_a_finished_conversation_leaves_no_file(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        for _ in range(2):
            await running.engine.begin(DUPLEX)
            async with listening(running.engine) as heard:
                await say(running, [voice(1.0), voice(1.0), silence(1.0), silence(1.0)])
                await running.engine.finish()
                await heard.until(lambda heard: heard.is_over)
                assert heard.failure is None
            assert running.spool_files() == []
            assert (running.output_dir / "tts_wav").is_dir()


async def test_a_parrot_speaks_and_ends_its_turn(parrot_factory: EngineFactory) -> None:
    async with parrot_factory() as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            for _ in range(2):
                heard.clear()
                await say(running, [tone(1.0, OLD_HZ), tone(1.0, OLD_HZ), silence(1.0)])
                await step_until_idle(running, heard)
                assert heard.idles == [EngineIdle()]
                assert heard.text
                assert loudness_at(heard.pcm, OLD_HZ, ENGINE_OUTPUT_RATE_HZ) > 0.1


@pytest.mark.parametrize("restart", ["on", "off", None])
async def test_nothing_of_a_broken_answer_is_heard_again(parrot_factory: EngineFactory, restart: str | None) -> None:
    async with parrot_factory() as running:
        await running.fault("wav_restart", restart)
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            await say(running, [tone(1.0, OLD_HZ)] * 4 + [silence(1.0)])
            await heard.until_audio()
            await step(running, silence(1.0))
            await running.engine.interrupt()
            await heard.until(lambda heard: EngineIdle(interrupted=True) in heard.events)
            assert loudness_at(heard.pcm, OLD_HZ, ENGINE_OUTPUT_RATE_HZ) > 0.1
            heard.clear()
            for chunk in (tone(1.0, NEW_HZ), tone(1.0, NEW_HZ), silence(1.0)):
                await running.engine.prefill(chunk)
            await running.engine.decode()
            await step_until_idle(running, heard)
            assert heard.idles == [EngineIdle()]
            assert loudness_at(heard.pcm, NEW_HZ, ENGINE_OUTPUT_RATE_HZ) > 0.1
            assert loudness_at(heard.pcm, OLD_HZ, ENGINE_OUTPUT_RATE_HZ) < 0.02


async def test_the_next_conversation_hears_nothing_of_the_last(parrot_factory: EngineFactory) -> None:
    async with parrot_factory() as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            await say(running, [tone(1.0, OLD_HZ)] * 4 + [silence(1.0)])
            await heard.until_audio()
            await running.engine.finish()
        await the_next_hears_only_its_own(running, NEW_HZ, OLD_HZ)


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_nor_when_the_break_meets_groups_on_their_way(parrot_factory: EngineFactory, steps: int) -> None:
    """The vocoder sleeps at the break: the group that wakes it is dropped with what it had, and what follows stays."""
    async with parrot_factory() as running:
        for old_hz, new_hz in ((OLD_HZ, NEW_HZ), (NEW_HZ, OLD_HZ)):
            await running.engine.begin(DUPLEX)
            async with listening(running.engine):
                await say(running, [tone(1.0, old_hz)] * 2 + [silence(1.0)] * steps)
                await running.engine.finish()
            await the_next_hears_only_its_own(running, new_hz, old_hz)
            await running.engine.finish()


async def test_nor_when_tts_takes_longer_than_the_wait_for_silence(parrot_factory: EngineFactory) -> None:
    limits = EngineLimits(quiet_s=0.1, first_sound_s=10.0)
    async with parrot_factory(limits=limits, argv=("--tts-ms", "30")) as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine):
            await say(running, [tone(1.0, OLD_HZ)] * 2 + [silence(1.0)])
            while not (running.output_dir / "llm_debug" / "llm_token_ids.txt").exists():  # noqa: ASYNC110
                await asyncio.sleep(0)
            await running.engine.finish()
        await the_next_hears_only_its_own(running, NEW_HZ, OLD_HZ)


async def answer_without_text(running: RunningEngine, heard: Heard) -> None:
    await say(running, [tone(1.0, OLD_HZ)] * 2)
    await running.fault("early_done", 1)
    await step(running, silence(1.0))
    assert not heard.text


async def test_nor_when_the_text_of_a_step_was_lost(parrot_factory: EngineFactory) -> None:
    async with parrot_factory() as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            await answer_without_text(running, heard)
            await running.engine.finish()
        await the_next_hears_only_its_own(running, NEW_HZ, OLD_HZ)


async def test_a_step_whose_text_was_lost_is_heard(parrot_factory: EngineFactory) -> None:
    async with parrot_factory() as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            await answer_without_text(running, heard)
            await step_until_idle(running, heard)
            assert heard.idles == [EngineIdle()]
            assert loudness_at(heard.pcm, OLD_HZ, ENGINE_OUTPUT_RATE_HZ) > 0.1


async def test_a_step_that_speaks_and_listens(parrot_factory: EngineFactory) -> None:
    async with parrot_factory() as running:
        await running.fault("script", "LTL")
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            for _ in range(2):
                await step(running, voice(1.0))
            await heard.until(lambda heard: len(heard.events) >= 3)
            assert heard.events[0] == EngineListen()
            assert isinstance(heard.events[1], EngineText)
            assert heard.events[2] == EngineListen()
            await heard.until_idle()
            assert heard.idles == [EngineIdle()]


async def test_a_new_context_hears_again_what_was_not_answered(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            before = running.engine.context_fill
            await say(running, [voice(1.0), voice(1.0)])
            await heard.until(lambda heard: len(heard.events) >= 2)
            if heard.events != [EngineListen()] * 2:
                pytest.skip("this model answers before one has finished")
            heard.clear()
            assert await running.engine.renew()
            assert not heard.events, "nobody is told: the conversation goes on"
            assert running.engine.context_fill == pytest.approx(before + 2 * 11 / 4096)
            await step_until_idle(running, heard)
            if running.kind == "parrot":
                assert heard.text.startswith("I heard 2.0 s")
                assert await running.engine.renew()
                heard.clear()
                await step(running, silence(1.0))
                await heard.until(lambda heard: bool(heard.events))
                assert heard.events == [EngineListen()], "what was answered is not heard again"


async def test_no_new_context_in_the_middle_of_an_answer(parrot_factory: EngineFactory) -> None:
    async with parrot_factory(argv=("--answer-s", "4")) as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            await say(running, [voice(1.0), silence(1.0), silence(1.0)])
            assert heard.text
            assert not await running.engine.renew()
            await step_until_idle(running, heard)
            assert (await running.state())["counts"]["update_session_config"] == 0  # type: ignore[index]


@pytest.mark.parametrize("minds", [True, False])
async def test_a_context_that_is_left_in_time_never_overflows(parrot_factory: EngineFactory, minds: bool) -> None:
    """And one that is not left loses its older half without a word; that is what the estimate must be ahead of."""
    async with parrot_factory(ctx_size=512) as running:
        await running.engine.begin(DUPLEX)
        restarts = 0
        async with listening(running.engine) as heard:
            for _ in range(3):
                await say(running, [voice(1.0)])
                await step_until_idle(running, heard)
                for _ in range(14):
                    assert running.engine.context_fill * 512 >= float(str((await running.state())["n_past"]))
                    if minds and needs_new_context(running.engine.context_fill, is_answering=False, is_silent=True):
                        assert await running.engine.renew()
                        restarts += 1
                    await step(running, silence(1.0))
                heard.clear()
        assert ((await running.state())["context_slides"] == 0) is minds
        assert (restarts > 0) is minds


async def test_the_spool_of_a_long_conversation_is_that_of_a_short_one(parrot_factory: EngineFactory) -> None:
    async with parrot_factory() as running:
        await running.engine.begin(DUPLEX)
        async with listening(running.engine) as heard:
            for _ in range(3):
                heard.clear()
                await say(running, [voice(1.0)])
                await step_until_idle(running, heard)
                await say(running, [silence(1.0)] * 2)
                assert running.spool_files() == []
