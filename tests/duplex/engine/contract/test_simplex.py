"""The engine contract in simplex: one question, one answer."""

import asyncio

import pytest

from duplex.engine.base import EngineIdle, EngineSession, Mode
from tests.duplex.engine.contract.conftest import EngineFactory
from tests.duplex.engine.contract.harness import Heard, RunningEngine, listening, silence, voice

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

SIMPLEX = EngineSession(Mode.SIMPLEX)
ANSWERED = [EngineIdle()]
BROKEN = [EngineIdle(interrupted=True)]


async def ask(running: RunningEngine) -> None:
    """Say something and stop."""
    await running.engine.prefill(voice(1.0))
    await running.engine.prefill(silence(0.5))


async def ask_and_hear(running: RunningEngine, heard: Heard) -> None:
    """A whole round, which must be answered as the port promises."""
    heard.clear()
    await ask(running)
    await running.engine.decode()
    await heard.until_idle()
    assert heard.text
    assert "\ufffd" not in heard.text
    assert heard.pcm
    assert heard.idles == ANSWERED
    assert heard.events[-1] == EngineIdle()


async def test_answers_every_round(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            for _ in range(3):
                await ask_and_hear(running, heard)


async def test_break_in_a_decode(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard, asyncio.TaskGroup() as tasks:
            await ask(running)
            decode = tasks.create_task(running.engine.decode())
            await heard.until(lambda heard: bool(heard.text))
            await running.engine.interrupt()
            assert decode.done()
            await heard.until_idle()
            assert heard.idles == BROKEN
            await ask_and_hear(running, heard)
            await ask_and_hear(running, heard)


async def test_break_in_the_tail(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await ask_and_hear(running, heard)
            heard.clear()
            await ask(running)
            await running.engine.decode()
            await heard.until_audio()
            await running.engine.interrupt()
            await heard.until_idle()
            assert len(heard.idles) == 1
            await ask_and_hear(running, heard)


async def test_a_break_when_idle_does_not_stick(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            for _ in range(2):
                heard.clear()
                await running.engine.interrupt()
                await running.engine.interrupt()
                await heard.until_idle(2)
                assert heard.events == BROKEN * 2
                await ask_and_hear(running, heard)


async def test_input_waits_for_the_drain(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard, asyncio.TaskGroup() as tasks:
            await ask(running)
            await running.engine.decode()
            interrupt = tasks.create_task(running.engine.interrupt())
            prefill = tasks.create_task(running.engine.prefill(voice(1.0)))
            await prefill
            await interrupt
            heard.clear()
            await running.engine.prefill(silence(0.5))
            await running.engine.decode()
            await heard.until_idle()
            assert heard.pcm
            assert heard.idles == ANSWERED


async def test_a_cancelled_decode_is_read_to_its_end(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await ask(running)
            decode = asyncio.ensure_future(running.engine.decode())
            await heard.until(lambda heard: bool(heard.text))
            decode.cancel()
            await asyncio.wait([decode])
            assert decode.cancelled()
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await ask_and_hear(running, heard)


async def test_forgetting_after_a_break(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await ask(running)
            await running.engine.decode()
            await running.engine.interrupt(forget=True)
            await heard.until_idle()
            assert len(heard.idles) == 1
            await ask_and_hear(running, heard)


async def test_a_finished_conversation_leaves_no_file(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await ask(running)
            await running.engine.decode()
            await heard.until_audio()
            await running.engine.finish()
            await heard.until(lambda heard: heard.is_over)
            assert heard.failure is None
        assert running.spool_files() == []
        assert (running.output_dir / "round_000" / "tts_wav").is_dir()
        await running.engine.begin(SIMPLEX)
        async with listening(running.engine) as heard:
            await ask_and_hear(running, heard)


async def test_mode_changes(engine_factory: EngineFactory) -> None:
    async with engine_factory() as running:
        for mode in (Mode.SIMPLEX, Mode.DUPLEX, Mode.SIMPLEX):
            await running.engine.begin(EngineSession(mode))
            async with listening(running.engine) as heard:
                if mode is Mode.SIMPLEX:
                    await ask_and_hear(running, heard)
                else:
                    await ask(running)
                    await running.engine.decode()
                    await heard.until(lambda heard: bool(heard.events))
                await running.engine.finish()


async def test_the_spool_of_a_long_conversation_is_that_of_a_short_one(engine_factory: EngineFactory) -> None:
    """Over two sessions of one process, which begins to count anew, and with a break in each."""
    async with engine_factory() as running:
        for _ in range(2):
            await running.engine.begin(SIMPLEX)
            async with listening(running.engine) as heard:
                for _ in range(3):
                    await ask_and_hear(running, heard)
                    assert len(list(running.output_dir.glob("round_*"))) <= 3, "the last, the next, and round 0"
                heard.clear()
                await ask(running)
                await running.engine.decode()
                await running.engine.interrupt()
                await heard.until_idle()
                await ask_and_hear(running, heard)
            await running.engine.finish()
            assert running.spool_files() == []
