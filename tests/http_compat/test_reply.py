"""One stream: whatever happens to it, it has one end and nothing after it."""

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.engine.base import Mode
from http_compat.narration import Narration
from http_compat.reply import LONGEST_WAITING_S, Reply

PATIENCE_S = 5.0
SECOND = bytes(48_000)
OPERATIONS = ("say", "speak", "listen", "part", "finish", "break", "fail", "drop", "read")
ENDS = frozenset({"part", "finish", "break", "fail", "drop"})
BREAK = {"break": True, "done": True, "message": "用户打断"}


async def read(reply: Reply) -> list[dict[str, Any]]:
    """All events of a stream that is over, or will be."""
    return [json.loads(event.removeprefix(b"data: ")) async for event in reply.events()]


def pcm_of(events: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(event["chunk_data"]["wav"]) for event in events if "chunk_data" in event)


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["chunk_data"].get("text", "") for event in events if "chunk_data" in event)


def perform(reply: Reply, operation: str, number: int) -> None:
    """Sounds and words are told apart by their number."""
    match operation:
        case "say":
            reply.narration.say(f"{number} ")
        case "speak":
            reply.speak(number.to_bytes(2, "little") * 240)
        case "listen":
            reply.note_listening()
        case "part":
            reply.finish(listens=False)
        case "finish":
            reply.finish()
        case "break":
            reply.break_off()
        case "fail":
            reply.fail("The engine has gone.")
        case "drop":
            reply.drop()


@pytest.mark.parametrize("mode", Mode)
@given(operations=st.lists(st.sampled_from(OPERATIONS), max_size=25))
async def test_a_stream_has_one_end_and_it_comes_last(mode: Mode, operations: list[str]) -> None:
    reply = Reply(mode, Narration())
    reader = asyncio.create_task(read(reply))
    story = [*operations, "finish"]
    for number, operation in enumerate(story):
        if operation == "read":
            # The client gets a turn, or not: what it has read by now must make no difference.
            await asyncio.sleep(0)
        perform(reply, operation, number)
    assert reply.is_over
    async with asyncio.timeout(PATIENCE_S):
        events = await reader
    end = next(number for number, operation in enumerate(story) if operation in ENDS)
    ends = [number for number, event in enumerate(events) if event.get("done")]
    # Whoever drops a stream that has ended already may drop its end as well: nobody reads it.
    assert ends == [len(events) - 1] or (ends == [] and "drop" in story[end:])
    if ends:
        check_end(mode, events, story[end])
    check_order(events, story[:end])
    if story[end] in {"finish", "part", "fail"} and "drop" not in story:
        check_whole(events, story[:end], has_all_words=story[end] == "finish")


def check_end(mode: Mode, events: list[dict[str, Any]], end: str) -> None:
    assert end != "drop"
    if end == "break":
        assert events[-1] == BREAK
    elif mode is Mode.SIMPLEX:
        assert events[-1] == {"done": True}
    else:
        assert events[-1]["is_listen"] is (end == "finish")
    if end == "fail":
        assert events[-2] == {"error": "The engine has gone."}


def check_order(events: list[dict[str, Any]], story: list[str]) -> None:
    numbers = [event["chunk_idx"] for event in events if "chunk_data" in event]
    assert numbers == list(range(len(numbers)))
    sounds = [number for number, operation in enumerate(story) if operation == "speak"]
    spoken = [event for event in events if event.get("chunk_data", {}).get("wav")]
    assert [pcm_of([event]) for event in spoken] == [
        number.to_bytes(2, "little") * 240 for number in sounds[: len(spoken)]
    ]


def check_whole(events: list[dict[str, Any]], story: list[str], *, has_all_words: bool) -> None:
    assert len([event for event in events if event.get("chunk_data", {}).get("wav")]) == story.count("speak")
    said = "".join(f"{number} " for number, operation in enumerate(story) if operation == "say")
    assert text_of(events) == said if has_all_words else said.startswith(text_of(events))
    assert sum("chunks_received" in event and "done" not in event for event in events) == story.count("listen")
    if "audio_duration_seconds" in events[-1]:
        assert events[-1]["audio_duration_seconds"] == pytest.approx(0.01 * story.count("speak"))
        assert events[-1]["chunks_received"] == sum("chunk_data" in event for event in events)


