"""What every dialect does: the client's frames to requests, our messages to its frames. One object a connection."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from duplex.conversation_settings import ConversationSettings
from duplex.messages import Request, ServerMessage

__all__ = ["Dialect", "Frame", "Paced", "SessionFacts"]

Frame = str | bytes
"""One WebSocket message: text or binary."""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What a dialect may tell its client about the session."""

    session_id: str
    model: str
    engine_kind: str
    stand_in: bool
    resume_token: str = ""
    """For clients with extensions: how to go on with the session after the socket is lost."""


class Dialect(Protocol):
    """Pure: holds the protocol's own state (ids, sequence numbers) and does no I/O."""

    event_id: str | None
    """The client's id of the event last decoded, for an error that refers to it."""

    acknowledged: int | None
    """The number up to which the client says, in the event last decoded, that it has received everything."""

    @property
    def settings(self) -> ConversationSettings:
        """Those in force, as far as the dialect and its client have chosen them."""
        ...

    def greet(self) -> list[Frame]:
        """What the client hears first."""
        ...

    def decode(self, frame: Frame) -> list[Request]:
        """Understand one frame. Raises `InvalidEvent` or `InvalidAudio`; the connection lives on."""
        ...

    def encode(self, message: ServerMessage) -> list[Frame]:
        """Say one message; nothing where the protocol has no word for it."""
        ...

    def farewell(self, reason: str) -> list[Frame]:
        """What the client hears last: `reason` is `client_closed` or `server_shutdown`."""
        ...

    @property
    def closing(self) -> bool:
        """Has the client asked for the end of the session?"""
        ...


@runtime_checkable
class Paced(Protocol):
    """A dialect that says things of its own accord, or at their time: somebody must keep asking it until it closes."""

    closing: bool

    def due_at(self) -> float:
        """When `take` has something; minus infinity for now, infinity for nothing before the next message."""
        ...

    def take(self, now: float) -> list[Frame]:
        """What is due, in order; nothing when nothing is. Ask again before waiting."""
        ...
