"""Switches that make the parrot misbehave the way the real engine was seen to, or scripted for a test."""

import enum
import threading
from collections.abc import Iterable, Mapping

__all__ = ["FAULTS", "FaultKind", "Faults", "UnknownFault"]

FaultValue = bool | int | float | str


class UnknownFault(ValueError):
    """A name that is no fault, or a value it cannot take."""


class FaultKind(enum.Enum):
    """What a fault's value means."""

    FLAG = "on while set"
    NTH = "n: only the n-th call after it was set; without a value every call"
    NUMBER = "a number >= 0"
    TEXT = "a word"


FAULTS: Mapping[str, FaultKind] = {
    "slow_start": FaultKind.NUMBER,  # seconds of 503 before the model counts as loaded
    "hurry": FaultKind.NUMBER,  # factor by which everything it does takes less time (read at the start)
    "slow_tts": FaultKind.NUMBER,  # factor on the time of an audio token
    "slow_t2w": FaultKind.NUMBER,  # milliseconds per vocoder window
    "slow_llm": FaultKind.NUMBER,  # milliseconds per text token
    "answer_s": FaultKind.NUMBER,  # answers last this long, the words repeated or cut
    "hang_decode": FaultKind.NTH,  # waits for its prefill for ever, with the mutex
    "die_in_decode": FaultKind.NTH,  # SIGKILLs itself once the first event of a decode is on its way
    "die_in_prefill": FaultKind.NTH,  # SIGKILLs itself instead of answering
    "early_done": FaultKind.NTH,  # a decode's stream holds [DONE] alone
    "no_answer": FaultKind.FLAG,  # decodes say nothing: simplex its end alone, duplex not even that
    "stale_prefill": FaultKind.NTH,  # the decode starts before its input is evaluated
    "no_flag": FaultKind.FLAG,  # generation_done.flag is never written
    "partial_writes": FaultKind.NUMBER,  # milliseconds of pause in the middle of a WAV
    "open_empty": FaultKind.NUMBER,  # milliseconds a WAV or flag exists with no byte in it
    "lost_break": FaultKind.FLAG,  # break answers 200 and does nothing
    "sticky_break": FaultKind.FLAG,  # no thread ever clears the break flag
    "break_never_stops_audio": FaultKind.FLAG,  # queued audio and flag come although a break was answered
    "wav_restart": FaultKind.TEXT,  # on: a duplex break always restarts at wav_0; off: never
    "fffd": FaultKind.FLAG,  # a character is cut where two fragments meet
    "no_tts": FaultKind.FLAG,  # TTS makes nothing of the text: no file at all
    "no_t2w": FaultKind.FLAG,  # the vocoder did not initialise: no WAV, no flag (read at omni_init)
    "init_fails": FaultKind.FLAG,  # omni_init answers 500 and poisons the process
    "n_predict_end": FaultKind.FLAG,  # decodes end at the token cap: no finish mark, so no flag
    "script": FaultKind.TEXT,  # duplex steps: L listen, S speak, E speak and end the turn, T text and listen
}

_TRUE = frozenset({"", "1", "true", "on", "yes"})


def _read(name: str, value: object) -> FaultValue:
    match FAULTS[name]:
        case FaultKind.FLAG if value is True or str(value).lower() in _TRUE:
            return True
        case FaultKind.NTH if value is True or value == "":
            return True
        case FaultKind.NTH if str(value).isdigit() and int(str(value)) > 0:
            return int(str(value))
        case FaultKind.NUMBER:
            try:
                number = float(str(value))
            except ValueError:
                number = -1.0
            if 0 <= number < float("inf"):
                return number
        case FaultKind.TEXT if isinstance(value, str) and value:
            text = value.upper() if name == "script" else value.lower()
            if set(text) <= set("LSET") if name == "script" else text in {"on", "off"}:
                return text
    msg = f"fault {name!r} cannot be {value!r}: it takes {FAULTS[name].value}"
    raise UnknownFault(msg)


class Faults:
    """What is switched on now. Safe for every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, FaultValue] = {}
        self._calls: dict[str, int] = {}

    @classmethod
    def parse(cls, items: Iterable[str]) -> "Faults":
        """From `NAME` and `NAME=VALUE` items. Raises `UnknownFault`."""
        faults = cls()
        for item in items:
            name, _, value = item.partition("=")
            faults.set(name, value)
        return faults

    def set(self, name: str, value: object) -> None:
        """Switch one; None or False switches it off. Raises `UnknownFault`."""
        if name not in FAULTS:
            known = ", ".join(FAULTS)
            msg = f"no fault is called {name!r}; there are {known}"
            raise UnknownFault(msg)
        parsed = None if value is None or value is False else _read(name, value)
        with self._lock:
            self._calls.pop(name, None)
            if parsed is None:
                self._values.pop(name, None)
            else:
                self._values[name] = parsed

    def on(self, name: str) -> bool:
        """Whether it is switched on at all."""
        with self._lock:
            return name in self._values

    def number(self, name: str, default: float) -> float:
        """Its number, or `default` when it is off."""
        with self._lock:
            return float(self._values.get(name, default))

    def text(self, name: str) -> str:
        """Its word, or "" when it is off."""
        with self._lock:
            return str(self._values.get(name, ""))

    def hit(self, name: str) -> bool:
        """Count one call of what the fault strikes, and say whether it strikes this one."""
        with self._lock:
            value = self._values.get(name)
            if value is None:
                return False
            self._calls[name] = self._calls.get(name, 0) + 1
            return value is True or self._calls[name] == value

    def next_letter(self) -> str:
        """Take the next letter of `script`, or "" at its end."""
        with self._lock:
            script = str(self._values.get("script", ""))
            at = self._calls.get("script", 0)
            self._calls["script"] = at + 1
            return script[at : at + 1]

    def active(self) -> dict[str, FaultValue]:
        """All that is on, by name."""
        with self._lock:
            return dict(self._values)
