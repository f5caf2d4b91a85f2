"""The exception tree, split by whose fault it is.

    OmniDuplexError
    ├── ClientError               the peer did something wrong; the same again is useless
    │   ├── InvalidAudio            odd byte count, unsupported rate or format
    │   ├── InvalidEvent            malformed, unknown or ill-typed event; the session lives on
    │   ├── MessageTooBig           one message over the stated limit
    │   ├── NoSession               a request of a session that does not exist
    │   ├── NotAuthorised           missing or wrong key
    │   ├── OriginRefused           a browser page we do not serve
    │   └── ClientStalled           the peer stopped reading
    ├── CapacityError             retry later
    │   ├── EngineBusy              every engine is leased
    │   ├── TooManyRequests         this address or key asks for more than its share
    │   ├── EngineNotReady          still loading, or restarting
    │   ├── Overloaded              one more call would disturb those that run
    │   ├── QueueFull               every engine is leased, and enough wait for one
    │   └── ShuttingDown            the server drains
    └── EngineError               ours to heal
        ├── EngineStartFailed       missing files, port taken, exited while loading
        ├── EngineExited            the process died in mid-call
        ├── EngineStalled           no sign of life within the watchdog's limit
        ├── EngineMute              it lives, and gives no answer or no sound
        └── EngineRefused           an HTTP answer the contract does not allow for this request

Anything else that escapes is a bug. Messages say what happened, why, and what to do; they never hold
audio, text or keys.
"""

import copy
from typing import TypeVar

__all__ = [
    "CapacityError",
    "ClientError",
    "ClientStalled",
    "EngineBusy",
    "EngineError",
    "EngineExited",
    "EngineMute",
    "EngineNotReady",
    "EngineRefused",
    "EngineStalled",
    "EngineStartFailed",
    "InvalidAudio",
    "InvalidEvent",
    "MessageTooBig",
    "NoSession",
    "NotAuthorised",
    "OmniDuplexError",
    "OriginRefused",
    "Overloaded",
    "QueueFull",
    "ShuttingDown",
    "TooManyRequests",
    "anew",
]

_E = TypeVar("_E", bound=Exception)


class OmniDuplexError(Exception):
    """Root of everything this project raises on purpose."""


class ClientError(OmniDuplexError):
    """The peer's fault. `code` and `param` are OpenAI's words for the `error` event."""

    def __init__(self, message: str, *, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class InvalidAudio(ClientError):
    """Audio that cannot be read as the format the session agreed on."""


class InvalidEvent(ClientError):
    """An event that cannot be understood or does not apply now."""


class MessageTooBig(ClientError):
    """One message over the limit."""


class NoSession(ClientError):
    """The request belongs to a session, and there is none."""


class NotAuthorised(ClientError):
    """No key, or a wrong one."""


class OriginRefused(ClientError):
    """The `Origin` header names a page that may not connect."""


class ClientStalled(ClientError):
    """The peer stopped reading for longer than the send deadline."""


class CapacityError(OmniDuplexError):
    """Nothing is wrong with the request: try again later, if that is known after `retry_after_s`."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineBusy(CapacityError):
    """Every engine is leased."""


class TooManyRequests(CapacityError):
    """One address or one key asks for more than its share. `code` is OpenAI's word."""

    code = "rate_limit_exceeded"


class EngineNotReady(CapacityError):
    """The engine is still loading, or restarting."""


class Overloaded(CapacityError):
    """The server is late already: one more call would disturb those that run."""


class QueueFull(CapacityError):
    """Every engine is leased, and as many wait for one as may."""


class ShuttingDown(CapacityError):
    """The server drains and takes no new session."""


class EngineError(OmniDuplexError):
    """The engine's fault."""


class EngineStartFailed(EngineError):
    """The engine could not be brought up."""


class EngineExited(EngineError):
    """The engine process died."""


class EngineStalled(EngineError):
    """The engine gives no sign of life."""


class EngineMute(EngineError):
    """The engine works on, and what it was asked gets no answer, or one without sound."""


class EngineRefused(EngineError):
    """The engine answered with a status this request does not allow."""


def anew(failure: _E) -> _E:
    """The same failure, to be kept and raised more than once: what is raised keeps the frames through which it goes,
    and with them whole conversations. A bug, which is none of these errors, leads back to where it came from."""
    again = copy.copy(failure)
    if not isinstance(failure, OmniDuplexError):
        again.__cause__ = failure
    return again
