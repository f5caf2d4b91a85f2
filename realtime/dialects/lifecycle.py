"""The life of one response as OpenAI's clients expect it: which events open it, which close it, in which order."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from duplex.messages import BreakReason

__all__ = ["Event", "ResponseLife"]

Event = dict[str, Any]
"""One server event without its `event_id`."""

_NO_USAGE = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 0, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 0, "audio_tokens": 0},
}
"""The engine counts nothing; clients index into it all the same."""


@dataclass(slots=True)
class ResponseLife:
    """One response from `response.created` to its one `response.done`."""

    response_id: str
    item_id: str
    previous_item_id: str | None
    conversation_id: str
    voice: str
    audio_format: Event
    metadata: Mapping[str, str]
    transcript: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All that was sent of the transcript."""
        return "".join(self.transcript)

    def open(self) -> Iterator[Event]:
        """The events before the first piece of content."""
        yield {"type": "response.created", "response": self._response("in_progress", None, [])}
        item = self.item("in_progress")
        yield {
            "type": "response.output_item.added",
            "response_id": self.response_id,
            "output_index": 0,
            "item": item,
        }
        yield self._conversation_item("added", item)
        yield {"type": "response.content_part.added", **self._content_place(), "part": self._part("")}

    def say(self, delta: str) -> Event:
        """A piece of the transcript."""
        self.transcript.append(delta)
        return {"type": "response.output_audio_transcript.delta", **self._content_place(), "delta": delta}

    def sound(self) -> Event:
        """A piece of the sound, still without its `delta`."""
        return {"type": "response.output_audio.delta", **self._content_place()}

    def close(self, cut: BreakReason | None, latency_ms: Mapping[str, int], item: Event) -> Iterator[Event]:
        """The closing sequence: the same whether the response was completed (`cut` is None) or cut.

        `item` is what remains of it: what nobody heard was not said.
        """
        text = item["content"][0]["transcript"]
        yield {"type": "response.output_audio.done", **self._content_place()}
        yield {"type": "response.output_audio_transcript.done", **self._content_place(), "transcript": text}
        yield {"type": "response.content_part.done", **self._content_place(), "part": self._part(text)}
        yield {
            "type": "response.output_item.done",
            "response_id": self.response_id,
            "output_index": 0,
            "item": item,
        }
        yield self._conversation_item("done", item)
        status, details = _outcome(cut)
        if latency_ms:
            latency = json.dumps(dict(latency_ms), separators=(",", ":"))
            self.metadata = {**self.metadata, "omni_duplex.latency": latency}
        yield {"type": "response.done", "response": self._response(status, details, [item])}

    def item(self, status: str, transcript: str | None = None) -> Event:
        """The assistant's item; without content while there is no transcript."""
        content = [] if transcript is None else [{"type": "output_audio", "transcript": transcript}]
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def _response(self, status: str, details: Event | None, output: list[Event]) -> Event:
        return {
            "object": "realtime.response",
            "id": self.response_id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": self.conversation_id,
            "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "audio": {"output": {"format": self.audio_format, "voice": self.voice}},
            "usage": None if status == "in_progress" else _NO_USAGE,
            "metadata": dict(self.metadata) or None,
        }

    def _conversation_item(self, what: str, item: Event) -> Event:
        return {"type": f"conversation.item.{what}", "previous_item_id": self.previous_item_id, "item": item}

    def _content_place(self) -> Event:
        return {"response_id": self.response_id, "item_id": self.item_id, "output_index": 0, "content_index": 0}

    @staticmethod
    def _part(transcript: str) -> Event:
        return {"type": "audio", "transcript": transcript}


def _outcome(cut: BreakReason | None) -> tuple[str, Event | None]:
    """Status and details of a response that is over."""
    if cut is None:
        return "completed", None
    if cut is BreakReason.ENGINE_LOST:
        return "failed", {"type": "failed", "error": {"type": "server_error", "code": str(cut)}}
    return "cancelled", {"type": "cancelled", "reason": str(cut)}
