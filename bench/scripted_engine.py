"""An engine that writes what it is told when it is told, and remembers when: `python -m bench.scripted_engine`.

It answers llama-server's calls. A decode follows the script: it listens, or it says one line of text, after which WAVs
appear one by one in the three writes of the real engine's stdio, and a little later the done flag. Simplex has
a directory for each round, duplex one for all. All samples of a WAV are its number in this process, from 1, so that
whoever hears a part of it knows which WAV it came from.

Three calls are for the benchmark: POST `/script` gives the next script, POST `/script/write` writes WAVs and flag
without a decode, GET `/script/log` tells when each WAV was closed and when each decode ran.
"""

import argparse
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from duplex.clock import ms_to_samples
from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ
from duplex.engine.parrot.http import HttpServer, Request, Response
from duplex.engine.spool import DONE_FLAG, wav_name
from duplex.wav import write_wav

__all__ = ["Decode", "EngineLog", "Script", "ScriptedEngine", "main"]

_WRITES = (4096, 40_960)
"""Bytes of the first two writes of one WAV; the third takes the rest (seen with strace on the real engine)."""
_FLAG_AFTER_S = 0.01
_TEXT = {"content": "one two three", "stop": False, "is_listen": False, "end_of_turn": False}
_OVER = {"content": "", "stop": True, "is_listen": False, "end_of_turn": True}
_LISTENS = {"content": "", "stop": False, "is_listen": True, "end_of_turn": True}


@dataclass(frozen=True, slots=True)
class Script:
    """What every decode does until another script is given."""

    wavs: int = 1
    wav_ms: int = 1000
    """How much sound is in each."""
    gap_s: tuple[float, float] = (0.03, 0.08)
    """From the text, and then from each WAV, to the first byte of the next: the range of a pause that is different
    each time."""
    listens: bool = False
    decode_s: float = 0.0
    """How long the decode goes on after its text, or before it says that it listens."""


@dataclass(frozen=True, slots=True)
class Decode:
    """One decode, in ns of the monotonic clock."""

    heard_ns: int
    """When the last prefill before it was answered."""
    began_ns: int
    over_ns: int
    """When its last event was about to leave."""


@dataclass(frozen=True, slots=True)
class EngineLog:
    """What happened."""

    closed_ns: dict[int, int] = field(default_factory=dict)
    """When each WAV was complete, in ns of the monotonic clock, by the value of its samples."""
    over_ns: dict[int, int] = field(default_factory=dict)
    """When the done flag behind it was complete, by the value of a turn's last WAV."""
    decodes: list[Decode] = field(default_factory=list)

    @classmethod
    def read(cls, content: bytes) -> "EngineLog":
        """What `/script/log` answered."""
        found = json.loads(content)
        closed_ns, over_ns = (
            {int(value): at_ns for value, at_ns in found[name].items()} for name in ("closed_ns", "over_ns")
        )
        return cls(closed_ns, over_ns, [Decode(**decode) for decode in found["decodes"]])


class ScriptedEngine:
    """Answers one request at a time of each kind; the audio is written by a thread of its own, as in the real one."""

    def __init__(self, seed: int = 0) -> None:
        self.log = EngineLog()
        self._script = Script()
        self._random = np.random.default_rng(seed)
        self._values = itertools.count(1)
        self._output_dir = Path()
        self._duplex_wavs = 0
        self._heard_ns = 0

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        body = json.loads(request.body) if request.body else {}
        match request.path:
            case "/health":
                return _ok({"status": "ok"})
            case "/v1/stream/omni_init":
                self._output_dir = Path(body["output_dir"])
                self._duplex_wavs = 0
            case "/v1/stream/decode":
                return Response(200, content_type="text/event-stream", stream=self._decode(body.get("round_idx")))
            case "/v1/stream/prefill":
                self._heard_ns = time.monotonic_ns()
            case "/v1/stream/break" | "/v1/stream/update_session_config":
                pass
            case "/script":
                self._script = Script(**body)
            case "/script/write":
                self._start_speaking(Path(body["directory"]), 0)
            case "/script/log":
                return _ok(asdict(self.log))
            case _:
                return Response(404, b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}')
        return _ok({"success": True})

    def _decode(self, round_idx: int | None) -> Iterator[bytes]:
        began_ns = time.monotonic_ns()
        script = self._script
        if script.listens:
            time.sleep(script.decode_s)
            yield _event(_LISTENS)
        else:
            yield _event(_TEXT)
            self._start_round(round_idx)
            time.sleep(script.decode_s)
            yield _event(_OVER)
        self.log.decodes.append(Decode(self._heard_ns, began_ns, time.monotonic_ns()))
        yield b"data: [DONE]\n\n"

    def _start_round(self, round_idx: int | None) -> None:
        if round_idx is None:
            first, self._duplex_wavs = self._duplex_wavs, self._duplex_wavs + self._script.wavs
            self._start_speaking(self._output_dir / "tts_wav", first)
        else:
            self._start_speaking(self._output_dir / f"round_{round_idx:03d}" / "tts_wav", 1000 * round_idx)

    def _start_speaking(self, directory: Path, first: int) -> None:
        pauses_s = [float(pause_s) for pause_s in self._random.uniform(*self._script.gap_s, self._script.wavs)]
        threading.Thread(target=self.speak, args=(directory, first, pauses_s, self._script.wav_ms), daemon=True).start()

    def speak(self, directory: Path, first: int, pauses_s: Sequence[float], wav_ms: int = 1000) -> None:
        """Write one WAV after each pause, numbered from `first`, then the flag. Blocks for all pauses and 10 ms."""
        directory.mkdir(parents=True, exist_ok=True)
        value = 0
        for number, pause_s in enumerate(pauses_s, first):
            value = next(self._values)
            samples = np.full(ms_to_samples(wav_ms, ENGINE_OUTPUT_RATE_HZ), value, "<i2")
            content = write_wav(samples.tobytes(), rate_hz=ENGINE_OUTPUT_RATE_HZ)
            time.sleep(pause_s)
            self.log.closed_ns[value] = _write_in_place(directory / wav_name(number), content)
        time.sleep(_FLAG_AFTER_S)
        last = first + len(pauses_s) - 1
        self.log.over_ns[value] = _write_in_place(directory / DONE_FLAG, f"{last}\n".encode())


def _write_in_place(path: Path, content: bytes) -> int:
    """Write under the final name; returns when it was complete, in ns of the monotonic clock.

    That is just before it is closed: who waits for that may have this core before a clock could be read.
    """
    first, second = _WRITES
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for piece in (content[:first], content[first : first + second], content[first + second :]):
        if piece:
            os.write(handle, piece)
    complete_ns = time.monotonic_ns()
    os.close(handle)
    return complete_ns


def _event(body: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _ok(body: dict[str, object]) -> Response:
    return Response(200, json.dumps(body).encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.scripted_engine", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(argv)
    server = HttpServer(ScriptedEngine(), host="127.0.0.1", port=options.port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    stop.wait()
    server.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
