"""What one session does to the server, and what is done to an engine meanwhile: all from the seed and its number."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["FAULT_NAMES", "HTTP", "INTERFACES", "Fault", "Plan", "make_plan"]

HTTP = "http"
INTERFACES: Mapping[str, int] = {"binary": 5, "openai": 4, "openai-beta": 2, "live": 2, "minicpmo": 2, HTTP: 3}
"""By which a session calls, and how many of them for how many of the others."""

_TALKS: Sequence[tuple[int, tuple[str, ...]]] = (
    (8, ("say", "done")),
    (4, ("say", "answer")),
    (6, ("say", "answer", "say", "done")),
    (3, ("say", "answer", "say", "answer", "say", "done")),
    (4, ("say", "answer", "cancel", "say", "done")),
    (2, ("say", "answer", "storm", "say", "done")),
    (2, ("say", "storm", "done")),
    (2, ("garbage", "say", "garbage", "done")),
    (2, ("say", "answer", "garbage", "cancel")),
    (1, ("flood", "done")),
    (1, ("say", "flood")),
    (1, ("say", "answer", "stall", "done")),
    (3, ("say", "answer", "reconnect", "done")),
    (2, ("say", "reconnect", "answer", "reconnect", "say", "done")),
    (1, ("reconnect", "garbage")),
    (1, ()),
)
"""What a session may be like: steps of `bench.torture.socket_call` and `bench.torture.http_call`."""

_ENDS: Mapping[str, int] = {"close": 6, "abort": 3, "leave": 1}
_MODES: Mapping[str, int] = {"duplex": 1, "simplex": 1}

_FAULTS: Sequence[tuple[int, str, object]] = (
    (60, "", None),
    (4, "die_in_decode", 1),
    (2, "die_in_decode", 2),
    (2, "die_in_prefill", 1),
    (2, "hang_decode", 1),
    (2, "early_done", 1),
    (2, "stale_prefill", 1),
    (3, "no_flag", True),
    (2, "lost_break", True),
    (2, "sticky_break", True),
    (2, "break_never_stops_audio", True),
    (2, "wav_restart", "on"),
    (2, "wav_restart", "off"),
    (2, "fffd", True),
    (2, "partial_writes", 30),
    (2, "open_empty", 30),
    (2, "slow_llm", 20),
    (2, "slow_t2w", 60),
    (1, "init_fails", True),
)
"""The parrot's switches, and how often each is thrown. Times are real milliseconds. Without `n_predict_end`, whose cap
is below the one that the adapter knows: it cannot tell then what the answer has left with TTS."""

FAULT_NAMES = tuple({name for _, name, _ in _FAULTS if name})
"""All that may be thrown."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A switch of the parrot's."""

    name: str
    value: object
    engine: int
    """Of so many engines, the one at this place, counted on when there are fewer."""
    before_step: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One session. `steps` are taken in order, then it ends as `end` says."""

    seed: int
    index: int
    interface: str
    mode: str
    rate_hz: int
    """Of the answers."""
    steps: tuple[str, ...]
    end: str
    fault: Fault | None

    def choices(self) -> random.Random:
        """What the session decides underway, the same each time it asks in the same order."""
        return random.Random(f"{self.seed}/{self.index}/underway")


def make_plan(seed: int, index: int, *, faults: bool = True) -> Plan:
    """The plan of that number. Without `faults` the engine works as it should, and everybody behaves."""
    choose = random.Random(f"{seed}/{index}")
    interface, mode, end = (_one_of(choose, weights) for weights in (INTERFACES, _MODES, _ENDS))
    steps = choose.choices([talk for _, talk in _TALKS], [weight for weight, _ in _TALKS])[0]
    _, name, value = choose.choices(_FAULTS, [weight for weight, _, _ in _FAULTS])[0]
    fault = Fault(name, value, choose.randrange(64), choose.randrange(len(steps) + 1)) if name and faults else None
    if not faults:
        steps, end = choose.choice([talk for _, talk in _TALKS[:5]]), "close"
    return Plan(seed, index, interface, mode, choose.choice((8000, 16_000, 24_000, 48_000)), steps, end, fault)


def _one_of(choose: random.Random, weights: Mapping[str, int]) -> str:
    return choose.choices(list(weights), list(weights.values()))[0]
