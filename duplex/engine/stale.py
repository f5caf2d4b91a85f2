"""How much of a broken answer still hides in the engine's vocoder, to the sample.

The vocoder renders audio tokens (40 ms each) in windows of 28, of which 25 are used up and 3 are looked ahead. What
does not fill a window waits in its buffer, and it holds back the last 160 ms of each window to blend them into the
next. A break empties the buffer only when the vocoder happens to be awake; then its file numbers begin at 0 again.
Otherwise the rest of the broken answer opens the next one, and this module says how many samples that is.

Whether and when a break emptied it shows in the number of the next file only, which may be one of the next answer and
after another break. Till then every possible case is followed, and what the worst of them leaves is cut.

Every sample the vocoder makes stands for a token, so the sum is exact: tokens given, less samples delivered. Checked
against the real vocoder: 3 + 26 + 26 tokens in three windows give 20160 + 24000 + 8640 samples, 55 tokens' worth.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

__all__ = ["HELD_SAMPLES", "TOKEN_SAMPLES", "HeadTrim", "VocoderLedger"]

TOKEN_SAMPLES = 960
"""Samples of one audio token at 24 kHz (40 ms)."""

WINDOW_TOKENS = 28
STEP_TOKENS = 25
LOOKAHEAD_TOKENS = WINDOW_TOKENS - STEP_TOKENS
GROUP_TOKENS = 26
"""What TTS hands over at once in duplex (omni.cpp 5494); fewer at the end of a turn."""
PREFIX_TOKENS = 3
"""Silent tokens the vocoder puts before each turn and after each reset."""

HELD_SAMPLES = 3840
"""What the vocoder holds back for blending: 8 spectral frames of 480 samples (160 ms)."""


@dataclass(frozen=True, slots=True)
class _Case:
    """What the vocoder may be like."""

    buffered: int = PREFIX_TOKENS
    """Tokens, silent prefix included. Below 0: so many were used that none counts yet."""
    is_silent: bool = True
    """Nothing but the prefix is in the buffer."""
    number: int = 0
    """Of the next file."""
    stale: int = 0
    """Tokens that come before all that is still to be heard."""
    breaks: int = 0
    """So many breaks it may not have met yet. It empties itself when it meets one, and may meet several at once."""
    may_owe: bool = False
    """Groups of this turn may have been counted for the one before, where they came before its flag."""

    @property
    def is_due(self) -> bool:
        return self.buffered >= WINDOW_TOKENS

    def after_wav(self) -> "_Case":
        """When a window was rendered. One of too few tokens is the last of a turn, after which the buffer is as new, or
        had a group in it that is not counted here."""
        buffered = self.buffered - STEP_TOKENS
        if not self.is_due:
            buffered = buffered + GROUP_TOKENS if self.may_owe else LOOKAHEAD_TOKENS
        return replace(self, buffered=buffered, is_silent=False, number=self.number + 1)


class VocoderLedger:
    """Tokens in, WAVs out."""

    def __init__(self) -> None:
        self._cases = {_Case()}
        self._since_break: list[int] = []
        self._held = self._stale_held = 0

    @property
    def is_due(self) -> bool:
        """Whether the vocoder may have enough to render one more WAV."""
        return any(case.is_due for case in self._cases)

    @property
    def stale_samples(self) -> int:
        """Of what had been given at the last `cut_here`, so much opens what is rendered after it, at most.

        The silent prefix alone is not stale: every answer begins with it.
        """
        return self._stale_held + max(case.stale for case in self._cases) * TOKEN_SAMPLES

    @property
    def counts_anew(self) -> bool:
        """Whether the next file has number 0 for certain."""
        return all(case.number == 0 for case in self._cases)

    def receive_tokens(self, tokens: int) -> None:
        """A group of `tokens` has been handed to the vocoder, which may have done more by now than its files tell."""
        if self._breaks:
            self._since_break.append(tokens)
        self._follow(
            lambda case: replace(case, buffered=case.buffered + tokens, is_silent=case.is_silent and tokens == 0)
        )

    def receive_wav(self, number: int) -> None:
        """The vocoder has rendered one window. What was looked ahead stays in the buffer."""
        numbered = {case for case in self._cases if case.number == number}
        rendered = {case for case in numbered if case.is_due} or numbered
        self._cases = rendered or {replace(case, number=number) for case in self._cases}
        self._held = HELD_SAMPLES
        self._follow(_Case.after_wav)

    def receive_early_wav(self) -> None:
        """The same in simplex, where TTS hands a group over in pieces while it makes the rest, so a window can be there
        before the file that counts its group: its tokens are owed until then. What a break does there to the buffer is
        of no account, because a new round empties it."""
        self._held = HELD_SAMPLES
        self._follow(lambda case: replace(case, buffered=case.buffered - STEP_TOKENS))

    def begin_break(self) -> None:
        """From here on the vocoder may drop all it has, once for each break, at any moment, and begin to count at 0."""
        if not self._breaks:
            self._since_break.clear()
        self._follow(lambda case: replace(case, breaks=case.breaks + 1))

    def end_break(self) -> None:
        """A decode is about to lower the engine's flag: nothing is dropped any more until the next break."""
        self._cases = {replace(case, breaks=0) for case in self._cases}

    def settle(self) -> None:
        """The vocoder is quiet: what it had to render was rendered or dropped."""
        self._since_break.clear()
        quiet = {replace(case, may_owe=False) for case in self._cases if not case.is_due}
        self._cases = quiet or {_Case(number=case.number) for case in self._cases}

    def end_turn(self) -> None:
        """The turn was flushed, or a new round began: the buffer is as new. What is held back stays."""
        self._since_break.clear()
        self._follow(lambda case: _Case(number=case.number, breaks=case.breaks, may_owe=True))

    def cut_here(self) -> None:
        """What was given until now is not to be heard any more."""
        self._stale_held = self._held
        self._follow(lambda case: replace(case, stale=0 if case.is_silent else max(0, case.buffered)))

    @property
    def _breaks(self) -> int:
        return max(case.breaks for case in self._cases)

    def _follow(self, happens: Callable[[_Case], _Case]) -> None:
        self._cases = {happens(case) for case in self._cases}
        for breaks in range(self._breaks):
            # Any of the last groups may have come after the drop, even if a file from before it is read only now.
            for first in range(len(self._since_break) + 1):
                kept = sum(self._since_break[first:])
                self._cases.add(_Case(PREFIX_TOKENS + kept, is_silent=kept == 0, breaks=breaks))


class HeadTrim:
    """Cuts the head of a stream of 16-bit pieces, whose length may become known better on the way."""

    def __init__(self) -> None:
        self._cut_samples = 0

    def start(self) -> None:
        """A stream begins here."""
        self._cut_samples = 0

    def take(self, pcm: bytes, samples: int) -> bytes:
        """`pcm` without what it has of the first `samples` of the stream; empty when it is cut whole."""
        cut = max(0, min(samples - self._cut_samples, len(pcm) // 2))
        self._cut_samples += cut
        return pcm[2 * cut :]
