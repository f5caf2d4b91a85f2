"""An engine that writes what it is told when it is told, and notes when: `python -m bench.scripted_engine`.

It answers llama-server's calls. Each simplex decode says one line of text and ends; then one WAV of 1 s appears in the
round's directory in the three writes of the real engine's stdio, and a little later the done flag. All samples of a WAV
are the round's number plus one, so that whoever hears them knows which WAV they came from. The moment each WAV was
closed goes to a log, one JSON object a line.
"""

import argparse
import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ
from duplex.engine.parrot.http import HttpServer, Request, Response
from duplex.wav import write_wav

__all__ = ["WAV_BYTES", "ScriptedEngine", "main"]

WAV_BYTES = 48_044
_WRITES = (4096, 40_960)
"""Bytes of the first two writes of one WAV; the third takes the rest (seen with strace on the real engine)."""
_AUDIO_AFTER_S = (0.03, 0.08)
"""From the text to the first byte of the WAV: the range of a pause that is different each time."""
_FLAG_AFTER_S = 0.01
_TEXT = {"content": "one two three", "stop": False, "is_listen": False, "end_of_turn": False}
_OVER = {"content": "", "stop": True, "is_listen": False, "end_of_turn": True}


class ScriptedEngine:
    """Answers one request at a time of each kind; the audio is written by a thread of its own, as in the real one."""

    def __init__(self, log: Path, seed: int = 0) -> None:
        self._log = log
        self._random = np.random.default_rng(seed)
        self._output_dir = Path()

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        body = json.loads(request.body) if request.body else {}
        match request.path:
            case "/health":
                return _ok({"status": "ok"})
            case "/v1/stream/omni_init":
                self._output_dir = Path(body["output_dir"])
            case "/v1/stream/decode":
                return Response(200, content_type="text/event-stream", stream=self._decode(int(body["round_idx"])))
            case "/v1/stream/prefill" | "/v1/stream/break" | "/v1/stream/update_session_config":
                pass
            case _:
                return Response(404, b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}')
        return _ok({"success": True})

    def _decode(self, round_idx: int) -> Iterator[bytes]:
        pause_s = float(self._random.uniform(*_AUDIO_AFTER_S))
        threading.Thread(target=self.speak, args=(round_idx, pause_s), daemon=True).start()
        for event in (_TEXT, _OVER):
            yield b"data: " + json.dumps(event).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    def speak(self, round_idx: int, pause_s: float) -> None:
        """Write the audio and the flag of one round, and note when. Blocks while it pauses, `pause_s` and 10 ms."""
        number = 1000 * round_idx
        samples = np.full(ENGINE_OUTPUT_RATE_HZ, round_idx + 1, "<i2")
        content = write_wav(samples.tobytes(), rate_hz=ENGINE_OUTPUT_RATE_HZ)
        assert len(content) == WAV_BYTES
        directory = self._output_dir / f"round_{round_idx:03d}" / "tts_wav"
        directory.mkdir(parents=True, exist_ok=True)
        time.sleep(pause_s)
        closed_ns = _write_in_place(directory / f"wav_{number}.wav", content)
        time.sleep(_FLAG_AFTER_S)
        with self._log.open("a", encoding="ascii") as log:
            log.write(json.dumps({"value": round_idx + 1, "closed_ns": closed_ns}) + "\n")
        (directory / "generation_done.flag").write_text(f"{number}\n", encoding="ascii")


def _write_in_place(path: Path, content: bytes) -> int:
    """Write under the final name; returns when it was complete, in ns of the monotonic clock."""
    first, second = _WRITES
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for piece in (content[:first], content[first : first + second], content[first + second :]):
        os.write(handle, piece)
    os.close(handle)
    return time.monotonic_ns()


def _ok(body: dict[str, object]) -> Response:
    return Response(200, json.dumps(body).encode())


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.scripted_engine", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args(argv)
    server = HttpServer(ScriptedEngine(options.log), host="127.0.0.1", port=options.port)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    stop.wait()
    server.stop()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
