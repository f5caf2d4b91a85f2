"""The events of a generate stream as bytes.

Old clients find `"done": true` by its letters and decode what TCP brings piece by piece: so separators are ", " and
": ", everything is ASCII, and an event is one line.
"""

import base64
import json

from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ

__all__ = [
    "break_event",
    "chunk_event",
    "done_event",
    "error_event",
    "listen_event",
    "turn_done_event",
]


def chunk_event(index: int, pcm: bytes, text: str) -> bytes:
    """One piece of the answer: 16-bit mono PCM at 24 kHz without a header, and the text said about then.

    Clients read `wav` without asking whether it is there, so a piece of text alone has an empty one.
    """
    said = f', "text": {json.dumps(text)}' if text else ""
    head = f'data: {{"chunk_idx": {index}, "chunk_data": {{"wav": "'
    tail = f'", "sample_rate": {ENGINE_OUTPUT_RATE_HZ}{said}}}}}\n\n'
    return b"".join((head.encode("ascii"), base64.b64encode(pcm), tail.encode("ascii")))


def listen_event(chunks: int) -> bytes:
    """Duplex: the model chose to listen. `chunks` is the number of chunks of the session so far."""
    return _event({"is_listen": True, "chunks_received": chunks})


def done_event() -> bytes:
    """Simplex: the answer is over."""
    return _event({"done": True})


def turn_done_event(*, listens: bool, chunks: int, seconds: float) -> bytes:
    """Duplex: this stream is over. `listens` is false when more speech is coming and the caller must call again.

    `chunks` counts those of the session, `seconds` the sound of this stream.
    """
    return _event(
        {"done": True, "is_listen": listens, "chunks_received": chunks, "audio_duration_seconds": round(seconds, 6)}
    )


def break_event() -> bytes:
    """The answer was broken off; nothing of it follows."""
    return _event({"break": True, "done": True, "message": "用户打断"})


def error_event(reason: str) -> bytes:
    """The answer cannot go on. The stream's done event follows."""
    return _event({"error": reason})


def _event(body: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(body).encode("ascii") + b"\n\n"
