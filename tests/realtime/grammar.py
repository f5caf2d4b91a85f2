"""Client events as nobody should send them: whole ones, with fields missing, of another type, or out of range."""

import copy
import json
from typing import Any

from hypothesis import strategies as st

__all__ = ["frames", "paths"]

_STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.just([]),
    st.just({}),
    st.sampled_from(["A", "====", "AAA=", "AAAAAAA=", "\ud800", "a" * 400]),
)


def paths(event: object, here: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key of the event and of the objects in it."""
    if not isinstance(event, dict):
        return []
    return [path for key, value in event.items() for path in ((*here, key), *paths(value, (*here, key)))]


@st.composite
def _mangled(draw: st.DrawFn, events: list[dict[str, Any]]) -> str:
    event = copy.deepcopy(draw(st.sampled_from(events)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        known = paths(event)
        if not known:
            break
        *parents, key = draw(st.sampled_from(known))
        place = event
        for parent in parents:
            place = place[parent]
        if draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(_STRANGE)
    return json.dumps(event)


def frames(events: list[dict[str, Any]]) -> st.SearchStrategy[str | bytes]:
    """Mostly events that are nearly right; some that are no events at all."""
    return st.one_of(
        _mangled(events),
        _mangled(events),
        _mangled(events),
        st.sampled_from(["", "{", "[]", "null", "7", '{"type":1}', '{"type":"make.coffee"}', "[" * 2000]),
        st.binary(max_size=4),
    )
