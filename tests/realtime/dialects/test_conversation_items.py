"""The order of the items, what is kept of each, and how much."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from duplex.errors import InvalidEvent
from realtime.dialects.conversation_items import ConversationItems, Heard


def item(item_id: str, role: str = "user", transcript: str | None = None) -> dict[str, Any]:
    content = [] if transcript is None else [{"type": "output_audio", "transcript": transcript}]
    return {"id": item_id, "type": "message", "role": role, "status": "completed", "content": content}


WORDS = "one two three four five six seven eight"


def answered(items: ConversationItems, *, complete: bool = True) -> None:
    items.put(item("a", "assistant"))
    items.finish(item("a", "assistant", WORDS), Heard(WORDS, 4.0, complete=complete))


def test_places() -> None:
    items = ConversationItems()
    assert items.put(item("b")) is None
    assert items.put(item("d")) == "b"
    assert items.put(item("c"), "b") == "b"
    assert items.put(item("a"), "root") is None
    assert items.put(item("e"), None) == "d"
    assert items.last_id == "e"
    items.delete("e")
    assert items.last_id == "d"


@pytest.mark.parametrize(
    ("ask", "code", "param"),
    [
        (lambda items: items.put(item("a")), "item_create_duplicate_item_id", "item.id"),
        (lambda items: items.put(item("b"), "z"), "item_create_invalid_previous_item_id", "previous_item_id"),
        (lambda items: items.get("z"), "item_retrieve_invalid_item_id", "item_id"),
        (lambda items: items.delete("z"), "item_delete_invalid_item_id", "item_id"),
    ],
)
def test_what_is_not_there(ask: Any, code: str, param: str) -> None:
    items = ConversationItems()
    items.put(item("a"))
    with pytest.raises(InvalidEvent) as refused:
        ask(items)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert items.last_id == "a"


def transcript(items: ConversationItems) -> str:
    text: str = items.get("a")["content"][0]["transcript"]
    return text


def test_an_answer_is_cut_to_what_was_heard() -> None:
    items = ConversationItems()
    answered(items)
    assert items.truncate("a", 2000) == 2000
    assert 0 < len(transcript(items)) < len(WORDS)
    assert WORDS.startswith(transcript(items))
    assert items.truncate("a", 0) == 0
    assert transcript(items) == ""


def test_more_than_was_said_is_clamped() -> None:
    items = ConversationItems()
    answered(items)
    assert items.truncate("a", 9_999_999) == 4000
    assert transcript(items) == WORDS


def test_a_cut_of_an_answer_under_way_counts_when_it_is_over() -> None:
    items = ConversationItems()
    items.put(item("a", "assistant"))
    assert items.truncate("a", 1000) == 1000
    kept = items.finish(item("a", "assistant", WORDS), Heard(WORDS, 4.0, complete=True))
    assert kept == items.get("a")
    assert 0 < len(transcript(items)) < len(WORDS)


def test_what_was_not_said_is_not_cut() -> None:
    items = ConversationItems()
    items.put(item("u"))
    assert items.truncate("u", 10) == 10
    assert items.truncate("nobody's", 10) == 10


def test_an_item_deleted_under_way_stays_deleted() -> None:
    items = ConversationItems()
    items.put(item("a", "assistant"))
    items.delete("a")
    items.finish(item("a", "assistant", WORDS), Heard(WORDS, 4.0, complete=True))
    with pytest.raises(InvalidEvent):
        items.get("a")


def test_the_oldest_are_forgotten_by_number_and_by_size() -> None:
    few, small = ConversationItems(most=2), ConversationItems(largest_bytes=400)
    for name in "abc":
        few.put(item(name))
        small.put({**item(name), "name": "x" * 150})
    for items in (few, small):
        with pytest.raises(InvalidEvent):
            items.get("a")
        assert items.get("c")["id"] == "c"
    small.put({**item("d"), "name": "x" * 1000})
    assert small.get("d")["id"] == "d", "the newest stays, whatever its size"


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.booleans())
def test_less_heard_is_fewer_words(first: int, second: int, complete: bool) -> None:
    heard = Heard(WORDS, 4.0, complete=complete)
    shorter, longer = sorted((first, second))
    assert heard.until(longer).startswith(heard.until(shorter))


class Model(RuleBasedStateMachine):
    """A plain list is the truth."""

    LIMIT = 6

    @initialize()
    def begin(self) -> None:
        self.items = ConversationItems(most=self.LIMIT)
        self.truth: list[str] = []
        self.made = 0

    @rule(place=st.integers(-1, LIMIT))
    def put(self, place: int) -> None:
        self.made += 1
        name = f"i{self.made}"
        at = 0 if place < 0 else min(place, len(self.truth))
        after = None if at == len(self.truth) else (self.truth[at - 1] if at else "root")
        assert self.items.put(item(name), after) == (self.truth[at - 1] if at else None)
        self.truth.insert(at, name)
        if len(self.truth) > self.LIMIT:
            self.truth.remove(next(known for known in self.truth if known != name))

    @rule(number=st.integers(0, LIMIT))
    def delete(self, number: int) -> None:
        if number < len(self.truth):
            self.items.delete(self.truth.pop(number))

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "items"):
            return
        assert self.items.last_id == (self.truth[-1] if self.truth else None)
        assert [self.items.get(name)["id"] for name in self.truth] == self.truth


TestItemsAsAModel = Model.TestCase
