"""Many calls from one process: `python -m bench.capacity.client --port PORT --sessions N`.

Each sends 50 frames of room noise a second and counts the sound that comes. Their frames are spread evenly over the
20 ms, and their seconds over the first second, in which they begin one after the other. A line of JSON says when the
measured time begins, a second one what was found; the process keeps its calls until its standard input ends.
"""

import argparse
import gc
import json
import select
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from bench.capacity.stamps import STAMP_BYTES, stamp
from bench.capacity.wire import Arrived, Incoming, Opcode, outgoing, upgrade_request
from bench.errors import BenchError
from bench.microphone import FRAME_S, FRAME_SAMPLES
from bench.rooms import as_pcm
from duplex.audio import SAMPLE_BYTES
from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ
from duplex.engine.ports import LOOPBACK

__all__ = ["Found", "lateness_s", "main"]

_QUERY = "audio=binary&input_rate=16000&output_rate=24000"
_NOISE_DBFS = -50.0
_FRAMES = 50
"""Different ones, sent over and over: a second of noise."""
_PATIENCE_S = 20.0
_READ_BYTES = 64 * 1024


@dataclass(slots=True)
class Found:
    """What one process saw in the measured time, in milliseconds, one value each frame sent and each piece of sound."""

    lateness_ms: list[float] = field(default_factory=list)
    """How long after its time each frame was handed to the kernel: this client's own fault."""
    jitter_ms: list[float] = field(default_factory=list)
    """How long after its place in real time each piece of sound came; see `lateness_s`."""
    silent: int = 0
    """Sessions that heard less than half of what they should have."""


def lateness_s(arrivals: Sequence[tuple[float, float]]) -> list[float]:
    """How late the pieces of one stream are that is paced in real time, the earliest of them being in time.

    A piece is the time at which it came and the seconds of sound that came before it.
    """
    ahead = [at_s - before_s for at_s, before_s in arrivals]
    earliest = min(ahead, default=0.0)
    return [value - earliest for value in ahead]


