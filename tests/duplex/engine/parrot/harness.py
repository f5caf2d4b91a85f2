"""A parrot inside the test process, a client that reads bytes, and made-up speech."""

import http.client
import io
import json
import threading
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from duplex.engine.parrot.faults import Faults
from duplex.engine.parrot.log import Log
from duplex.engine.parrot.octx import Body, Octx
from duplex.engine.parrot.options import Options, Speeds
from duplex.engine.parrot.process import Parrot

LIMIT_S = 10.0
FAST = Speeds(load_ms=0, init_ms=0, evaluate_ms=0, llm_ms=0, tts_ms=0, t2w_ms=0)


class RecordingLog(Log):
    """Keeps the lines, and lets a test wait for one."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self.lines: list[str] = []

    def server(self, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    engine = server

    def wait_for(self, part: str, count: int = 1) -> None:
        """Until `part` is in `count` lines."""
        with self._changed:
            assert self._changed.wait_for(lambda: sum(part in line for line in self.lines) >= count, LIMIT_S), part


class Hold:
    """Stops an engine thread at its n-th pause of one length, until released."""

    def __init__(self, duration_ms: float, nth: int) -> None:
        self._duration_ms = duration_ms
        self._left = nth
        self._reached = threading.Event()
        self._released = threading.Event()

    def pause(self, duration_ms: float) -> None:
        if duration_ms == self._duration_ms:
            self._left -= 1
            if self._left == 0:
                self._reached.set()
                self._released.wait(LIMIT_S)

    def reached(self) -> None:
        assert self._reached.wait(LIMIT_S)

    def release(self) -> None:
        self._released.set()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The SSE events, `[DONE]` as that string."""
        blocks = self.body.decode().split("\n\n")
        assert blocks.pop() == ""
        return ["[DONE]" if block == "data: [DONE]" else json.loads(block.removeprefix("data: ")) for block in blocks]

    @property
    def text(self) -> str:
        return "".join(event["content"] for event in self.events if event != "[DONE]")

    @property
    def listens(self) -> bool:
        return any(event != "[DONE]" and event["is_listen"] for event in self.events)


