"""What the parrot says and when: it hears, waits for the end of an utterance, and gives the words back."""

from dataclasses import dataclass

from duplex.engine.parrot.faults import Faults
from duplex.engine.parrot.hearing import Ear, Samples
from duplex.engine.parrot.voice import Group, compose, groups

__all__ = ["Mind", "Step"]

DUPLEX_TOKENS_PER_GROUP = 26
"""Exactly what TTS makes of a group in duplex (omni.cpp 4955)."""
SIMPLEX_TOKENS_PER_GROUP = 50

_END_OF_UTTERANCE_S = 0.6
_END_WHEN_MADE_TO_LISTEN_S = 0.3


@dataclass(frozen=True, slots=True)
class Step:
    """One duplex decode: what is said in it, and whether the model listens afterwards."""

    group: Group | None
    listens: bool
    ends_turn: bool


class Mind:
    """The text model's context. One thread at a time: the context's mutex guards it."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._ear = Ear()
        self._answer: list[Group] = []
        self._broken = False
        self._prefills_since_decode = 0

    @property
    def in_turn(self) -> bool:
        """Whether an answer is begun and not finished."""
        return bool(self._answer)

    def hear(self, samples: Samples) -> None:
        """One evaluated prefill."""
        self._prefills_since_decode += 1
        self._ear.hear(samples)

    def note_break(self) -> None:
        """An answer was broken. It stays in the context: the model is still in its turn."""
        self._broken = self.in_turn

    def forget(self) -> None:
        """The context is cleared."""
        self._ear = Ear()
        self._answer = []
        self._broken = False
        self._prefills_since_decode = 0

    def simplex_answer(self) -> list[Group]:
        """All there is to say to what was heard in this round."""
        self._prefills_since_decode = 0
        return self._compose(SIMPLEX_TOKENS_PER_GROUP)

    def duplex_step(self) -> Step:
        """Decide one decode."""
        prefills, self._prefills_since_decode = self._prefills_since_decode, 0
        letter = self._faults.next_letter() if self._faults.on("script") else ""
        if letter:
            return self._scripted(letter)
        if self.in_turn and self._changes_its_mind(prefills):
            self._answer = []
        elif self.in_turn:
            return self._speak()
        elif not self._ear.finished(_END_OF_UTTERANCE_S):
            return Step(None, listens=True, ends_turn=False)
        self._begin_turn()
        return self._speak()

    def _changes_its_mind(self, prefills: int) -> bool:
        made_to_listen = self._broken or prefills > 1
        return made_to_listen and self._ear.finished(_END_WHEN_MADE_TO_LISTEN_S)

    def _begin_turn(self) -> None:
        self._broken = False
        self._answer = self._compose(DUPLEX_TOKENS_PER_GROUP)

    def _speak(self) -> Step:
        group = self._answer.pop(0)
        # Words that began and ended under its own voice are not answered; words still going on are.
        if self._ear.finished(_END_OF_UTTERANCE_S):
            self._ear.drop()
        if group.last:
            self._broken = False
        return Step(group, listens=False, ends_turn=group.last)

    def _scripted(self, letter: str) -> Step:
        if letter == "L":
            return Step(None, listens=True, ends_turn=False)
        if not self._answer or self._answer[0].last:
            self._answer = self._compose(DUPLEX_TOKENS_PER_GROUP, at_least_s=4.0)
        group = self._answer.pop(0)
        if letter == "S":
            return Step(group, listens=False, ends_turn=False)
        self._answer = []
        return Step(group, listens=letter == "T", ends_turn=letter == "E")

    def _compose(self, tokens_per_group: int, *, at_least_s: float | None = None) -> list[Group]:
        words, seconds = self._ear.take()
        length_s = self._faults.number("answer_s", 0.0) or at_least_s
        pcm = compose(words, answer_s=length_s)
        return groups(pcm, seconds, tokens_per_group=tokens_per_group, split_character=self._faults.on("fffd"))
