"""Going on after a lost socket: what was sent and may be needed again, and who may ask for it.

    dialect --> journal --> socket
                   |
                   '--> after(seq)      for clients that count what they receive
                   '--> unheard(since)  for those that do not: by what they can have played

Every frame takes the next number, binary ones too, so that a client of the binary dialect can count along.
"""

import hmac
import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from duplex.audio import SAMPLE_BYTES
from duplex.clock import samples_to_s
from duplex.errors import InvalidEvent, NoSession
from duplex.messages import (
    AcknowledgePlayback,
    ResponseAudio,
    ResponseCut,
    ResponseEnded,
    ResponseStarted,
    ResponseText,
    ServerMessage,
)
from realtime.dialects.base import Frame
from realtime.dialects.json_event import read_object
from realtime.events import ResumeEvent, parse

__all__ = ["Journal", "Replay", "parse_resume", "replaced_event", "resumed_event", "same_token"]

_OF_A_RESPONSE = ResponseStarted | ResponseText | ResponseAudio | ResponseEnded | ResponseCut


@dataclass(frozen=True, slots=True)
class Replay:
    """What a client that has come back is sent again, in order, before anything new."""

    frames: Sequence[Frame]
    audio_s: float
    """Sound in it."""
    heard: AcknowledgePlayback
    """How much of the newest response is not in it, and so has been played or soon will be."""


@dataclass(slots=True)
class _Sent:
    number: int
    frame: Frame
    generation: int
    """Of the response it belongs to; 0 for none."""
    opens: bool
    sound: bool
    audio_s: float
    heard_at: float
    """When a client that plays at once will have come to it."""


