"""What clients ask of the conversation's items, and what is answered, in order with everything else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, assert_never

from duplex.errors import InvalidEvent
from duplex.messages import Aside
from realtime.dialects.conversation_items import MOST_ITEMS, ConversationItems
from realtime.dialects.lifecycle import Event
from realtime.events import CreateItemEvent, DeleteItemEvent, RetrieveItemEvent, TruncateItemEvent
from realtime.items import AnyItem, speaks_only_text, stored

__all__ = ["ItemEvents", "error_event"]

ItemRequest = CreateItemEvent | RetrieveItemEvent | TruncateItemEvent | DeleteItemEvent


@dataclass(frozen=True, slots=True)
class _Asked:
    event: ItemRequest
    event_id: str | None
    item: dict[str, Any] | None = None


class ItemEvents:
    """Items are only changed when the answer leaves: the order on the wire is the order of the conversation."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self.items = ConversationItems()
        self._unheard: set[str] = set()

    @property
    def awaits_text(self) -> bool:
        """Is there written input since the last that the engine could hear?"""
        return bool(self._unheard)

    def heard(self) -> None:
        """The next answer has something to answer that the engine has heard or seen."""
        self._unheard.clear()

    def ask(self, event: ItemRequest, event_id: str | None) -> Aside:
        """Take a request. Raises `InvalidEvent` for an id that is taken."""
        if isinstance(event, DeleteItemEvent):
            self._unheard.discard(event.item_id)
        item = self._new(event.item) if isinstance(event, CreateItemEvent) else None
        return Aside(_Asked(event, event_id, item))

    def answer(self, content: object) -> Iterator[Event]:
        """What is said to a request of `ask`, whose place among the messages has come."""
        assert isinstance(content, _Asked)
        try:
            yield from self._granted(content)
        except InvalidEvent as error:
            yield error_event(error.code, str(error), error.param, content.event_id)

    def put_user_audio(self, item_id: str) -> Iterator[Event]:
        """What the user has said becomes an item."""
        self.heard()
        item = {
            "id": item_id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        yield {"type": "input_audio_buffer.committed", "previous_item_id": self.items.last_id, "item_id": item_id}
        yield from _added(item, self.items.put(item))

    def _new(self, item: AnyItem) -> dict[str, Any]:
        item_id = item.id or self._new_id()
        self.items.check_new(item_id)
        if speaks_only_text(item) and len(self._unheard) < MOST_ITEMS:
            self._unheard.add(item_id)
        return stored(item, item_id)

    def _granted(self, asked: _Asked) -> Iterator[Event]:
        match asked.event:
            case CreateItemEvent(previous_item_id=after):
                assert asked.item is not None
                yield from _added(asked.item, self.items.put(asked.item, after))
            case RetrieveItemEvent(item_id=item_id):
                yield {"type": "conversation.item.retrieved", "item": self.items.get(item_id)}
            case TruncateItemEvent(item_id=item_id, content_index=index, audio_end_ms=audio_end_ms):
                heard_ms = self.items.truncate(item_id, audio_end_ms)
                place = {"item_id": item_id, "content_index": index, "audio_end_ms": heard_ms}
                yield {"type": "conversation.item.truncated", **place}
            case DeleteItemEvent(item_id=item_id):
                self.items.delete(item_id)
                yield {"type": "conversation.item.deleted", "item_id": item_id}
            case _:
                assert_never(asked.event)


def _added(item: dict[str, Any], previous: str | None) -> Iterator[Event]:
    yield {"type": "conversation.item.added", "previous_item_id": previous, "item": item}
    yield {"type": "conversation.item.done", "previous_item_id": previous, "item": item}


def error_event(code: str, message: str, param: str | None, event_id: str | None) -> Event:
    """`event_id` is the client's, of the event that was refused."""
    error = {"type": "invalid_request_error", "code": code, "message": message, "param": param, "event_id": event_id}
    return {"type": "error", "error": error}
