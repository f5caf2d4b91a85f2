"""What a client of each dialect sends and understands: as little as it takes to ask for an answer and to hear it."""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from urllib.parse import urlencode

import numpy as np

from bench.encoding import DIALECTS, STARTS
from bench.errors import BenchError
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, ENGINE_OUTPUT_RATE_HZ
from realtime.dialects.base import Frame
from realtime.dialects.choice import LIVE_PATH, REALTIME_PATH
from realtime.options import Protocol

__all__ = ["Said", "address", "begin", "headers", "silence", "understood"]

_BEGUN = frozenset({"session.created", "session.started"})


@dataclass(frozen=True, slots=True)
class Said:
    """What a message means."""

    has_begun: bool = False
    is_over: bool = False
    """The answer is."""
    pcm: bytes = b""
    """16-bit sound."""

    @property
    def value(self) -> int:
        """Which WAV of the scripted engine is heard: all samples of one are the same. 0 for silence or no sound."""
        samples = np.frombuffer(self.pcm, "<i2")
        return int(samples[-1]) if len(samples) else 0


def address(name: str) -> str:
    """Path and query of a duplex call in the dialect `name` of `DIALECTS`."""
    protocol, query = DIALECTS[name]
    path = LIVE_PATH if protocol is Protocol.LIVE else REALTIME_PATH
    rates = {"input_rate": str(ENGINE_INPUT_RATE_HZ), "output_rate": str(ENGINE_OUTPUT_RATE_HZ)}
    return f"{path}?{urlencode({'conversation': 'duplex', **rates, **query})}"


def headers(name: str) -> dict[str, str]:
    """What the client says beside the address."""
    return {"OpenAI-Beta": "realtime=v1"} if DIALECTS[name][0] is Protocol.OPENAI_BETA else {}


def begin(name: str) -> list[str]:
    """What the client says first; nothing where the server does."""
    start = STARTS.get(DIALECTS[name][0])
    return [] if start is None else [json.dumps(start)]


def silence(name: str, seconds: float) -> Frame:
    """So much of it, as the client of this dialect sends it."""
    protocol, _ = DIALECTS[name]
    samples = round(seconds * ENGINE_INPUT_RATE_HZ)
    match protocol:
        case Protocol.LIVE:
            # The session's own format, both ways.
            pcm = bytes(2 * round(seconds * ENGINE_OUTPUT_RATE_HZ))
            return _append("session.input_audio.append", pcm)
        case Protocol.MINICPMO:
            return _append("input_audio_buffer.append", bytes(4 * samples))
    return bytes(2 * samples) if name == "binary" else _append("input_audio_buffer.append", bytes(2 * samples))


def _append(kind: str, sound: bytes) -> str:
    return json.dumps({"type": kind, "audio": b64encode(sound).decode("ascii")})


def understood(message: str | bytes) -> Said:
    """What a server's message means in any of them. Raises `BenchError` for an error."""
    if isinstance(message, bytes):
        return Said(pcm=message)
    event = json.loads(message)
    kind = event["type"]
    if kind == "error":
        raise BenchError(f"The server refused something: {event['error']}")
    pcm = b""
    if kind.endswith("audio.delta"):
        pcm = b64decode(event["delta"]) if "delta" in event else _rounded(b64decode(event["audio"]))
    return Said(kind in _BEGUN, kind == "response.done" or event.get("end_of_turn") is True, pcm)


def _rounded(floats: bytes) -> bytes:
    return bytes(np.rint(np.frombuffer(floats, "<f4") * 32_768).astype("<i2").tobytes())
