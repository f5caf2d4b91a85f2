"""What was prefilled and never answered: the engine has only queued it, and reads it when it finds the time.

An engine whose context is emptied meanwhile dies, the real one and the parrot alike.
"""

import asyncio

import pytest

from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ, EngineIdle, EngineSession, Mode
from tests.duplex.engine.contract.conftest import EngineFactory
from tests.duplex.engine.contract.harness import Heard, RunningEngine, listening, loudness_at, silence, tone

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

OLD_HZ = 1300.0
NEW_HZ = 2300.0


@pytest.fixture
def slow_reader(engine_kind: str) -> tuple[str, ...]:
    """What makes a parrot read slowly. A text model needs no telling."""
    return ("--evaluate-ms", "150") if engine_kind == "parrot" else ()


async def _queue(running: RunningEngine) -> None:
    for _ in range(4):
        await running.engine.prefill(tone(1.0, OLD_HZ))


async def _hear_only_what_is_new(running: RunningEngine, heard: Heard, mode: Mode) -> None:
    heard.clear()
    for pcm in (tone(1.0, NEW_HZ), tone(1.0, NEW_HZ), silence(1.0)):
        await running.engine.prefill(pcm)
    await running.engine.decode()
    await heard.until(lambda heard: bool(heard.events))
    if running.kind != "parrot":
        # It says whatever it likes.
        return
    while mode is Mode.DUPLEX and not heard.idles:
        await running.engine.prefill(silence(1.0))
        await running.engine.decode()
    await heard.until_idle()
    assert heard.text.startswith("I heard 2.0 s")
    assert loudness_at(heard.pcm, NEW_HZ, ENGINE_OUTPUT_RATE_HZ) > 0.1
    assert loudness_at(heard.pcm, OLD_HZ, ENGINE_OUTPUT_RATE_HZ) < 0.02


async def _the_next_hears_only_what_is_new(running: RunningEngine, mode: Mode) -> None:
    await running.engine.begin(EngineSession(mode))
    async with listening(running.engine) as heard:
        await _hear_only_what_is_new(running, heard, mode)


@pytest.mark.parametrize("mode", Mode)
async def test_the_next_conversation_does_not_hear_it(
    engine_factory: EngineFactory, slow_reader: tuple[str, ...], mode: Mode
) -> None:
    async with engine_factory(argv=slow_reader) as running:
        for _ in range(2):
            await running.engine.begin(EngineSession(mode))
            async with listening(running.engine) as heard:
                await _queue(running)
                await running.engine.finish()
                assert heard.events == []
            assert running.spool_files() == []
        await _the_next_hears_only_what_is_new(running, mode)


@pytest.mark.parametrize("mode", Mode)
async def test_nor_what_was_still_on_its_way(
    engine_factory: EngineFactory, slow_reader: tuple[str, ...], mode: Mode
) -> None:
    async with engine_factory(argv=slow_reader) as running:
        await running.engine.begin(EngineSession(mode))
        async with listening(running.engine):
            await _queue(running)
            prefill = asyncio.ensure_future(running.engine.prefill(tone(8.0, OLD_HZ)))
            while not (prefill.done() or list(running.input_dir.glob("heard_*"))):  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0)
            prefill.cancel()
            await asyncio.wait([prefill])
            await running.engine.finish()
        await _the_next_hears_only_what_is_new(running, mode)


@pytest.mark.parametrize("mode", Mode)
async def test_nor_is_it_heard_after_a_break_that_forgets(
    engine_factory: EngineFactory, slow_reader: tuple[str, ...], mode: Mode
) -> None:
    async with engine_factory(argv=slow_reader) as running:
        await running.engine.begin(EngineSession(mode))
        async with listening(running.engine) as heard:
            await _queue(running)
            await running.engine.interrupt(forget=True)
            await heard.until_idle()
            assert heard.events == [EngineIdle(interrupted=True)]
            await _hear_only_what_is_new(running, heard, mode)


async def test_nor_where_the_break_before_the_reading_is_lost(parrot_factory: EngineFactory) -> None:
    async with parrot_factory() as running:
        await running.fault("lost_break")
        for _ in range(2):
            await running.engine.begin(EngineSession(Mode.SIMPLEX))
            async with listening(running.engine) as heard:
                await _queue(running)
                await running.engine.finish()
                assert heard.events == []
            assert running.spool_files() == []
        await _the_next_hears_only_what_is_new(running, Mode.SIMPLEX)