async def test_an_answer_in_simplex() -> None:
    reply = Reply(Mode.SIMPLEX, Narration())
    reply.narration.say("Good ")
    reply.narration.say("day.")
    assert reply.speak(SECOND) == 1.0
    assert reply.sound_s == 1.0
    reply.finish()
    first, rest, end = await read(reply)
    assert (first["chunk_idx"], first["chunk_data"]["text"]) == (0, "Good ")
    # Clients read `wav` without asking.
    assert rest == {"chunk_idx": 1, "chunk_data": {"wav": "", "sample_rate": 24_000, "text": "day."}}
    assert end == {"done": True}


async def test_a_stream_whose_caller_must_call_again_keeps_the_words_for_the_next() -> None:
    narration = Narration()
    first, second = Reply(Mode.DUPLEX, narration), Reply(Mode.DUPLEX, narration)
    narration.say("one ")
    narration.say("two")
    first.speak(SECOND)
    first.finish(listens=False)
    second.speak(SECOND)
    second.finish()
    one, end = await read(first)
    two, last = await read(second)
    assert (one["chunk_idx"], one["chunk_data"]["text"], end["is_listen"]) == (0, "one ", False)
    assert (two["chunk_idx"], two["chunk_data"]["text"], last["is_listen"]) == (1, "two", True)
    assert (last["chunks_received"], last["audio_duration_seconds"]) == (2, 1.0)


async def test_a_stream_that_is_over_takes_no_words_from_the_next() -> None:
    narration = Narration()
    first, second = Reply(Mode.DUPLEX, narration), Reply(Mode.DUPLEX, narration)
    first.finish(listens=False)
    narration.say("late")
    first.say_rest()
    first.finish()
    second.say_rest()
    second.say_rest()
    second.finish()
    assert text_of(await read(first)) == ""
    late, done = await read(second)
    assert late == {"chunk_idx": 0, "chunk_data": {"wav": "", "sample_rate": 24_000, "text": "late"}}
    assert done["chunks_received"] == 1


@pytest.mark.parametrize("mode", Mode)
async def test_a_break_drops_what_waits(mode: Mode) -> None:
    reply = Reply(mode, Narration())
    events = reply.events()
    reply.speak(SECOND)
    assert b"chunk_data" in await anext(events)
    reply.speak(SECOND)
    reply.narration.say("never heard")
    reply.break_off()
    assert [json.loads(event.removeprefix(b"data: ")) async for event in events] == [BREAK]


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("end", sorted(ENDS))
async def test_after_its_end_nothing_more_is_taken(mode: Mode, end: str) -> None:
    reply, untouched = Reply(mode, Narration()), Reply(mode, Narration())
    for stream in (reply, untouched):
        stream.speak(SECOND)
        perform(stream, end, 0)
    for number, operation in enumerate(("speak", "listen", "part", "finish", "break", "fail")):
        perform(reply, operation, number)
    assert await read(reply) == await read(untouched)
    assert reply.sound_s == 1.0
    assert reply.narration.chunks == untouched.narration.chunks


async def test_a_client_that_waits_is_woken_by_each_event_and_by_the_end() -> None:
    reply = Reply(Mode.SIMPLEX, Narration())
    events = reply.events()
    for _ in range(3):
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        assert not waiting.done()
        reply.speak(SECOND)
        async with asyncio.timeout(PATIENCE_S):
            assert b"chunk_data" in await waiting
    reader = asyncio.create_task(read(reply))
    await asyncio.sleep(0)
    reply.drop()
    async with asyncio.timeout(PATIENCE_S):
        assert await reader == []


async def test_a_client_that_reads_nothing_for_two_minutes_of_sound_has_stalled() -> None:
    reply = Reply(Mode.SIMPLEX, Narration())
    events = reply.events()
    for _ in range(int(LONGEST_WAITING_S)):
        reply.speak(SECOND)
    assert not reply.is_stalled
    reply.speak(bytes(2))
    assert reply.is_stalled
    await anext(events)
    assert not reply.is_stalled
    reply.speak(SECOND)
    assert reply.is_stalled
    reply.drop()
    assert not reply.is_stalled
    assert [event async for event in events] == []


async def test_what_was_read_does_not_wait() -> None:
    reply = Reply(Mode.DUPLEX, Narration())
    events = reply.events()
    for _ in range(2 * int(LONGEST_WAITING_S)):
        reply.speak(SECOND)
        await anext(events)
        assert not reply.is_stalled
    assert reply.sound_s == 2 * LONGEST_WAITING_S
