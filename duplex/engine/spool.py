"""What the names in a spool directory mean: which WAV is next, whether it is whole, whether the turn is done.

The engine has one writer. It closes WAV k before it opens WAV k+1 or the flag, so a later file proves that an earlier
one is complete, and it counts upwards, except after some breaks, when it starts at 0 again. Every WAV is unlinked once
it is read, so whatever exists is new.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["DONE_FLAG", "NextWav", "Spool", "parse_flag", "token_group_number", "wav_name", "wav_number"]

DONE_FLAG = "generation_done.flag"

_WAV = re.compile(r"wav_(\d+)\.wav")
_TOKEN_GROUP = re.compile(r"audio_tokens_chunk_(\d+)\.bin")
_FLAG = re.compile(rb"\s*(\d+)\s*\n")


def wav_name(number: int) -> str:
    """What the engine calls its WAV of this number."""
    return f"wav_{number}.wav"


def wav_number(name: str) -> int | None:
    """The number in the name of a WAV, None for any other file."""
    match = _WAV.fullmatch(name)
    return int(match[1]) if match else None


def token_group_number(name: str) -> int | None:
    """The number in the name of a file of audio tokens (int32 each), None for any other file."""
    match = _TOKEN_GROUP.fullmatch(name)
    return int(match[1]) if match else None


def parse_flag(content: bytes) -> int | None:
    """The number of the turn's last WAV, or None while the flag is still being written."""
    match = _FLAG.fullmatch(content)
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class NextWav:
    """The file to read now."""

    name: str
    number: int
    closed: bool
    """The engine has finished it for certain: what is there is all there will be."""


class Spool:
    """The reading position in one directory. Asked with a listing each time; keeps no file."""

    def __init__(self, *, first: int = 0) -> None:
        """`first` is the number the engine is due to begin with: 1000 times the round in simplex, 0 in duplex."""
        self._first = first
        self._expected = first
        self._is_counting = True

    @property
    def expected(self) -> int:
        """The number that follows the last one read."""
        return self._expected

    def has_gap(self, names: Collection[str]) -> bool:
        """Whether the next number is missing though others are there.

        A listing is not a snapshot: a file made during it may be missed while a later one is seen. Only a gap that
        a second listing confirms is one.
        """
        if wav_name(self._expected) in names:
            return False
        return bool(_numbers(names))

    def next_wav(self, names: Collection[str], *, flag: int | None = None) -> NextWav | None:
        """The next file in the engine's order, None when there is none. `flag` is the done flag's number."""
        if len(names) == 1 and wav_name(self._expected) in names:
            # The usual case, and on the way of every piece of sound.
            return NextWav(wav_name(self._expected), self._expected, closed=flag is not None and flag >= self._expected)
        numbers = _numbers(names)
        number = min(numbers, key=self._order, default=None)
        if number is None:
            return None
        later = any(self._order(other) > self._order(number) for other in numbers)
        return NextWav(wav_name(number), number, closed=later or (flag is not None and flag >= number))

    def consume(self, number: int) -> None:
        """Step over `number`. One below the expected one shows that the engine counts from 0 again."""
        if number < self._expected:
            self._first = 0
        self._expected = number + 1
        self._is_counting = True

    def restart(self) -> None:
        """The engine is known to count from 0 again, before any file shows it."""
        self._first = self._expected = 0

    def forget_older(self) -> None:
        """Nothing older can come any more. The engine counts on or at 0 again, and the lowest number there tells."""
        self._is_counting = False

    def is_done(self, flag: int, names: Collection[str]) -> bool:
        """Whether the turn whose last WAV is `flag` has been read to its end.

        A flag that names a file never seen here is not believed: it may be left over from before, and a turn without
        any audio writes 0 whatever its round.
        """
        if not self._first <= flag < self._expected:
            return False
        waiting = self.next_wav(names)
        return waiting is None or self._order(waiting.number) > self._order(flag) or waiting.number > flag

    def _order(self, number: int) -> tuple[bool, int]:
        # Behind the end of an old count, numbers below the expected one can only be a new one.
        return (self._is_counting and number < self._expected, number)


def _numbers(names: Collection[str]) -> set[int]:
    return {number for name in names if (number := wav_number(name)) is not None}
