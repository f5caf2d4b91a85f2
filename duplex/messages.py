"""What a client asks of a conversation, and what the conversation says to it, in no dialect.

A dialect (realtime/dialects) turns its own protocol's events into requests, and messages into its events. Times are
milliseconds since the start of the microphone, durations milliseconds.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from duplex.conversation_settings import ConversationSettings

__all__ = [
    "AcknowledgePlayback",
    "AppendAudio",
    "Aside",
    "BreakReason",
    "CancelResponse",
    "ClearInput",
    "ClearOutput",
    "CommitInput",
    "Committed",
    "Configure",
    "Configured",
    "CreateResponse",
    "HearClip",
    "InputCleared",
    "InputTimedOut",
    "ModelListens",
    "Refused",
    "Request",
    "ResponseAudio",
    "ResponseCut",
    "ResponseEnded",
    "ResponseHeld",
    "ResponseReleased",
    "ResponseStarted",
    "ResponseText",
    "ServerMessage",
    "ShowPicture",
    "SpeechStarted",
    "SpeechStopped",
    "Warned",
]


@dataclass(frozen=True, slots=True)
class AppendAudio:
    """Microphone audio: whole 16-bit mono samples at the session's input rate."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class HearClip:
    """Recorded sound that the model is to hear as it is, beside the microphone: same form, at most 30 s."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class ShowPicture:
    """A whole JPEG or PNG that the model is to see with what it hears next."""

    picture: bytes


@dataclass(frozen=True, slots=True)
class Configure:
    """Use these settings from now on."""

    settings: ConversationSettings


@dataclass(frozen=True, slots=True)
class CommitInput:
    """What was said is the next input."""


@dataclass(frozen=True, slots=True)
class ClearInput:
    """Forget what was said and not committed."""


@dataclass(frozen=True, slots=True)
class CreateResponse:
    """Answer now; `metadata` is echoed with the response."""

    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CancelResponse:
    """Be silent; an error when nothing is being said."""


@dataclass(frozen=True, slots=True)
class ClearOutput:
    """Be silent; nothing when nothing is being said."""


@dataclass(frozen=True, slots=True)
class AcknowledgePlayback:
    """The client has played so much of the response with this generation."""

    generation: int
    played_ms: int


@dataclass(frozen=True, slots=True)
class Aside:
    """A matter between a client and its dialect alone. The conversation hands it back, request and message in one, so
    that the answer keeps its place among the other messages."""

    content: object


Request = (
    AppendAudio
    | HearClip
    | ShowPicture
    | Configure
    | CommitInput
    | ClearInput
    | CreateResponse
    | CancelResponse
    | ClearOutput
    | AcknowledgePlayback
    | Aside
)


class BreakReason(enum.StrEnum):
    """Why a response ended early; the first two values are OpenAI's."""

    TURN_DETECTED = "turn_detected"
    CLIENT_CANCELLED = "client_cancelled"
    ENGINE_LOST = "engine_lost"
    """Ours, and no break: the engine failed in the middle of it."""


@dataclass(frozen=True, slots=True)
class Configured:
    """The settings asked for are in force."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak at `at_ms`, prefix padding included."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The user stopped speaking at `at_ms`."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Committed:
    """What the user said is now the next input, and can no longer be cleared."""


@dataclass(frozen=True, slots=True)
class InputTimedOut:
    """Nobody has spoken from `start_ms` to `end_ms`, and the model is to go on by itself."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class InputCleared:
    """Input that was not yet committed is gone."""


@dataclass(frozen=True, slots=True)
class ModelListens:
    """The model heard a second of audio and chose to stay silent."""


@dataclass(frozen=True, slots=True)
class ResponseStarted:
    """A response begins; `metadata` is what the client gave with its request."""

    generation: int
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResponseText:
    """A piece of the response's text, in the order of its sound."""

    text: str


@dataclass(frozen=True, slots=True)
class ResponseAudio:
    """A piece of the response's sound: 16-bit mono PCM at the session's output rate, at most 100 ms."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    """The response is complete. `latency_ms` names the stages of this turn that were measured."""

    latency_ms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ResponseHeld:
    """Somebody seems to speak over what is being heard: stop playing it, and keep it."""


@dataclass(frozen=True, slots=True)
class ResponseReleased:
    """It was no interruption: play on where it stopped. Follows each `ResponseHeld` unless the response is cut."""


@dataclass(frozen=True, slots=True)
class ResponseCut:
    """The response was ended early. Whatever of it is still queued anywhere must be dropped.

    `heard_ms` is how much of it the user has heard, `heard_text` the words of it. It also comes when all of it was sent
    and only the client still played it; a dialect then has nothing left to close.
    """

    reason: BreakReason
    heard_ms: int
    latency_ms: Mapping[str, int]
    heard_text: str = ""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something was lost or healed that the client should know."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A request could not be granted; the session lives on. `event_id` is the client's, where it gave one."""

    code: str
    text: str
    param: str | None = None
    event_id: str | None = None


ServerMessage = (
    Configured
    | SpeechStarted
    | SpeechStopped
    | Committed
    | InputTimedOut
    | InputCleared
    | ModelListens
    | ResponseStarted
    | ResponseText
    | ResponseAudio
    | ResponseEnded
    | ResponseHeld
    | ResponseReleased
    | ResponseCut
    | Warned
    | Refused
    | Aside
)
