"""Which stream gets what the engine says."""

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from duplex.engine.base import EngineAudio, Mode
from http_compat.floor import Floor
from http_compat.reply import Reply

SECOND = EngineAudio(bytes(48_000))


async def read(reply: Reply) -> list[dict[str, Any]]:
    """All events of a stream that is over."""
    assert reply.is_over
    return [json.loads(event.removeprefix(b"data: ")) async for event in reply.events()]


def sound(number: int) -> EngineAudio:
    """Told apart by its number."""
    return EngineAudio(number.to_bytes(2, "little") * 2400, name=f"wav_{number}.wav")


def number_of(event: dict[str, Any]) -> int:
    return int.from_bytes(base64.b64decode(event["chunk_data"]["wav"])[:2], "little")


def opened(floor: Floor, *, keep_open: bool = False) -> Reply:
    reply = floor.new_reply(keep_open=keep_open)
    floor.give(reply)
    floor.start_step()
    return reply


@given(st.lists(st.sampled_from(["stream", "kept", "step", "say", "sound", "listen", "nothing", "end"]), max_size=40))
async def test_every_sound_goes_to_the_one_stream_that_is_open(operations: list[str]) -> None:
    measured: list[tuple[str, float]] = []
    floor = Floor(Mode.DUPLEX, lambda audio, seconds: measured.append((audio.name, seconds)))
    streams: list[Reply] = []
    expected: list[tuple[int, int]] = []
    for number, operation in enumerate(operations):
        match operation:
            case "stream" | "kept":
                streams.append(floor.new_reply(keep_open=operation == "kept"))
                floor.give(streams[-1])
            case "step":
                floor.start_step()
            case "say":
                floor.say(f"{number} ")
            case "sound":
                if floor.is_taken:
                    expected.append((len(streams) - 1, number))
                floor.speak(sound(number))
            case "listen":
                floor.listen()
            case "nothing":
                floor.pass_over()
            case "end":
                floor.end_turn()
        assert sum(not stream.is_over for stream in streams) <= 1
        assert floor.is_taken is (not streams[-1].is_over if streams else False)
    floor.give(floor.new_reply(keep_open=False))
    told = [await read(stream) for stream in streams]
    heard = [(at, number_of(event)) for at, events in enumerate(told) for event in events if has_sound(event)]
    assert heard == expected
    assert measured == [(f"wav_{number}.wav", 0.1) for _, number in expected]
    numbers = [event["chunk_idx"] for events in told for event in events if "chunk_data" in event]
    assert numbers == list(range(len(numbers)))


def has_sound(event: dict[str, Any]) -> bool:
    return bool(event.get("chunk_data", {}).get("wav"))


@given(st.lists(st.sampled_from(["stream", "kept", "say", "sound", "listen", "end"]), max_size=40))
async def test_no_word_is_lost_and_none_is_said_twice(operations: list[str]) -> None:
    floor = Floor(Mode.DUPLEX)
    streams = [opened(floor)]
    said = ""
    for number, operation in enumerate([*operations, "end", "stream", "listen"]):
        match operation:
            case "stream" | "kept":
                streams.append(opened(floor, keep_open=operation == "kept"))
            case "say":
                said += f"{number} "
                floor.say(f"{number} ")
            case "sound":
                floor.speak(sound(number))
            case "listen":
                floor.listen()
            case "end":
                floor.end_turn()
    told = [event for stream in streams for event in await read(stream)]
    assert "".join(event.get("chunk_data", {}).get("text", "") for event in told) == said


async def test_a_model_that_listens_ends_the_stream_at_once_when_it_has_not_begun_to_speak() -> None:
    floor = Floor(Mode.DUPLEX)
    reply = opened(floor)
    floor.listen()
    assert not floor.is_taken
    assert await read(reply) == [
        {"is_listen": True, "chunks_received": 0},
        {"done": True, "is_listen": True, "chunks_received": 0, "audio_duration_seconds": 0.0},
    ]


async def test_while_sound_may_be_on_its_way_listening_ends_it_later() -> None:
    floor = Floor(Mode.DUPLEX)
    reply = opened(floor)
    floor.say("Hello.")
    floor.listen()
    assert floor.is_taken
    assert floor.listens
    floor.speak(SECOND)
    floor.end_turn()
    assert not floor.is_taken
    chunk, listen, done = await read(reply)
    assert chunk["chunk_data"]["text"] == "Hello."
    assert listen == {"is_listen": True, "chunks_received": 1}
    assert done == {"done": True, "is_listen": True, "chunks_received": 1, "audio_duration_seconds": 1.0}


