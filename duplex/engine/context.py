"""How full a duplex conversation has made its engine's context, and when it is to have a new one.

In duplex every second stays in the context, heard or said. When it is full, llama-server (llama.cpp-omni 0788f99)
throws the older half of all behind the prompt away, wherever that cuts: in the middle of a question, of a picture, of
its own answer. The model's authors end such a session. Here it goes on in an empty context, from when that costs least:

    fill < ROOMY           as it is
    ROOMY <= fill < FULL   at the next silence: nobody speaks, and nothing waits for an answer
    FULL <= fill           as soon as no answer is being given; cut off, it would cost more than what the engine does

In simplex nothing is done. There the engine makes room by itself between two answers, by whole rounds, the oldest
first, which is more than could be had from outside: a new context remembers nothing.
"""

from duplex.audio import SAMPLE_BYTES
from duplex.clock import samples_to_s
from duplex.engine.base import ENGINE_INPUT_RATE_HZ

__all__ = ["FULL", "ROOMY", "ContextUse", "may_be_capped", "needs_new_context"]

ROOMY = 0.75
"""Of 8192 tokens what is left is three minutes of listening, or 50 s of an answer."""

FULL = 0.9

# Counted on the real engine, in tokens; where it depends on the words, the most it can be.
_PROMPT = 100
"""The system prompt with the voice that is used where none is given."""
_SECOND = 10
"""One second of sound, of the microphone or of a voice to imitate."""
_UNIT = 1
"""Before each prefill."""
_TILE = 66
"""A picture, and each tile that shows more of it."""
_FRAGMENT = 11
"""Of text, with the mark behind it."""
_STEP = 1
"""What ends a decode."""


class ContextUse:
    """An estimate, rather too high than too low, of what one context of `size` tokens holds."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._tokens = 0.0

    @property
    def fill(self) -> float:
        """From 0 to 1, and beyond it when the engine has had to make room."""
        return self._tokens / self._size

    def listening_s(self, share: float) -> float:
        """How long a model listens until so much of a context is used."""
        return share * self._size / (_SECOND + _UNIT)

    def begin(self, voice: bytes | None = None) -> None:
        """It is empty but for the prompt; `voice` is a WAV at `ENGINE_INPUT_RATE_HZ`."""
        self._tokens = _PROMPT + _tokens_of(voice or b"")

    def hear(self, pcm: bytes, *, slices: int = 0) -> None:
        """One prefill, with a picture that is cut into so many slices; 0 for none."""
        # The whole of it is seen beside its slices.
        tiles = slices + 1 if slices > 1 else slices
        self._tokens += _UNIT + _tokens_of(pcm) + _TILE * tiles

    def think(self, fragments: int) -> None:
        """One decode that said so much."""
        self._tokens += _STEP + _FRAGMENT * fragments


def needs_new_context(fill: float, *, is_answering: bool, is_silent: bool) -> bool:
    """Whether a conversation is to go on in an empty context now. `is_answering`: something is being said, or broken
    off; `is_silent`: nobody speaks, and nothing waits for an answer."""
    if is_answering:
        return False
    return fill >= FULL or (fill >= ROOMY and is_silent)


def may_be_capped(fragments: int, n_predict: int) -> bool:
    """Whether an answer of so many fragments may have ended at the token cap, rather too often than too rarely."""
    return fragments * _FRAGMENT >= n_predict


def _tokens_of(pcm: bytes) -> float:
    return _SECOND * samples_to_s(len(pcm) // SAMPLE_BYTES, ENGINE_INPUT_RATE_HZ)
