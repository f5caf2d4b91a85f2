"""The items of one conversation: their order, and what is kept of each."""

import json
from dataclasses import dataclass
from typing import Any

from duplex.errors import InvalidEvent
from duplex.heard_text import heard_part

__all__ = ["LARGEST_ITEMS_BYTES", "MOST_ITEMS", "ConversationItems", "Heard"]

MOST_ITEMS = 1000
LARGEST_ITEMS_BYTES = 4 * 1024 * 1024
"""Of the items' JSON, all together."""

ROOT = "root"


@dataclass(frozen=True, slots=True)
class Heard:
    """What was said in an item of the assistant, so that it can be cut to what was heard."""

    text: str
    audio_s: float
    complete: bool
    """Is `audio_s` all of the text's sound?"""

    def until(self, audio_end_ms: int) -> str:
        """The words of the first so many milliseconds."""
        return heard_part(self.text, audio_end_ms / 1000, self.audio_s, complete=self.complete)


@dataclass(slots=True)
class _Kept:
    item: dict[str, Any]
    size: int
    said: Heard | None = None
    truncated_ms: int | None = None


class ConversationItems:
    """Beyond its bounds the oldest items are forgotten, as the model forgets them."""

    def __init__(self, most: int = MOST_ITEMS, largest_bytes: int = LARGEST_ITEMS_BYTES) -> None:
        self._most = most
        self._largest_bytes = largest_bytes
        self._kept: dict[str, _Kept] = {}
        self._order: list[str] = []
        self._bytes = 0

    @property
    def last_id(self) -> str | None:
        """The item that the next one follows."""
        return self._order[-1] if self._order else None

    def put(self, item: dict[str, Any], after: str | None = None) -> str | None:
        """Add an item with an `id`, behind `after`: the last one without it, the first place for "root".

        Returns the id of the item before it. Raises `InvalidEvent` for a place or an id that cannot be.
        """
        item_id: str = item["id"]
        self.check_new(item_id)
        at = self._place(after)
        previous = self._order[at - 1] if at else None
        self._order.insert(at, item_id)
        self._kept[item_id] = _Kept(item, _size(item))
        self._bytes += self._kept[item_id].size
        self._bound(item_id)
        return previous

    def check_new(self, item_id: str) -> None:
        """Raises `InvalidEvent` for an id that is taken."""
        if item_id in self._kept:
            raise InvalidEvent(
                f"Error adding item: an item with id '{item_id}' already exists.",
                code="item_create_duplicate_item_id",
                param="item.id",
            )

    def finish(self, item: dict[str, Any], said: Heard) -> dict[str, Any]:
        """The assistant's item is over. Returns it as it is kept, which is shorter when it was truncated meanwhile."""
        kept = self._kept.get(item["id"])
        if kept is None:
            return item
        kept.item, kept.said = item, said
        if kept.truncated_ms is not None:
            kept.item = _saying(item, said.until(kept.truncated_ms))
        self._bytes -= kept.size
        kept.size = _size(item)
        self._bytes += kept.size
        return kept.item

    def get(self, item_id: str) -> dict[str, Any]:
        """Raises `InvalidEvent` for an item that is not here."""
        return self._find(item_id, "retriev").item

    def delete(self, item_id: str) -> None:
        """Raises `InvalidEvent` for an item that is not here."""
        self._find(item_id, "delet")
        self._forget(item_id)

    def truncate(self, item_id: str, audio_end_ms: int) -> int:
        """Cut an answer to its first so many milliseconds; returns how many it has, at most so many.

        What is not here, or was not said, is left as it is: clients truncate whenever they fall silent.
        """
        kept = self._kept.get(item_id)
        if kept is None or kept.item.get("role") != "assistant":
            return audio_end_ms
        if kept.said is None:
            kept.truncated_ms = audio_end_ms
            return audio_end_ms
        clamped = min(audio_end_ms, int(kept.said.audio_s * 1000))
        kept.item = _saying(kept.item, kept.said.until(clamped))
        return clamped

    def _place(self, after: str | None) -> int:
        if after is None or after == self.last_id:
            return len(self._order)
        if after == ROOT:
            return 0
        if after not in self._kept:
            raise InvalidEvent(
                f"Error adding item: the previous item with id '{after}' does not exist.",
                code="item_create_invalid_previous_item_id",
                param="previous_item_id",
            )
        return self._order.index(after) + 1

    def _find(self, item_id: str, verb: str) -> _Kept:
        if item_id not in self._kept:
            raise InvalidEvent(
                f"Error {verb}ing item: the item with id '{item_id}' does not exist.",
                code="item_retrieve_invalid_item_id" if verb == "retriev" else "item_delete_invalid_item_id",
                param="item_id",
            )
        return self._kept[item_id]

    def _bound(self, newest: str) -> None:
        while len(self._order) > self._most or self._bytes > self._largest_bytes:
            oldest = next((item_id for item_id in self._order if item_id != newest), None)
            if oldest is None:
                return
            self._forget(oldest)

    def _forget(self, item_id: str) -> None:
        self._bytes -= self._kept.pop(item_id).size
        self._order.remove(item_id)


def _size(item: dict[str, Any]) -> int:
    return len(json.dumps(item))


def _saying(item: dict[str, Any], transcript: str) -> dict[str, Any]:
    content = [{**part, "transcript": transcript} if "transcript" in part else part for part in item["content"]]
    return {**item, "content": content}
