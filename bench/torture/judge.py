"""What is promised to one client, judged by what it receives."""

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench.torture.plan import Plan
from bench.torture.voice import INPUT_RATE_HZ, marks_in, marks_of
from tests.realtime.rules import Rules

__all__ = ["Judge", "Sounds"]

_DEMO_RATE_HZ = 24_000
_OF_OPENAI = frozenset({"binary", "openai", "openai-beta"})


class Sounds:
    """All that one session hears, answer by answer, and whose words are in it."""

    def __init__(self, plan: Plan) -> None:
        self._own = frozenset(marks_of(plan.index))
        self._pcm = bytearray()
        self._rate_hz = plan.rate_hz
        self._dead: frozenset[int] = frozenset()
        self._repeated: frozenset[int] = frozenset()
        self.violations: list[str] = []
        self.seconds = 0.0

    def hear(self, pcm: bytes, rate_hz: int) -> None:
        """The next piece."""
        self._pcm += pcm
        self._rate_hz = rate_hz
        self.seconds += len(pcm) / 2 / rate_hz

    def over(self, *, cut: bool = False) -> None:
        """An answer, or the session, has ended. What was heard in one that was `cut` must not be heard again."""
        marks = marks_in(bytes(self._pcm), self._rate_hz)
        self._pcm.clear()
        if foreign := marks - self._own:
            self.violations.append(f"sound of another session: marks {sorted(foreign)}, own are {sorted(self._own)}")
        if stale := (marks & self._dead) - self._repeated:
            self.violations.append(f"stale sound: marks {sorted(stale)} of an answer that was broken off")
        if cut:
            self._dead |= marks

    def repeat(self, mark: int) -> None:
        """The user says the same words over and over: they may be heard again in any answer."""
        self._repeated |= {mark}


class Judge:
    """One WebSocket session, message by message, over however many connections."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._is_of_openai = plan.interface in _OF_OPENAI
        self._rules: Rules | None = None
        self.sounds = Sounds(plan)
        self.violations: list[str] = []
        self.session_id = ""
        self.token = ""
        self.is_open = False
        """Whether an answer has begun and not ended."""
        self.begun = self.ended = 0
        """Answers."""
        self.received = 0
        """The number of the newest message."""
        self.is_resuming = False
        """Whether it is to be told now that its session goes on, or that a new one begins."""
        self.kinds: set[str] = set()
        """All that was said."""
        self.begin_anew()

    def begin_anew(self, *, in_the_middle: bool = False) -> None:
        """Another session, or the same one, of which a client that does not count is told some things again."""
        is_whole = self._is_of_openai and not in_the_middle
        self._rules = Rules(beta=self._plan.interface == "openai-beta") if is_whole else None
        self.received = 0
        self.is_open = False
        self.sounds.over()

    def hear(self, message: str | bytes) -> None:
        """One message."""
        with self._noting():
            if isinstance(message, bytes):
                self._hear_sound(message)
            else:
                self._hear_event(json.loads(message))

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except (AssertionError, LookupError, TypeError, ValueError) as error:
            self.violations.append(f"{type(error).__name__}: {error}"[:300])

    def _hear_sound(self, message: bytes) -> None:
        assert self._plan.interface == "binary", "a binary message"
        assert self.is_open, "sound outside of an answer"
        self.received += 1
        self.sounds.hear(message, self._plan.rate_hz)

    def _hear_event(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        self.kinds.add(kind)
        self.received = event.get("server_event_seq", self.received)
        if self.is_resuming and kind == "error":
            # What the lost connection has left half said is never said to its end.
            self.begin_anew()
        if self._rules is not None and kind != "session.resumed":
            # That one may come between any two of the others.
            self._rules.judge(event)
        if self.is_resuming and kind in {"session.resumed", "error"}:
            self.is_resuming = False
        elif kind == "session.created":
            self.session_id = event.get("session", {}).get("id", "")
            self.token = event.get("resume_token", "")
        elif self._is_of_openai:
            self._hear_openai(kind, event)
        elif self._plan.interface == "live":
            self._hear_live(kind, event)
        else:
            self._hear_demo(kind, event)

    def _hear_openai(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "response.created":
            self.is_open = True
            self.begun += 1
        elif kind in {"response.output_audio.delta", "response.audio.delta"}:
            self.sounds.hear(base64.b64decode(event["delta"], validate=True), self._plan.rate_hz)
        elif kind == "response.done":
            self.is_open = False
            self.ended += 1
            self.sounds.over(cut=event["response"]["status"] == "cancelled")

    def _hear_live(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "session.output_audio.delta":
            pcm = base64.b64decode(event["delta"], validate=True)
            assert len(pcm) == INPUT_RATE_HZ * 2 // 25, "no piece of 40 ms"
            was_open, self.is_open = self.is_open, bool(pcm.strip(b"\0"))
            self.begun += self.is_open and not was_open
            self.ended += was_open and not self.is_open
            self.sounds.hear(pcm, INPUT_RATE_HZ)

    def _hear_demo(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "response.output_audio.delta":
            floats = np.frombuffer(base64.b64decode(event["audio"], validate=True), dtype="<f4")
            self.sounds.hear((floats * 32767).astype("<i2").tobytes(), _DEMO_RATE_HZ)
            if not self.is_open:
                self.begun += 1
            self.is_open = not event["end_of_turn"]
            if not self.is_open:
                self.ended += 1
                self.sounds.over()
        elif kind in {"response.cancelled", "response.listen"} and self.is_open:
            # Who listens may have been interrupted, or have said all: only the first of the two says which.
            self.is_open = False
            self.ended += 1
            self.sounds.over(cut=kind == "response.cancelled")

    def finish(self) -> list[str]:
        """The session is over: everything that was wrong."""
        self.sounds.over()
        return [*self.violations, *self.sounds.violations]
