"""The rules every server event keeps, whatever the client and the engine do."""

from typing import Any

__all__ = ["BETA_ONLY", "GA_ONLY", "Rules"]

GA_ONLY = {
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.delta",
    "response.output_audio_transcript.done",
    "conversation.item.added",
    "conversation.item.done",
    "input_audio_buffer.timeout_triggered",
}
BETA_ONLY = {
    "response.audio.delta",
    "response.audio.done",
    "response.audio_transcript.delta",
    "response.audio_transcript.done",
    "conversation.item.created",
}

_CLOSING = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
]
_OPENING = ["response.created", "response.output_item.added", "conversation.item.added", "response.content_part.added"]
_GA = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "conversation.item.created": "conversation.item.added",
}


class Rules:
    """Judges one connection, event by event."""

    def __init__(self, *, beta: bool) -> None:
        self._closing = [kind for kind in _CLOSING if not beta or kind != "conversation.item.done"]
        self._foreign = GA_ONLY if beta else BETA_ONLY
        self._beta = beta
        self._ids: set[str] = set()
        self._items: set[str] = set()
        self._closed: set[str] = set()
        self._response: str | None = None
        self._due: list[str] = []
        self._spoken: str | None = None
        self.errors = 0
        self.responses = 0

    def in_older_words(self) -> "Rules":
        """The connection goes on in the names of the beta, which it may as long as nothing has happened."""
        assert not self._items
        assert not self.responses
        rules = Rules(beta=True)
        rules._ids, rules._spoken, rules.errors = self._ids, self._spoken, self.errors
        return rules

    def judge(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        assert event["event_id"] not in self._ids
        self._ids.add(event["event_id"])
        assert kind not in self._foreign, kind
        name = _GA.get(kind, kind)
        if self._due:
            # What opens, closes or commits comes in one piece.
            assert name == self._due.pop(0), (name, self._due)
        elif name == "response.created":
            self._due = _OPENING[1:]
        elif name == self._closing[0]:
            self._due = self._closing[1:]
        elif name == "input_audio_buffer.committed":
            self._due = ["conversation.item.added", "conversation.item.done"][: 1 if self._beta else 2]
        self._in_response(name, event)
        getattr(self, "_" + name.replace(".", "_"), self._ignore)(event)

    def _ignore(self, event: dict[str, Any]) -> None:
        pass

    def _in_response(self, name: str, event: dict[str, Any]) -> None:
        if name.startswith("response.") and name not in {"response.created", "response.done", "response.listen"}:
            assert event["response_id"] == self._response, "outside of its response"

    def _error(self, event: dict[str, Any]) -> None:
        self.errors += 1
        assert event["error"]["code"]
        assert event["error"]["message"]

    def _response_created(self, event: dict[str, Any]) -> None:
        assert self._response is None, "two at once"
        self._response = event["response"]["id"]
        assert self._response not in self._closed
        assert event["response"]["status"] == "in_progress"
        self.responses += 1

    def _response_done(self, event: dict[str, Any]) -> None:
        response = event["response"]
        assert response["id"] == self._response, "done twice, or never begun"
        self._closed.add(response["id"])
        self._response = None
        item_status = {"completed": "completed", "cancelled": "incomplete", "failed": "incomplete"}[response["status"]]
        assert [item["status"] for item in response["output"]] == [item_status]
        assert (response["status_details"] is None) == (response["status"] == "completed")
        assert response["usage"]

    def _conversation_item_added(self, event: dict[str, Any]) -> None:
        item_id, previous = event["item"]["id"], event["previous_item_id"]
        assert item_id not in self._items
        assert previous is None or previous in self._items, "behind an item nobody has heard of"
        self._items.add(item_id)

    def _conversation_item_deleted(self, event: dict[str, Any]) -> None:
        self._items.remove(event["item_id"])

    def _conversation_item_retrieved(self, event: dict[str, Any]) -> None:
        assert event["item"]["id"] in self._items

    def _input_audio_buffer_speech_started(self, event: dict[str, Any]) -> None:
        assert event["audio_start_ms"] >= 0
        self._spoken = event["item_id"]

    def _input_audio_buffer_speech_stopped(self, event: dict[str, Any]) -> None:
        assert event["item_id"] == self._spoken

    def _input_audio_buffer_committed(self, event: dict[str, Any]) -> None:
        assert event["item_id"] not in self._items
