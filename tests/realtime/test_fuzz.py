"""Twenty thousand random conversations of both sides: nothing breaks, and the rules of the lifecycle hold."""

import gc
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from openai.types.beta.realtime import RealtimeServerEvent as BetaServerEvent
from pydantic import TypeAdapter

from duplex.engine.base import Mode
from duplex.evidence import NO_SOUND, NO_VOICE, Evidence
from realtime.dialects.openai_beta import Names
from tests.duplex.talk import LOUD, QUIET, VOICE, simplex
from tests.duplex.test_promises import TWO_STEPS
from tests.realtime.rules import Rules
from tests.realtime.strict import checked
from tests.realtime.wire import Wire, b64

SEQUENCES = 20_000
STEPS = 4
CHECKED_WITH_TYPES = 100
"""One sequence in so many is also judged by OpenAI's own types, which cost more than all the rest."""

_BETA: TypeAdapter[Any] = TypeAdapter(BetaServerEvent)
_VALUES: tuple[Any, ...] = (None, True, -1, 0, 7, 10**12, 0.5, "", "word", "root", "item_a", "resp_abc_1", [], {}, [{}])
_TURNS = "turn_detection"

GOOD: tuple[dict[str, Any], ...] = (
    {"type": "session.update", "session": {"audio": {"input": {_TURNS: None}}}},
    {"type": "session.update", "session": {"audio": {"input": {_TURNS: {"type": "semantic_vad"}}}}},
    {"type": "session.update", "session": {"audio": {"input": {_TURNS: {"interrupt_response": False}}}}},
    {"type": "session.update", "session": {"audio": {"input": {_TURNS: {"create_response": False}}}}},
    {"type": "session.update", "session": {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}},
    {"type": "session.update", "session": {"voice": "ash", _TURNS: {"type": "server_vad", "idle_timeout_ms": 5000}}},
    {"type": "input_audio_buffer.append", "audio": b64(LOUD * 640), "video_frames": []},
    {"type": "input_audio_buffer.append", "audio": b64(QUIET * 640)},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {
        "type": "conversation.item.create",
        "previous_item_id": None,
        "item": {"id": "item_a", "type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": b64(LOUD * 160)}]},
    },
    {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c", "output": "{}"}},
    {"type": "conversation.item.retrieve", "item_id": "item_abc_1"},
    {"type": "conversation.item.truncate", "item_id": "item_abc_2", "content_index": 0, "audio_end_ms": 90},
    {"type": "conversation.item.delete", "item_id": "item_abc_1"},
    {"type": "conversation.item.delete", "item_id": "item_abc_2"},
    {"type": "response.create", "response": {"metadata": {"a": "b"}}},
    {"type": "response.create"},
    {"type": "response.cancel", "response_id": "resp_abc_1"},
    {"type": "response.cancel"},
    {"type": "output_audio_buffer.clear"},
    {"type": "playback.ack", "response_id": "resp_abc_1", "played_ms": 40},
    {"type": "session.heartbeat"},
    {"type": "session.event_ack", "server_event_seq": 1},
)

FRAMES = tuple(map(json.dumps, GOOD))


class AnythingIsSpeech:
    """Votes for every frame that is not digital silence: cheaper than `LoudIsSpeech` where there is no resampler."""

    def judge(self, frame: bytes, far: bytes = NO_SOUND) -> Evidence:
        return VOICE if frame.strip(b"\0") else NO_VOICE


def spoil(event: dict[str, Any], choose: random.Random) -> dict[str, Any]:
    """The event with one key, at any depth, gone or with a value from elsewhere."""
    here: Any = event
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = choose.choice(keys)
        if isinstance(here[key], dict | list) and here[key] and choose.random() < 0.7:
            here = here[key]
        elif choose.random() < 0.3:
            del here[key]
            return event
        else:
            here[key] = choose.choice(_VALUES)
            return event


HAPPENINGS: tuple[Callable[[Wire], object], ...] = (
    lambda wire: wire.push(LOUD * 320),
    lambda wire: wire.push(LOUD * 960),
    lambda wire: wire.push(QUIET * 320),
    lambda wire: wire.push(LOUD * 320 + QUIET * 640),
    lambda wire: wire.push(LOUD * 320 + QUIET * 640),
    lambda wire: wire.say("one two three four", 0.04),
    lambda wire: wire.say("five", 0.0),
    Wire.finish,
    Wire.end,
    Wire.drain,
    Wire.read,
    lambda wire: wire.read(1),
    lambda wire: wire.read(5),
    lambda wire: wire.wait(0.3),
)


def step(wire: Wire, choose: random.Random) -> bool:
    """One thing happens. True if it was an event of the client's."""
    dice = choose.random()
    if dice < 0.002:
        # Long enough for an idle user, and for a microphone that stopped sending.
        wire.wait(6.0)
        return False
    if dice < 0.45:
        frame = choose.choice(FRAMES)
        wire.send(frame if choose.random() < 0.7 else json.dumps(spoil(json.loads(frame), choose)))
        return True
    choose.choice(HAPPENINGS)(wire)
    return False


def converse(seed: int) -> Rules:
    choose = random.Random(seed)
    mode = choose.choice((Mode.SIMPLEX, Mode.SIMPLEX, Mode.DUPLEX))
    settings = replace(simplex(vad=TWO_STEPS, prefix_padding_ms=0), mode=mode)
    names = choose.choice(tuple(Names))
    wire = Wire(settings, extensions=choose.random() < 0.3, names=names, detector=AnythingIsSpeech())
    rules, judged = Rules(beta=names is Names.BETA), 0
    strictly = seed % CHECKED_WITH_TYPES == 0
    if choose.random() < 0.5:
        # Half of them begin with an answer under way: most of what can go wrong needs one.
        wire.push(LOUD * 320 + QUIET * 640)
        wire.say("Well, as I said", 0.04)
        wire.read(choose.randrange(4))
    for _ in range(STEPS):
        errors = rules.errors
        asked = step(wire, choose)
        if wire.dialect._names is not names:
            # A flat first update; nothing may have been said in the other words before.
            names = wire.dialect._names
            rules = rules.in_older_words()
        for frame in wire.frames[judged:]:
            event = json.loads(frame)
            rules.judge(event)
            if strictly:
                judge_strictly(frame, event, beta=names is Names.BETA)
        judged = len(wire.frames)
        assert rules.errors <= errors + asked, "more errors than requests"
    return rules


def judge_strictly(frame: str | bytes, event: dict[str, Any], *, beta: bool) -> None:
    if not beta:
        # Rates and types of the client's own making are echoed, and are not OpenAI's.
        if not event["type"].startswith("session."):
            checked(frame, extensions=True)
    elif "server_event_seq" not in event and not event["type"].startswith("session."):
        assert type(_BETA.validate_json(frame)).__name__ != "dict"


@pytest.fixture(autouse=True)
def only_new_objects_are_garbage() -> Iterator[None]:
    """The collector would go through all that was imported, again and again: a third of the time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("part", range(4))
def test_no_sequence_of_events_breaks_a_rule(part: int) -> None:
    responses = errors = 0
    for seed in range(part, SEQUENCES, 4):
        rules = converse(seed)
        responses, errors = responses + rules.responses, errors + rules.errors
    # A fuzz that reaches nothing proves nothing.
    assert responses > SEQUENCES / 20
    assert errors > SEQUENCES / 20