class Journal:
    """Keeps the newest `max_bytes` and `max_frames` of what was sent. All times are seconds of one clock."""

    def __init__(self, *, max_bytes: int = 4 * 1024 * 1024, max_frames: int = 4096) -> None:
        self._max_bytes = max_bytes
        self._max_frames = max_frames
        self._kept: deque[_Sent] = deque()
        self._bytes = 0
        self._gone = 0
        self._last = 0
        self._generation = 0
        self._open = False
        self._sent_s = 0.0
        self._plays_until = float("-inf")

    @property
    def last(self) -> int:
        """The number of the newest frame; 0 before the first."""
        return self._last

    def record(self, message: ServerMessage | None, frames: Iterable[Frame], now: float, rate_hz: int) -> None:
        """Keep what is about to be sent: `frames` say `message`, or something of the dialect's own.

        `rate_hz` is that of the sound in it.
        """
        if isinstance(message, ResponseStarted):
            self._generation, self._open, self._sent_s = message.generation, True, 0.0
        ours = self._open and isinstance(message, _OF_A_RESPONSE)
        audio_s = 0.0
        if isinstance(message, ResponseAudio):
            audio_s = samples_to_s(len(message.pcm) // SAMPLE_BYTES, rate_hz)
            self._sent_s += audio_s
            self._plays_until = max(self._plays_until, now) + audio_s
        elif isinstance(message, ResponseCut):
            self._forget_to_play(now)
        for frame in frames:
            self._last += 1
            sent = _Sent(
                number=self._last,
                frame=frame,
                generation=self._generation if ours else 0,
                opens=isinstance(message, ResponseStarted),
                sound=isinstance(message, ResponseAudio),
                audio_s=audio_s,
                heard_at=max(now, self._plays_until) if ours else now,
            )
            audio_s = 0.0
            self._kept.append(sent)
            self._bytes += len(frame)
        if isinstance(message, ResponseEnded | ResponseCut):
            self._open = False
        while self._bytes > self._max_bytes or len(self._kept) > self._max_frames:
            self._drop()

    def acknowledge(self, number: int) -> None:
        """The client has received everything up to `number`. Raises `InvalidEvent` when that was never sent."""
        if number > self._last:
            raise InvalidEvent(
                f"Invalid value for 'server_event_seq': the newest event has the number {self._last}.",
                param="server_event_seq",
            )
        while self._kept and self._kept[0].number <= number:
            self._drop()

    def after(self, number: int, admits: Callable[[int], bool]) -> Replay:
        """All after `number`, but no sound of responses that were cut meanwhile.

        Raises `NoSession` when some of it is no longer kept, or `number` was never sent.
        """
        if number > self._last:
            raise NoSession(
                f"The newest event of this session has the number {self._last}: 'last_received_server_event_seq' "
                "is that of another session. A new session begins.",
                code="invalid_session_resume",
                param="last_received_server_event_seq",
            )
        if number < self._gone:
            raise NoSession(
                f"The session cannot be resumed: events up to {self._gone} are no longer kept. A new session begins.",
                code="session_resync_required",
                param="last_received_server_event_seq",
            )
        return self._replay(sent for sent in self._kept if sent.number > number and _may_sound(sent, admits))

    def unheard(self, since: float, admits: Callable[[int], bool]) -> Replay:
        """What of the responses cannot have been played at `since`, for a client that knows nothing of them.

        A response that is taken up in its middle is opened again first. One whose beginning is no longer kept is left
        out.
        """
        begun = {sent.generation for sent in self._kept if sent.opens}
        rest = [
            sent
            for sent in self._kept
            if sent.heard_at > since and sent.generation in begun and _may_sound(sent, admits)
        ]
        if rest:
            first = rest[0]
            rest = [
                sent
                for sent in self._kept
                if sent.opens and sent.generation == first.generation and sent.number < first.number
            ] + rest
        return self._replay(rest)

    def _replay(self, again: Iterable[_Sent]) -> Replay:
        entries = list(again)
        newest_s = sum(sent.audio_s for sent in entries if sent.generation == self._generation)
        return Replay(
            frames=[sent.frame for sent in entries],
            audio_s=sum(sent.audio_s for sent in entries),
            heard=AcknowledgePlayback(self._generation, round(max(0.0, self._sent_s - newest_s) * 1000)),
        )

    def _forget_to_play(self, now: float) -> None:
        """The client throws away what it has not played: nothing sent so far will be heard any later."""
        self._plays_until = min(self._plays_until, now)
        self._kept = deque(replace(sent, heard_at=min(sent.heard_at, now)) for sent in self._kept)

    def _drop(self) -> None:
        sent = self._kept.popleft()
        self._bytes -= len(sent.frame)
        self._gone = sent.number


def _may_sound(sent: _Sent, admits: Callable[[int], bool]) -> bool:
    return not sent.sound or admits(sent.generation)


def parse_resume(frame: Frame) -> ResumeEvent:
    """Understand the first frame on a connection with `resume=1`. Raises `NoSession`."""
    param = None
    try:
        event = parse(read_object(frame))
        if isinstance(event, ResumeEvent):
            return event
    except InvalidEvent as error:
        param = error.param
    raise NoSession(
        "A connection with resume=1 begins with a session.resume event that holds session_id, resume_token and "
        "last_received_server_event_seq. A new session begins.",
        code="invalid_session_resume",
        param=param,
    )


def same_token(offered: str, known: str) -> bool:
    """In constant time: the answer's delay must not tell how much of it was right."""
    return hmac.compare_digest(offered.encode(errors="replace"), known.encode())


def resumed_event(session_id: str, resume_token: str, sockets: int) -> str:
    """Says that the session goes on; the replay follows. It has no number of its own."""
    return json.dumps(
        {
            "type": "session.resumed",
            "event_id": f"event_{session_id}_resumed_{sockets}",
            "session_id": session_id,
            "resume_token": resume_token,
            "attachment_generation": sockets,
        }
    )


def replaced_event(session_id: str, sockets: int) -> str:
    """Says to a socket that another one has taken its place."""
    return json.dumps(
        {
            "type": "session.replaced",
            "event_id": f"event_{session_id}_replaced_{sockets}",
            "session_id": session_id,
            "attachment_generation": sockets,
        }
    )
