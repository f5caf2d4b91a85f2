"""That each promise, broken, is seen."""

import base64
import json
from dataclasses import replace

import numpy as np

from bench.torture.judge import Judge, Sounds
from bench.torture.plan import Plan
from bench.torture.voice import INPUT_RATE_HZ, marks_of, utterance

PLAN = Plan(1, 0, "binary", "simplex", INPUT_RATE_HZ, ("say",), "close", None)
OWN, SECOND, _ = marks_of(0)
FOREIGN = marks_of(1)[0]
WORDS = utterance(OWN, 0.5)
COUNT = iter(range(1, 1000))


def event(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, "event_id": f"e{next(COUNT)}", **fields})


def response(identity: str, status: str) -> dict[str, object]:
    ended = status != "in_progress"
    output = [{"id": "i", "status": "completed" if status == "completed" else "incomplete"}] if ended else []
    details = None if status in {"completed", "in_progress"} else {"type": status}
    return {"id": identity, "status": status, "output": output, "status_details": details, "usage": {"total_tokens": 0}}


def opened(judge: Judge, number: int) -> dict[str, str]:
    about = {"response_id": f"r{number}"}
    judge.hear(event("response.created", response=response(f"r{number}", "in_progress")))
    judge.hear(event("response.output_item.added", **about))
    item = {"id": f"i{number}"}
    judge.hear(event("conversation.item.added", item=item, previous_item_id=f"i{number - 1}" if number > 1 else None))
    judge.hear(event("response.content_part.added", **about))
    return about


def closed(judge: Judge, number: int, status: str = "completed") -> None:
    about = {"response_id": f"r{number}"}
    for kind in ("output_audio.done", "output_audio_transcript.done", "content_part.done", "output_item.done"):
        judge.hear(event(f"response.{kind}", **about))
    judge.hear(event("conversation.item.done", item={"id": f"i{number}"}, previous_item_id=None))
    judge.hear(event("response.done", response=response(f"r{number}", status)))


def test_an_answer_in_order_is_no_violation() -> None:
    judge = Judge(PLAN)
    opened(judge, 1)
    assert judge.is_open
    judge.hear(WORDS)
    closed(judge, 1)
    assert judge.finish() == []
    assert (judge.begun, judge.ended) == (1, 1)


def test_sound_of_another_session() -> None:
    judge = Judge(PLAN)
    opened(judge, 1)
    judge.hear(utterance(FOREIGN, 0.3))
    closed(judge, 1)
    assert "sound of another session" in judge.finish()[0]


def test_stale_sound_after_a_break() -> None:
    judge = Judge(PLAN)
    opened(judge, 1)
    judge.hear(WORDS)
    closed(judge, 1, "cancelled")
    opened(judge, 2)
    judge.hear(utterance(SECOND, 0.3) + WORDS)
    closed(judge, 2)
    assert "stale sound" in judge.finish()[0]


def test_words_that_are_said_over_and_over_are_not_stale() -> None:
    sounds = Sounds(PLAN)
    sounds.repeat(OWN)
    for _ in range(2):
        sounds.hear(WORDS, INPUT_RATE_HZ)
        sounds.over(cut=True)
    assert sounds.violations == []


def test_sound_outside_of_an_answer() -> None:
    judge = Judge(PLAN)
    judge.hear(WORDS)
    assert judge.finish() == ["AssertionError: sound outside of an answer"]


def test_an_answer_that_ends_twice() -> None:
    judge = Judge(PLAN)
    opened(judge, 1)
    closed(judge, 1)
    closed(judge, 1)
    assert any("outside of its response" in violation for violation in judge.finish())


def test_a_broken_event() -> None:
    judge = Judge(replace(PLAN, interface="openai"))
    judge.hear("{}")
    judge.hear("no JSON")
    judge.hear(b"\0\0")
    assert len(judge.finish()) == 3


def test_after_a_resume_that_failed_the_numbers_begin_anew() -> None:
    judge = Judge(PLAN)
    opened(judge, 1)
    judge.is_resuming = True
    judge.hear(event("error", error={"code": "session_resume_expired", "message": "Gone."}))
    opened(judge, 1)
    closed(judge, 1)
    assert judge.finish() == []


def test_what_a_lost_connection_left_half_said_is_no_part_of_the_next_session() -> None:
    judge = Judge(PLAN)
    judge.hear(event("response.created", response=response("r1", "in_progress")))
    judge.is_resuming = True
    judge.hear(event("error", error={"code": "session_resume_expired", "message": "Gone."}))
    assert not judge.is_open
    judge.hear(event("session.queued", position=1))
    opened(judge, 1)
    closed(judge, 1)
    assert judge.finish() == []


def test_live_and_the_demo_are_heard_too() -> None:
    live = Judge(replace(PLAN, interface="live"))
    foreign = utterance(FOREIGN, 0.4)
    for at in range(0, len(foreign), 1280):
        piece = base64.b64encode(foreign[at : at + 1280]).decode()
        live.hear(json.dumps({"type": "session.output_audio.delta", "delta": piece}))
    live.hear(json.dumps({"type": "session.output_audio.delta", "delta": "AAAA"}))
    assert len(live.finish()) == 2
    demo = Judge(replace(PLAN, interface="minicpmo"))
    floats = base64.b64encode((np.frombuffer(foreign, dtype="<i2") / 32768).astype("<f4").tobytes()).decode()
    demo.hear(json.dumps({"type": "response.output_audio.delta", "audio": floats, "end_of_turn": True}))
    # The demo's sound has another rate, at which the mark sounds like another one.
    assert demo.begun == demo.ended == 1
