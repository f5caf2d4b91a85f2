"""What it takes to say a piece of sound in each dialect's words: no socket, no server, one core."""

import json
import time

import numpy as np

from duplex.clock import ms_to_samples
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ
from duplex.messages import Configured, ResponseAudio, ResponseStarted
from realtime.dialects.base import Dialect, Frame, Paced, SessionFacts
from realtime.dialects.choice import make_dialect
from realtime.options import Protocol, parse_options

__all__ = ["DELTA_MS", "DIALECTS", "STARTS", "begun", "encoding_us", "say"]

DELTA_MS = 100
"""The longest piece of an answer that leaves at once."""
DIALECTS: dict[str, tuple[Protocol, dict[str, str]]] = {
    "binary": (Protocol.OPENAI, {"audio": "binary"}),
    "openai": (Protocol.OPENAI, {}),
    "openai with extensions": (Protocol.OPENAI, {"ext": "1"}),
    "openai-beta": (Protocol.OPENAI_BETA, {}),
    "live": (Protocol.LIVE, {}),
    "minicpmo": (Protocol.MINICPMO, {"mode": "audio"}),
}
"""By the name in the table: the protocol and the query of the connection."""

_FACTS = SessionFacts("0123456789abcdef", "minicpm-o-4.5", "parrot", stand_in=True)
STARTS: dict[Protocol, dict[str, object]] = {
    Protocol.LIVE: {"type": "session.start", "session": {"model": "minicpm-o-4.5"}},
    Protocol.MINICPMO: {"type": "session.update", "session": {}},
}
"""What begins a session where the client has to."""


def begun(name: str) -> Dialect:
    """The dialect of a connection on which an answer has just begun. Its stream, if it has one, begins at 0 s."""
    protocol, query = DIALECTS[name]
    dialect = make_dialect(protocol, _FACTS, parse_options(query, ConversationSettings(), protocol), expires_at=0)
    dialect.greet()
    if protocol in STARTS:
        dialect.decode(json.dumps(STARTS[protocol]))
        dialect.encode(Configured())
    if isinstance(dialect, Paced):
        dialect.take(0.0)
    dialect.encode(ResponseStarted(1))
    return dialect


def say(dialect: Dialect, paced: Paced | None, pcm: bytes, now: float) -> list[Frame]:
    """What leaves for this piece of sound. `paced` is the dialect again if it is one: then also all that is due at
    `now`.

    The question whether it is takes as long as half an encoding, and a connection asks it once.
    """
    frames = dialect.encode(ResponseAudio(pcm))
    while paced is not None and paced.due_at() <= now:
        frames += paced.take(now)
    return frames


def encoding_us(name: str, count: int) -> list[float]:
    """Microseconds for each of `count` pieces of `DELTA_MS`, all different, and nothing of it paid in advance."""
    samples = ms_to_samples(DELTA_MS, ENGINE_OUTPUT_RATE_HZ)
    random = np.random.default_rng(0)
    pieces = [random.integers(-8000, 8000, samples, dtype=np.int16).tobytes() for _ in range(count)]
    dialect, taken = begun(name), []
    paced = dialect if isinstance(dialect, Paced) else None
    for number, pcm in enumerate(pieces, start=1):
        now = number * DELTA_MS / 1000
        began_ns = time.perf_counter_ns()
        say(dialect, paced, pcm, now)
        taken.append((time.perf_counter_ns() - began_ns) / 1000)
    return taken
