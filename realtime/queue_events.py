"""What a client that waits for an engine is told, dialect by dialect, and which of its words are kept meanwhile.

Clients whose protocol knows no queue are told nothing: they take an open and silent socket for a slow server.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from duplex.engine.queue import Place
from realtime.dialects.base import Frame
from realtime.options import ConnectionOptions, Protocol

__all__ = ["QueueEvents", "is_sound"]

_SOUND = re.compile(r'"type"\s*:\s*"(?:input_audio_buffer|session\.input_audio)\.append"')
"""Inside a JSON string the quotes would be escaped, so nothing but such an event contains it."""


def is_sound(frame: Frame) -> bool:
    """Whether a client's frame is microphone sound. It is searched and not parsed: it may have megabytes."""
    return isinstance(frame, bytes) or _SOUND.search(frame) is not None


class QueueEvents:
    """The events of one connection. They have no number of the session, which does not exist yet."""

    def __init__(self, protocol: Protocol, options: ConnectionOptions, ticket: str) -> None:
        self._is_demo = protocol is Protocol.MINICPMO
        openai = protocol in {Protocol.OPENAI, Protocol.OPENAI_BETA}
        self._is_silent = not (self._is_demo or (openai and (options.extensions or options.binary)))
        self._ticket = ticket
        self._sent = 0

    def queued(self, place: Place) -> list[Frame]:
        """It waits from now on."""
        return self._event("session.queued", self._shown(place))

    def update(self, place: Place) -> list[Frame]:
        """It still waits."""
        return self._event("session.queue_update", self._shown(place))

    def done(self) -> list[Frame]:
        """An engine is its own. The demo's clients are told so in any case, by their dialect's greeting."""
        return [] if self._is_demo or not self._sent else self._event("session.queue_done", {"ticket": self._ticket})

    def _shown(self, place: Place) -> dict[str, Any]:
        wait_s = None if place.estimated_wait_s is None else round(place.estimated_wait_s, 1)
        shown: dict[str, Any] = {"position": place.position, "estimated_wait_s": wait_s}
        if self._is_demo:
            return {**shown, "ticket_id": self._ticket, "queue_length": place.length}
        return {**shown, "ticket": self._ticket}

    def _event(self, kind: str, fields: Mapping[str, Any]) -> list[Frame]:
        if self._is_silent:
            return []
        self._sent += 1
        event = {"type": kind, **fields}
        if not self._is_demo:
            event["event_id"] = f"event_{self._ticket}_{self._sent}"
        return [json.dumps(event, separators=(",", ":"))]
