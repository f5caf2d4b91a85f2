"""The dialect and the conversation together: what stock clients insist on, event by event."""

import base64
import io
from typing import Any

import pytest
from PIL import Image

from duplex.g711 import Law, expand
from tests.duplex.talk import LOUD, QUIET, duplex, simplex
from tests.realtime.rules import Rules
from tests.realtime.strict import checked
from tests.realtime.wire import Wire, b64


def wire(**settings: Any) -> Wire:
    return Wire(simplex(**settings))


def spoken(one: Wire) -> None:
    one.hear(LOUD, 0.5)
    one.hear(QUIET, 0.8)


def strictly(one: Wire) -> list[str]:
    rules = Rules(beta=False)
    for frame in one.frames:
        # OpenAI's type knows one rate only; ours are ours to extend.
        event = checked(str(frame).replace('"rate":16000', '"rate":24000'))
        rules.judge(event)
    return one.types


def update(one: Wire, **turns: Any) -> None:
    (updated,) = one.ask({"type": "session.update", "session": {"audio": {"input": {"turn_detection": turns}}}})
    assert updated["type"] == "session.updated"


def text_item(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}], **more}


def picture() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (8, 6)).save(written, "JPEG")
    return written.getvalue()


# --- order


def test_two_turns_and_a_break_as_a_strict_client_sees_them() -> None:
    one = wire(input_rate_hz=24_000)
    one.push(LOUD * 12_000 + QUIET * 24_000)
    one.say("A long story about", 3.0)
    one.read(9)
    one.push(LOUD * 12_000)
    one.drain()
    one.push(QUIET * 24_000)
    one.answer("Next.")
    types = strictly(one)
    assert types.count("response.done") == types.count("response.created") == 2
    cancelled, completed = [event["response"] for event in one.events if event["type"] == "response.done"]
    assert cancelled["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert completed["status"] == "completed"
    assert types.index("response.done") < len(types) - types[::-1].index("response.created")


def test_every_item_names_the_one_before_it() -> None:
    one = wire()
    spoken(one)
    one.answer("Yes.")
    one.ask({"type": "conversation.item.create", "item": text_item("noted", id="mine")})
    spoken(one)
    one.answer("Yes again.")
    added = [event for event in one.events if event["type"] == "conversation.item.added"]
    ids = [event["item"]["id"] for event in added]
    assert len(set(ids)) == 5
    assert [event["previous_item_id"] for event in added] == [None, *ids[:-1]]
    assert ids[2] == "mine"


def test_an_item_under_way_is_whole_when_it_is_done() -> None:
    one = wire()
    spoken(one)
    one.answer("Yes.")
    done = [event["item"] for event in one.events if event["type"] == "conversation.item.done"][-1]
    (retrieved,) = one.ask({"type": "conversation.item.retrieve", "item_id": done["id"]})
    assert retrieved["item"] == done
    assert done["content"] == [{"type": "output_audio", "transcript": "Yes."}]


# --- turns


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("interrupt", [True, False])
def test_all_four_ways_of_taking_turns(create: bool, interrupt: bool) -> None:
    one = wire()
    update(one, create_response=create, interrupt_response=interrupt)
    spoken(one)
    assert ("response.created" in one.types) is False
    one.read()
    assert ("response.created" in one.types) is create
    if not create:
        one.ask({"type": "response.create"})
    one.say("Well", 3.0)
    one.read(5)
    before = len(one.frames)
    spoken(one)
    done = [event for event in one.since(before) if event["type"] == "response.done"]
    assert bool(done) is interrupt
    one.drain()
    one.finish()
    one.read()
    started = [event for event in one.since(before) if event["type"] == "response.created"]
    assert bool(started) is create, "what was said over it is answered, where speech is"
    strictly(one)


def test_push_to_talk() -> None:
    one = wire()
    one.ask({"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}})
    spoken(one)
    assert one.types == ["session.created", "session.updated"]
    committed = [event["type"] for event in one.ask({"type": "input_audio_buffer.commit"})]
    assert committed == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    one.ask({"type": "response.create", "response": {"metadata": {"client_event_id": "e"}}})
    one.answer("Yes.")
    (created,) = [event for event in one.events if event["type"] == "response.created"]
    assert created["response"]["metadata"] == {"client_event_id": "e"}
    (empty,) = one.ask({"type": "input_audio_buffer.commit"})
    assert empty["error"]["code"] == "input_audio_buffer_commit_empty"


def test_an_idle_user_is_spoken_to() -> None:
    one = wire()
    update(one, idle_timeout_ms=5000)
    spoken(one)
    one.answer("Yes.", 0.2)
    before = len(one.frames)
    one.wait(6.0)
    one.answer("Are you there?")
    events = one.since(before)
    assert [event["type"] for event in events][:5] == [
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    assert events[0]["item_id"] == events[1]["item_id"]
    strictly(one)


def test_a_second_response_is_refused_while_one_is_made() -> None:
    one = wire()
    spoken(one)
    (error,) = one.ask({"type": "response.create", "event_id": "mine"})
    assert error["error"]["code"] == "conversation_already_has_active_response"
    assert error["error"]["event_id"] == "mine"
    (foreign,) = one.ask({"type": "response.cancel", "response_id": "resp_of_another"})
    assert (foreign["error"]["code"], foreign["error"]["param"]) == ("response_cancel_not_active", "response_id")


def test_a_response_is_cancelled_by_its_name() -> None:
    one = wire()
    spoken(one)
    one.say("Well", 1.0)
    one.read(5)
    (created,) = [event["response"] for event in one.events if event["type"] == "response.created"]
    answered = one.ask({"type": "response.cancel", "response_id": created["id"]})
    assert answered[-1]["response"]["status_details"]["reason"] == "client_cancelled"


# --- items


def test_truncation_cuts_what_is_kept() -> None:
    one = wire()
    spoken(one)
    one.answer("one two three four five six", 3.0)
    item_id = [event["item"]["id"] for event in one.events if event["type"] == "conversation.item.done"][-1]
    cut = {"type": "conversation.item.truncate", "item_id": item_id, "content_index": 0}
    (truncated,) = one.ask({**cut, "audio_end_ms": 1000})
    assert (truncated["type"], truncated["audio_end_ms"]) == ("conversation.item.truncated", 1000)
    (retrieved,) = one.ask({"type": "conversation.item.retrieve", "item_id": item_id})
    heard = retrieved["item"]["content"][0]["transcript"]
    assert "one two three four five six".startswith(heard)
    assert 0 < len(heard) < 20
    (clamped,) = one.ask({**cut, "audio_end_ms": 10**9})
    assert clamped["audio_end_ms"] == 3000
    (unknown,) = one.ask({**cut, "item_id": "never", "audio_end_ms": 5})
    assert unknown["type"] == "conversation.item.truncated"
    strictly(one)


def test_an_answer_cut_while_it_only_played_is_cut_in_the_conversation_too() -> None:
    one = wire()
    spoken(one)
    one.answer("one two three four five six", 3.0)
    item_id = [event["item"]["id"] for event in one.events if event["type"] == "conversation.item.done"][-1]
    one.hear(LOUD, 0.5)
    (retrieved,) = one.ask({"type": "conversation.item.retrieve", "item_id": item_id})
    heard = retrieved["item"]["content"][0]["transcript"]
    assert "one two three four five six".startswith(heard)
    assert 0 < len(heard) < 20
    assert one.types.count("response.done") == 1


def test_text_is_taken_and_only_an_answer_to_it_refused() -> None:
    one = wire()
    created = one.ask({"type": "conversation.item.create", "item": text_item("Hello", id="t")})
    assert [event["type"] for event in created] == ["conversation.item.added", "conversation.item.done"]
    (error,) = one.ask({"type": "response.create"})
    assert (error["error"]["code"], error["error"]["param"]) == ("unsupported_by_engine", "item.content")
    spoken(one)
    one.answer("Yes.")
    assert one.types.count("error") == 1
    one.ask({"type": "conversation.item.create", "item": text_item("Hello", id="u")})
    one.ask({"type": "conversation.item.delete", "item_id": "u"})
    assert one.ask({"type": "response.create"}) == []
    strictly(one)


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I said so."}]},
        {"type": "function_call", "name": "n", "arguments": "{}", "call_id": "c"},
    ],
)
def test_what_is_not_asked_hinders_no_answer(item: dict[str, Any]) -> None:
    one = wire()
    one.ask({"type": "conversation.item.create", "item": item})
    assert one.ask({"type": "response.create"}) == []
    strictly(one)


@pytest.mark.parametrize("where", ["session", "response"])
def test_tools_hinder_only_an_answer_that_must_be_one(where: str) -> None:
    tools = {"tools": [{"type": "function", "name": "f", "parameters": {}}], "tool_choice": "required"}
    one = wire()
    if where == "session":
        assert one.ask({"type": "session.update", "session": tools})[0]["type"] == "session.updated"
    (error,) = one.ask({"type": "response.create", "response": tools if where == "response" else {}})
    assert error["error"]["code"] == "unsupported_by_engine"
    one.ask({"type": "session.update", "session": {**tools, "tool_choice": "auto"}})
    assert one.ask({"type": "response.create"}) == []


def test_sound_and_pictures_of_items_and_responses_reach_the_model() -> None:
    seen = f"data:image/jpeg;base64,{b64(picture())}"
    content = [{"type": "input_audio", "audio": b64(LOUD * 8000)}, {"type": "input_image", "image_url": seen}]
    message = {"type": "message", "role": "user", "content": content}
    one = wire()
    added, _ = one.ask({"type": "conversation.item.create", "item": message})
    assert [part["type"] for part in added["item"]["content"]] == ["input_audio", "input_image"]
    assert not any({"audio", "image_url"} & part.keys() for part in added["item"]["content"])
    assert one.ask({"type": "response.create", "response": {"input": [message]}}) == []
    assert sum(prefill.pcm.count(LOUD) for prefill in one.prefills) == 16_000
    assert [prefill.image for prefill in one.prefills if prefill.image] == [picture()] * 2
    (error,) = wire().ask({"type": "response.create", "response": {"input": [text_item("Hi")]}})
    assert (error["error"]["code"], error["error"]["param"]) == ("unsupported_by_engine", "response.input")


def test_video_frames_are_seen_with_the_sound_beside_them() -> None:
    one = Wire(duplex())
    event = {"type": "input_audio_buffer.append", "audio": b64(QUIET * 16_000), "video_frames": [b64(picture())]}
    assert one.ask(event) == []
    assert [(len(prefill.pcm), prefill.image) for prefill in one.prefills] == [(32_000, picture())]


# --- sound


@pytest.mark.parametrize(("kind", "law"), [("audio/pcmu", Law.MU), ("audio/pcma", Law.A)])
def test_telephones_speak_and_hear(kind: str, law: Law) -> None:
    one = wire()
    formats = {"input": {"format": {"type": kind}}, "output": {"format": {"type": kind}}}
    one.ask({"type": "session.update", "session": {"audio": formats}})
    silence, voice = {Law.MU: b"\xff", Law.A: b"\xd5"}[law], b"\x20\xa0"
    for sound in (voice * 2000, silence * 8000):
        one.ask({"type": "input_audio_buffer.append", "audio": b64(sound)})
    one.answer("Yes.", 0.5)
    deltas = [event["delta"] for event in one.events if event["type"] == "response.output_audio.delta"]
    sound = b"".join(map(base64.b64decode, deltas))
    assert abs(len(sound) - 4000) < 100, "half a second at 8 kHz, one byte a sample"
    assert expand(sound, law)
    created = next(event["response"] for event in one.events if event["type"] == "response.created")
    assert created["audio"]["output"]["format"] == {"type": kind}
    strictly(one)


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000])
def test_every_rate_both_ways(rate: int) -> None:
    one = wire()
    pcm = {"format": {"type": "audio/pcm", "rate": rate}}
    one.ask({"type": "session.update", "session": {"audio": {"input": pcm, "output": pcm}}})
    for sound in (LOUD * (rate // 2), QUIET * rate):
        one.ask({"type": "input_audio_buffer.append", "audio": b64(sound)})
    one.answer("Yes.", 0.5)
    deltas = [event["delta"] for event in one.events if event["type"] == "response.output_audio.delta"]
    assert abs(sum(len(base64.b64decode(delta)) for delta in deltas) - rate) < rate / 50
