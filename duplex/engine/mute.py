"""Does an engine that lives still answer? Decided from what came of one answer, without looking at a clock.

An engine can take every request, end every decode in time, and be of no use: its TTS or vocoder has died and the
words stay silent, or a break stuck and nothing makes it speak again. What is no such case:

* a duplex model that listens has answered, and so has one that says nothing and writes the flag;
* words that cannot be spoken, white space alone, make no sound;
* what TTS made of a duplex group may be too little for a window, and waits in the vocoder for the next one;
* a broken answer may end at any point: nobody asks here about it.
"""

from dataclasses import dataclass

__all__ = ["ASKED_AT_MOST", "AnswerSigns", "find_fault"]

ASKED_AT_MOST = 2
"""How often in a row nothing at all may come of a decode. One can lose its words to a break that slips in before it or
stuck (llama.cpp-omni 0788f99); asked again, with its break flag cleared, the engine answers."""


@dataclass(frozen=True, slots=True)
class AnswerSigns:
    """What came of an answer so far."""

    has_words: bool
    """Text that can be spoken."""
    has_tokens: bool
    """TTS has made something of it."""
    has_sound: bool
    is_flagged: bool
    """The engine says that it has finished."""
    is_sound_due: bool
    """TTS or the vocoder was given more than it has finished."""
    mute_s: float
    """Seconds since the first words, or since the last thing was made on their way to sound. More words are none."""
    patience_s: float
    """How long each such thing may take, in seconds."""
    asked: int
    """How many decodes in a row have ended without a word or a decision to listen, this one included."""


def find_fault(signs: AnswerSigns) -> str | None:
    """Why the engine is of no use any more, in words for an error message; None while it may be of some."""
    if signs.has_sound or signs.is_flagged:
        return None
    if signs.has_words:
        owes_sound = signs.is_sound_due or not signs.has_tokens
        if owes_sound and signs.mute_s >= signs.patience_s:
            return f"the engine wrote an answer and made no sound of it for {signs.patience_s:g} s"
    elif signs.asked >= ASKED_AT_MOST:
        return f"the engine says nothing, although it was asked {signs.asked} times"
    return None