async def test_only_the_last_step_of_a_turn_says_whether_the_model_listens() -> None:
    floor = Floor(Mode.DUPLEX)
    reply = opened(floor)
    floor.speak(SECOND)
    floor.listen()
    floor.start_step()
    assert not floor.listens
    floor.speak(SECOND)
    floor.end_turn()
    assert [event.get("is_listen") for event in await read(reply)] == [None, None, True]


async def test_an_older_stream_ends_and_says_whether_more_speech_is_coming() -> None:
    floor = Floor(Mode.DUPLEX)
    before = opened(floor)
    first = opened(floor)
    floor.speak(SECOND)
    second = opened(floor)
    floor.speak(SECOND)
    floor.end_turn()
    assert [(await read(stream))[-1] for stream in (before, first, second)] == [
        {"done": True, "is_listen": True, "chunks_received": 0, "audio_duration_seconds": 0.0},
        {"done": True, "is_listen": False, "chunks_received": 1, "audio_duration_seconds": 1.0},
        {"done": True, "is_listen": True, "chunks_received": 2, "audio_duration_seconds": 1.0},
    ]


async def test_a_stream_that_is_kept_open_goes_on_over_turns() -> None:
    floor = Floor(Mode.DUPLEX)
    reply = opened(floor, keep_open=True)
    floor.listen()
    floor.pass_over()
    for text in ("one", "two"):
        floor.start_step()
        floor.say(text)
        floor.speak(SECOND)
        floor.listen()
        floor.end_turn()
        assert floor.is_taken
    opened(floor)
    events = await read(reply)
    assert [event.get("chunk_data", {}).get("text") for event in events] == ["one", None, "two", None, None]
    assert [event.get("is_listen") for event in events] == [None, True, None, True, True]
    assert events[-1] == {"done": True, "is_listen": True, "chunks_received": 2, "audio_duration_seconds": 2.0}


async def test_words_without_sound_come_out_at_the_end_of_their_turn_on_a_stream_that_is_kept_open() -> None:
    floor = Floor(Mode.DUPLEX)
    reply = opened(floor, keep_open=True)
    floor.say("mute")
    floor.end_turn()
    floor.start_step()
    floor.say("loud")
    floor.speak(SECOND)
    floor.end_turn()
    reply.finish()
    mute, loud, _ = await read(reply)
    assert mute == {"chunk_idx": 0, "chunk_data": {"wav": "", "sample_rate": 24_000, "text": "mute"}}
    assert (loud["chunk_idx"], loud["chunk_data"]["text"]) == (1, "loud")


async def test_a_turn_that_is_broken_off_leaves_no_words_for_the_next() -> None:
    floor = Floor(Mode.DUPLEX)
    broken = opened(floor)
    for text in ("one ", "two ", "three "):
        floor.say(text)
    floor.speak(SECOND)
    floor.break_off()
    assert [event.get("break") for event in await read(broken)] == [True]
    assert floor.turn_is_open
    floor.drained()
    assert not floor.turn_is_open
    reply = opened(floor)
    floor.say("new")
    floor.speak(SECOND)
    floor.end_turn()
    chunk, done = await read(reply)
    # Numbers never come twice in a session, so that of the chunk that was dropped is left out.
    assert (chunk["chunk_idx"], chunk["chunk_data"]["text"]) == (1, "new")
    assert done["chunks_received"] == 2


async def test_in_simplex_every_answer_counts_from_nought_and_is_not_timed() -> None:
    measured: list[float] = []
    floor = Floor(Mode.SIMPLEX, lambda _, seconds: measured.append(seconds))
    for text in ("one", "two"):
        reply = opened(floor, keep_open=True)
        assert floor.turn_is_open
        floor.say(text)
        floor.speak(SECOND)
        floor.speak(SECOND)
        floor.end_turn()
        first, second, done = await read(reply)
        assert (first["chunk_idx"], first["chunk_data"]["text"]) == (0, text)
        assert (second["chunk_idx"], "text" in second["chunk_data"]) == (1, False)
        assert done == {"done": True}
    assert measured == []


async def test_in_simplex_words_that_were_broken_off_stay_with_their_answer() -> None:
    floor = Floor(Mode.SIMPLEX)
    opened(floor)
    floor.say("old")
    floor.break_off()
    floor.drained()
    reply = opened(floor)
    floor.end_turn()
    assert await read(reply) == [{"done": True}]


async def test_an_engine_without_a_stream_disturbs_nobody() -> None:
    floor = Floor(Mode.DUPLEX)
    assert not floor.is_taken
    floor.say("nobody listens")
    floor.speak(SECOND)
    floor.listen()
    floor.end_turn()
    floor.break_off()
    floor.drained()
    assert (floor.turn_is_open, floor.is_taken) == (False, False)
    reply = opened(floor)
    floor.listen()
    assert (await read(reply))[-1]["is_listen"]