class _Call:
    """One connection."""

    def __init__(self, port: int, query: str) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), timeout=_PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(upgrade_request(f"{LOOPBACK}:{port}", f"/v1/realtime?{query}"))
        self.frames = 0
        self.heard_s = 0.0
        self.arrivals: list[tuple[float, float]] = []
        self._incoming = Incoming()

    def begin(self) -> None:
        """Read until the session is there."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._received()
        answer, _, rest = head.partition(b"\r\n\r\n")
        if b" 101 " not in answer.split(b"\r\n")[0]:
            raise BenchError(f"The server refused a connection: {answer[:80]!r}")
        arrived = self._incoming.feed(rest)
        while not any(b'"session.created"' in message.payload for message in arrived):
            for message in arrived:
                self._understand(message, 0.0)
            arrived = self._incoming.feed(self._received())
        self.socket.setblocking(False)

    def send(self, message: bytes) -> None:
        """Raises `BenchError` when the kernel will not take it: the server has stopped reading."""
        try:
            sent = self.socket.send(message)
        except BlockingIOError:
            sent = 0
        except ConnectionError as error:
            raise BenchError(f"A call was cut off: {error}") from None
        if sent != len(message):
            raise BenchError("The server does not read any more.")

    def read(self, now_s: float) -> None:
        """What has come."""
        for message in self._incoming.feed(self._received()):
            self._understand(message, now_s)

    def _received(self) -> bytes:
        try:
            piece = self.socket.recv(_READ_BYTES)
        except (ConnectionError, TimeoutError) as error:
            raise BenchError(f"A call was cut off: {error}") from None
        if not piece:
            raise BenchError("The server ended a call.")
        return piece

    def _understand(self, message: Arrived, now_s: float) -> None:
        if message.opcode is Opcode.BINARY:
            self.arrivals.append((now_s, self.heard_s))
            self.heard_s += message.size / SAMPLE_BYTES / ENGINE_OUTPUT_RATE_HZ
        elif message.opcode is Opcode.PING:
            self.send(outgoing(Opcode.PONG, message.payload))
        elif message.opcode is Opcode.CLOSE or b'"type":"error"' in message.payload:
            raise BenchError(f"The server ended a call: {message.payload[:200]!r}")


class _Crowd:
    """All calls of this process, and when each sends."""

    def __init__(self, calls: Sequence[_Call], frames: Sequence[bytes], stamp_every: int) -> None:
        self._calls = calls
        self._frames = frames
        self._stamp_every = stamp_every
        self._by_handle = {call.socket.fileno(): call for call in calls}
        self._epoll = select.epoll()
        for handle in self._by_handle:
            self._epoll.register(handle, select.EPOLLIN)
        self._slots = 0
        self._began_s = time.monotonic()
        self.lateness_s: list[float] = []

    def talk_until(self, end_s: float) -> None:
        """Send what is due and read what has come, until then."""
        step_s = FRAME_S / len(self._calls)
        handle = self._epoll.fileno()
        while (now_s := time.monotonic()) < end_s:
            while (due_s := self._began_s + self._slots * step_s) <= now_s:
                self._send(now_s - due_s)
                now_s = time.monotonic()
            # Of itself epoll waits whole milliseconds.
            if select.select((handle,), (), (), max(0.0, due_s - now_s))[0]:
                now_s = time.monotonic()
                for ready, _ in self._epoll.poll(0):
                    self._by_handle[ready].read(now_s)

    def hear_since(self, at_s: float) -> Found:
        """What the calls heard from then on."""
        heard = [[one for one in call.arrivals if one[0] >= at_s] for call in self._calls]
        duration_s = time.monotonic() - at_s
        jitter_ms = [round(1000 * value, 2) for arrivals in heard for value in lateness_s(arrivals)]
        sound_s = [arrivals[-1][1] - arrivals[0][1] if arrivals else 0.0 for arrivals in heard]
        return Found(
            lateness_ms=[round(1000 * value, 2) for value in self.lateness_s],
            jitter_ms=jitter_ms,
            silent=sum(seconds < duration_s / 2 for seconds in sound_s),
        )

    def _send(self, late_s: float) -> None:
        round_, number = divmod(self._slots, len(self._calls))
        self._slots += 1
        if round_ < number * _FRAMES // len(self._calls):
            # Strangers do not call at the same moment: each of them has its own beat within a second.
            return
        call = self._calls[number]
        self.lateness_s.append(late_s)
        call.frames += 1
        frame = self._frames[call.frames % _FRAMES]
        if call.frames % self._stamp_every == 0:
            frame = frame[:_HEAD_BYTES] + stamp(time.monotonic_ns() // 1000) + frame[_HEAD_BYTES + STAMP_BYTES :]
        call.send(frame)


_HEAD_BYTES = len(outgoing(Opcode.BINARY, bytes(FRAME_SAMPLES * SAMPLE_BYTES))) - FRAME_SAMPLES * SAMPLE_BYTES


def _noise() -> list[bytes]:
    """Messages of a room's noise."""
    samples = np.random.default_rng(1).standard_normal(_FRAMES * FRAME_SAMPLES) * 10 ** (_NOISE_DBFS / 20)
    pcm = as_pcm(samples)
    size = FRAME_SAMPLES * SAMPLE_BYTES
    return [outgoing(Opcode.BINARY, pcm[at : at + size]) for at in range(0, len(pcm), size)]


def main(argv: Sequence[str] | None = None) -> int:
    """Call, measure, tell. Returns 2 when a call could not be made or was lost."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity.client", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--settle", type=float, default=2.0, help="seconds of the calls that are not measured")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds that are measured")
    parser.add_argument("--stamp-every", type=int, default=10, help="one frame of so many tells the server its age")
    parser.add_argument("--query", default=_QUERY, help="of the address")
    options = parser.parse_args(argv)
    try:
        calls = [_Call(options.port, options.query) for _ in range(options.sessions)]
        for call in calls:
            call.begin()
        # This is the instrument, and it must not pause.
        gc.collect()
        gc.disable()
        crowd = _Crowd(calls, _noise(), options.stamp_every)
        crowd.talk_until(time.monotonic() + options.settle)
        crowd.lateness_s.clear()
        began_s = time.monotonic()
        print(json.dumps({"began_s": began_s}), flush=True)
        crowd.talk_until(began_s + options.seconds)
        print(json.dumps(asdict(crowd.hear_since(began_s))), flush=True)
    except (BenchError, OSError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 2
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
