import asyncio

import pytest

from duplex.engine.base import EngineAudio, EngineEvent, EngineIdle, EngineListen, EngineText
from duplex.engine.mailbox import EventMailbox
from duplex.errors import EngineExited

TEXT, AUDIO, LISTEN, IDLE = EngineText("a"), EngineAudio(b"ab"), EngineListen(), EngineIdle()


async def _read(mailbox: EventMailbox) -> list[EngineEvent]:
    return [event async for event in mailbox]


async def test_events_arrive_in_order_until_it_is_closed() -> None:
    mailbox = EventMailbox()
    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(_read(mailbox))
        for event in (TEXT, AUDIO, LISTEN):
            mailbox.put(event)
            await asyncio.sleep(0)
        mailbox.put(IDLE)
        mailbox.close()
        mailbox.put(TEXT)
    assert reader.result() == [TEXT, AUDIO, LISTEN, IDLE]


async def test_a_failure_overtakes_what_was_not_read() -> None:
    mailbox = EventMailbox()
    mailbox.put(TEXT)
    mailbox.fail(EngineExited("gone"))
    mailbox.fail(ValueError("too late"))
    mailbox.put(IDLE)
    with pytest.raises(EngineExited):
        await _read(mailbox)


async def test_a_failure_after_the_end_is_nobodys() -> None:
    mailbox = EventMailbox()
    mailbox.put(TEXT)
    mailbox.close()
    mailbox.fail(EngineExited("gone"))
    assert await _read(mailbox) == [TEXT]


async def test_when_full_text_grows_and_the_rest_still_fits() -> None:
    mailbox = EventMailbox(limit=2)
    mailbox.put(AUDIO)
    assert mailbox.has_room
    mailbox.put(TEXT)
    assert not mailbox.has_room
    mailbox.put(EngineText("b"))
    mailbox.put(LISTEN)
    mailbox.put(EngineText("c"))
    mailbox.put(EngineText("d"))
    mailbox.put(IDLE)
    mailbox.close()
    assert await _read(mailbox) == [AUDIO, EngineText("ab"), LISTEN, EngineText("cd"), IDLE]


async def test_reading_makes_room() -> None:
    mailbox = EventMailbox(limit=1)
    mailbox.put(AUDIO)
    assert not mailbox.has_room
    assert await anext(aiter(mailbox)) == AUDIO
    assert mailbox.has_room


async def test_dropping_a_response_keeps_what_ends_one() -> None:
    mailbox = EventMailbox()
    for event in (TEXT, AUDIO, IDLE, LISTEN, TEXT):
        mailbox.put(event)
    mailbox.drop_response()
    mailbox.close()
    assert await _read(mailbox) == [IDLE, LISTEN]
