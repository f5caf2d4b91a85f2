"""How much of a broken answer still hides in the engine's vocoder, to the sample.

The vocoder renders audio tokens (40 ms each) in windows of 28, of which 25 are used up and 3 are looked ahead. What
does not fill a window waits in its buffer, and it holds back the last 160 ms of each window to blend them into the
next. A break empties the buffer only when the vocoder happens to be awake; then its file numbers begin at 0 again.
Otherwise the rest of the broken answer opens the next one, and this module says how many samples that is.

Every sample the vocoder makes stands for a token, so the sum is exact: tokens given, less samples delivered. Checked
against the real vocoder: 3 + 26 + 26 tokens in three windows give 20160 + 24000 + 8640 samples, 55 tokens' worth.
"""

from collections import deque

__all__ = ["HELD_SAMPLES", "TOKEN_SAMPLES", "HeadTrim", "VocoderLedger"]

TOKEN_SAMPLES = 960
"""Samples of one audio token at 24 kHz (40 ms)."""

WINDOW_TOKENS = 28
STEP_TOKENS = 25
LOOKAHEAD_TOKENS = WINDOW_TOKENS - STEP_TOKENS
PREFIX_TOKENS = 3
"""Silent tokens the vocoder puts before each turn and after each reset."""

HELD_SAMPLES = 3840
"""What the vocoder holds back for blending: 8 spectral frames of 480 samples (160 ms)."""


class VocoderLedger:
    """Tokens in, WAVs out."""

    def __init__(self) -> None:
        self._buffered = PREFIX_TOKENS
        self._since_mark: deque[int] = deque()
        self._windows_since_mark = 0
        self._is_dropped = False
        self._is_prefix_only = True
        self._held = 0

    @property
    def buffered_tokens(self) -> int:
        """Tokens in the vocoder's buffer, silent prefix included. Below 0: so many were used that none counts yet."""
        return self._buffered

    @property
    def is_due(self) -> bool:
        """Whether the vocoder has enough to render one more WAV."""
        return self._buffered >= WINDOW_TOKENS

    @property
    def held_samples(self) -> int:
        """Samples of the last window that open the next WAV even when the buffer was emptied."""
        return self._held

    @property
    def stale_samples(self) -> int:
        """Samples of what was given so far that the next WAV begins with.

        The silent prefix alone is not stale: every answer begins with it.
        """
        return self._held + (0 if self._is_prefix_only else max(0, self._buffered) * TOKEN_SAMPLES)

    def receive_tokens(self, tokens: int) -> None:
        """A group of `tokens` has been handed to the vocoder."""
        self._buffered += tokens
        self._since_mark.append(tokens)
        self._is_prefix_only = self._is_prefix_only and tokens == 0

    def receive_wav(self, *, is_piecemeal: bool = False) -> None:
        """The vocoder has rendered one window. What was looked ahead stays in the buffer.

        `is_piecemeal`: TTS hands a group over in pieces while it makes the rest, so a window can be there before the
        file that counts its group, and its tokens stay owed until then. Otherwise a window of too few tokens is the
        last of a turn, after which the buffer is as new.
        """
        self._buffered -= STEP_TOKENS
        if not is_piecemeal:
            self._buffered = max(self._buffered, LOOKAHEAD_TOKENS)
        self._windows_since_mark += 1
        self._held = HELD_SAMPLES

    def mark(self) -> None:
        """A moment at which the vocoder may drop what it has: a break, or the end of a drain."""
        self._since_mark.clear()
        self._windows_since_mark = 0
        self._is_dropped = False

    def drop_before_mark(self) -> None:
        """The vocoder has dropped everything it had at the mark, which its file numbers show later than it happens."""
        self._buffered = PREFIX_TOKENS + sum(self._since_mark)
        self._is_dropped = True
        self._is_prefix_only = not any(self._since_mark)

    def drop_what_is_due(self) -> bool:
        """The vocoder is quiet, so what is still due was dropped: what it had at the mark and, because a break does not
        wake it, the first groups that came after.

        Returns whether it counts anew for certain. Where it has rendered since the mark, that may have been before the
        drop or after, and only its next number tells; till then it counts as after, which leaves more to cut.
        """
        if not self.is_due:
            return False
        is_certain = not (self._is_dropped or self._windows_since_mark)
        if not self._is_dropped:
            self._buffered = PREFIX_TOKENS + sum(self._since_mark) - STEP_TOKENS * self._windows_since_mark
        while self.is_due and self._since_mark:
            self._buffered -= self._since_mark.popleft()
        if not self._since_mark or self._buffered < LOOKAHEAD_TOKENS:
            self.end_turn()
        return is_certain

    def end_turn(self) -> None:
        """The turn was flushed, or a new round began: the buffer is as new. What is held back stays."""
        self._buffered = PREFIX_TOKENS
        self._is_prefix_only = True
        self.mark()


class HeadTrim:
    """Cuts a number of samples from the head of a stream of 16-bit pieces."""

    def __init__(self) -> None:
        self._remaining_samples = 0

    @property
    def remaining_samples(self) -> int:
        """What is still to be cut."""
        return self._remaining_samples

    def start(self, samples: int) -> None:
        """Cut `samples` from here on, instead of what was to be cut before."""
        self._remaining_samples = samples

    def take(self, pcm: bytes) -> bytes:
        """`pcm` without what is to be cut from it; empty when it is cut whole."""
        cut = min(self._remaining_samples, len(pcm) // 2)
        self._remaining_samples -= cut
        return pcm[2 * cut :]
