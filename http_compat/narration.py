"""Which chunk of an answer comes next, and which of its words go with it.

The engine says a group of words, then makes the sound of it in windows that keep to no border of words. So the next
words that nobody has heard yet go with the next piece of sound, in order, and what is left at the end goes alone.
"""

from collections import deque

__all__ = ["Narration"]


class Narration:
    """Numbers and words of one answer in simplex, of a whole session in duplex."""

    def __init__(self) -> None:
        self._words: deque[str] = deque()
        self.chunks = 0
        """How many chunks were numbered so far."""

    def say(self, text: str) -> None:
        """Words whose sound is still to come."""
        self._words.append(text)

    def number(self) -> int:
        """The number of the next chunk, from 0."""
        self.chunks += 1
        return self.chunks - 1

    def words(self) -> str:
        """The words for the next piece of sound; empty when all were given."""
        return self._words.popleft() if self._words else ""

    def rest(self) -> str:
        """All words that no sound was found for."""
        text = "".join(self._words)
        self._words.clear()
        return text
