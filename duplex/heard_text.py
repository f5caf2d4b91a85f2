"""Which words of an answer were heard, when only its sound can be measured."""

import re
from dataclasses import dataclass

__all__ = ["Spoken", "heard_part", "usual_s"]

_IDEOGRAPH = r"[\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff]"
_WORD = re.compile(rf"\s*(?:{_IDEOGRAPH}[^\w\s]*|(?:(?!{_IDEOGRAPH})\S)+)")
"""With what precedes it and the punctuation behind it. An ideograph is a word."""
_IDEOGRAPH_S = 0.22
_LETTER_S = 0.065
"""How long speech takes for one, roughly: 270 ideographs or 170 English words a minute."""


def heard_part(text: str, heard_s: float, audio_s: float, *, complete: bool) -> str:
    """The beginning of `text`, up to and with the word that was being said after `heard_s` of its sound.

    `audio_s` of sound are known. When that is all there is (`complete`), the text is spread over it. Otherwise the text
    may be ahead of the sound, and is taken to be said at the usual speed, or slower if the sound is already longer.
    """
    words = [(match.end(), usual_s(match.group())) for match in _WORD.finditer(text)]
    all_s = sum(seconds for _, seconds in words)
    if not words or not all_s:
        return ""
    scale = audio_s / all_s if complete else max(1.0, audio_s / all_s)
    end, at_s = 0, 0.0
    for word_end, seconds in words:
        if at_s * scale >= heard_s:
            break
        end, at_s = word_end, at_s + seconds
    return text[:end]


def usual_s(text: str) -> float:
    """How long speech takes for `text` at the usual speed."""
    return sum(_IDEOGRAPH_S if re.match(_IDEOGRAPH, character) else _LETTER_S for character in text.strip())


@dataclass(slots=True)
class Spoken:
    """Text and sound of one response so far."""

    text: str = ""
    audio_s: float = 0.0
    complete: bool = False
    sent: int = 0
    """How many characters of the text have left."""

    def heard(self, heard_s: float) -> str:
        """What of the text that has left was heard."""
        return heard_part(self.text, heard_s, self.audio_s, complete=self.complete)[: self.sent]
