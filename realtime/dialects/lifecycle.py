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
    rate_hz: int
    metadata: Mapping[str, str]
    transcript: list[str] = field(default_factory=list)

    def open(self) -> Iterator[Event]:
        """The events before the first piece of content."""
        yield {"type": "response.created", "response": self._response("in_progress", None, [])}
        item = self._item("in_progress", with_content=False)
        yield {
            "type": "response.output_item.added",
            "response_id": self.response_id,
            "output_index": 0,
            "item": item,
        }
        yield self._conversation_item("added", item)
        yield {"type": "response.content_part.added", **self._content_place(), "part": self._part("")}

    def text(self, delta: str) -> Event:
        """A piece of the transcript."""
        self.transcript.append(delta)
        return {"type": "response.output_audio_transcript.delta", **self._content_place(), "delta": delta}

    def audio(self, base64_pcm: str) -> Event:
        """A piece of the sound."""
        return {"type": "response.output_audio.delta", **self._content_place(), "delta": base64_pcm}

    def close(
        self, cut: BreakReason | None, latency_ms: Mapping[str, int], heard_text: str | None = None
    ) -> Iterator[Event]:
        """The closing sequence: the same whether the response was completed (`cut` is None) or cut.

        `heard_text` takes the place of all that was sent: what nobody heard was not said.
        """
        if heard_text is not None:
            self.transcript = [heard_text]
        text = "".join(self.transcript)
        item = self._item("completed" if cut is None else "incomplete", with_content=True)
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
        status = "completed" if cut is None else "cancelled"
        details = None if cut is None else {"type": "cancelled", "reason": str(cut)}
        if latency_ms:
            latency = json.dumps(dict(latency_ms), separators=(",", ":"))
            self.metadata = {**self.metadata, "omni_duplex.latency": latency}
        yield {"type": "response.done", "response": self._response(status, details, [item])}

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
            "audio": {"output": {"format": {"type": "audio/pcm", "rate": self.rate_hz}, "voice": self.voice}},
            "usage": None if status == "in_progress" else _NO_USAGE,
            "metadata": dict(self.metadata) or None,
        }

    def _item(self, status: str, *, with_content: bool) -> Event:
        content = [{"type": "output_audio", "transcript": "".join(self.transcript)}] if with_content else []
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def _conversation_item(self, what: str, item: Event) -> Event:
        return {"type": f"conversation.item.{what}", "previous_item_id": self.previous_item_id, "item": item}

    def _content_place(self) -> Event:
        return {"response_id": self.response_id, "item_id": self.item_id, "output_index": 0, "content_index": 0}

    @staticmethod
    def _part(transcript: str) -> Event:
        return {"type": "audio", "transcript": transcript}
