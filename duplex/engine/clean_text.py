"""Whole characters from fragments that cut them.

The engine sends a fragment for every ten tokens, and a token can end inside a character: its bytes then arrive as
U+FFFD at the end of one fragment and the start of the next. Beside that it writes each group's text to a file, where
the cut character stands whole at the head of the later group. So a fragment's broken end is dropped, and a broken head
waits for its group.
"""

import re
from collections import deque
from collections.abc import Sequence

__all__ = ["FragmentMender", "GroupText"]

_CUT = "\ufffd"
_SPACES = re.compile(r" {2,}")

GroupText = tuple[int, str]
"""The number of a group, rising, and its text as the engine wrote it."""


class FragmentMender:
    """Fragments in, text of whole characters out, in order."""

    def __init__(self) -> None:
        self._held: deque[str] = deque()
        self._last_group = -1

    @property
    def is_waiting(self) -> bool:
        """Whether text is held back for a group's file."""
        return bool(self._held)

    def push(self, fragment: str) -> str:
        """The text that can go out now; empty while something before it is held back."""
        if not self._held and not fragment.startswith(_CUT):
            return fragment.rstrip(_CUT)
        self._held.append(fragment)
        return ""

    def mend(self, groups: Sequence[GroupText]) -> str:
        """The text that `groups`, all that are known so far, release."""
        text = []
        while self._held:
            head = self._held[0]
            mended = self._mended_head(head, groups) if head.startswith(_CUT) else ""
            if mended is None:
                break
            self._held.popleft()
            text.append(mended + head.strip(_CUT))
        return "".join(text)

    def flush(self) -> str:
        """All that is held back, without the characters that could not be mended."""
        text = "".join(fragment.strip(_CUT) for fragment in self._held)
        self._held.clear()
        return text

    def restart(self) -> None:
        """Group numbers begin anew."""
        self._last_group = -1

    def _mended_head(self, fragment: str, groups: Sequence[GroupText]) -> str | None:
        rest = _SPACES.sub(" ", fragment.strip(_CUT)).rstrip(" ")
        for number, text in groups:
            if number <= self._last_group:
                continue
            # The engine trims and collapses spaces in some modes, so both sides are compared that way.
            plain = _SPACES.sub(" ", text).rstrip(" ")
            # Only a character of several bytes can be cut.
            is_mended = not plain[:1].isascii() and not plain.startswith(_CUT)
            if is_mended and len(plain) == len(rest) + 1 and plain.endswith(rest):
                self._last_group = number
                return plain[0]
        return None