class Harness:
    """One parrot and its client."""

    def __init__(self, root: Path, *faults: str, speeds: Speeds = FAST) -> None:
        self.root = root
        self.log = RecordingLog()
        self._holds: list[Hold] = []
        self.deaths = threading.Semaphore(0)
        self.body = Body(log=self.log, faults=Faults.parse(faults), speeds=speeds, die=self._die)
        self.parrot = Parrot(Options(model=root, port=0, speeds=speeds), self.body)

    def _die(self) -> None:
        self.deaths.release()
        # The dead answer nothing while the test looks.
        self.body.abandoned.wait()

    def __enter__(self) -> "Harness":
        self.parrot.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for hold in self._holds:
            hold.release()
        self.parrot.__exit__(None, None, None)

    @property
    def octx(self) -> Octx:
        return self.parrot.engine.octx

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.parrot.port, timeout=LIMIT_S)
        try:
            connection.request(method, path, body, {"Connection": "close", **headers})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def post(self, call: str, body: object = None) -> Answer:
        raw = b"" if body is None else json.dumps(body).encode()
        return self.request("POST", f"/v1/stream/{call}", raw)

    def init(self, *, duplex: bool = False, voice: str = "voice.wav", **fields: object) -> Answer:
        body = {"media_type": 2, "duplex_mode": duplex, "voice_audio": voice, "output_dir": str(self.root)}
        answer = self.post("omni_init", body | fields)
        assert answer.status == 200
        return answer

    def prefill(self, samples: Any, cnt: int = 1) -> Answer:
        path = self.root / "heard.wav"
        path.write_bytes(wav_bytes(samples))
        answer = self.post("prefill", {"audio_path_prefix": str(path), "cnt": cnt})
        assert answer.status == 200
        return answer

    def decode(self, **fields: object) -> Answer:
        answer = self.post("decode", {"stream": True} | fields)
        assert answer.status == 200
        return answer

    def step(self, samples: Any) -> Answer:
        """One duplex second."""
        self.prefill(samples)
        return self.decode()

    def round(self, number: int, samples: Any = None, **fields: object) -> Answer:
        """One simplex round, to the end of its text."""
        self.prefill(speech(1.0) if samples is None else samples, cnt=0)
        return self.decode(round_idx=number, **fields)

    def fault(self, **faults: object) -> Answer:
        answer = self.request("POST", "/parrot/faults", json.dumps(faults).encode())
        assert answer.status == 200, answer.body
        return answer

    def hold(self, duration_ms: float, *, nth: int = 1) -> Hold:
        """Hold the thread that pauses this long; no pause lasts from now on."""
        hold = Hold(duration_ms, nth)
        self._holds.append(hold)

        def pause(asked_ms: float) -> None:
            for held in self._holds:
                held.pause(asked_ms)

        self.octx.pause_ms = pause
        return hold

    def state(self) -> Any:
        return self.request("GET", "/parrot/state").json

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait for what an engine thread does; they notify the board after every step."""
        with self.octx.board:
            assert self.octx.board.wait_for(ready, LIMIT_S)

    def flag(self, directory: str = ".") -> str | None:
        """What the done flag of a round says, or None without one."""
        path = self.root / directory / "tts_wav" / "generation_done.flag"
        return path.read_text() if path.exists() else None

    def until_flag(self, directory: str = ".", text: str | None = None) -> None:
        """Until the flag is there, or says `text`, and its writer is done with it."""
        self.until(lambda: self.octx.quiet and self.flag(directory) not in {None, ""})
        assert text is None or self.flag(directory) == text

    def until_quiet(self) -> None:
        """Until every thread waits for work."""
        self.until(lambda: self.octx.quiet)

    def wavs(self, directory: str = ".") -> dict[int, bytes]:
        """Every WAV of a round by its number."""
        found = (self.root / directory / "tts_wav").glob("wav_*.wav")
        return {int(path.stem.removeprefix("wav_")): path.read_bytes() for path in found}

    def sound(self, directory: str = ".") -> Any:
        """All WAVs of a round in order, as one signal."""
        wavs = self.wavs(directory)
        return np.concatenate([pcm_of(wavs[number]) for number in sorted(wavs)])

    def sound_tokens(self, directory: str = ".") -> float:
        """How many audio tokens' time all WAVs of a round last."""
        return float(len(self.sound(directory)) / 960)


def speech(seconds: float, *, hz: float = 300.0, rate_hz: int = 16_000) -> Any:
    """A loud tone with a syllable-like swell, in -1..1."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return 0.4 * np.sin(2 * np.pi * hz * time_s) * (0.7 + 0.3 * np.sin(2 * np.pi * 4 * time_s))


def silence(seconds: float, *, rate_hz: int = 16_000) -> Any:
    return np.zeros(round(seconds * rate_hz))


def then(*parts: Any) -> Any:
    return np.concatenate(parts)


def wav_bytes(samples: Any, *, rate_hz: int = 16_000) -> bytes:
    sink = io.BytesIO()
    with wave.open(sink, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())
    return sink.getvalue()


def pcm_of(wav: bytes) -> Any:
    """A written WAV's samples in -1..1; the header must fit the file."""
    with wave.open(io.BytesIO(wav), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
        assert len(wav) == 44 + 2 * file.getnframes()
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2") / 32767


def in_background(call: Callable[[], Any]) -> Callable[[], Any]:
    """Run `call` beside the test; the result of calling what is returned is its result."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except (OSError, http.client.HTTPException) as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def wait() -> Any:
        thread.join(LIMIT_S)
        assert results, "the call did not return"
        assert not isinstance(results[0], Exception), results[0]
        return results[0]

    return wait
