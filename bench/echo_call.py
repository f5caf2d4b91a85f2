"""A call without a clock: an answer is sent piece by piece, and the microphone hears its echo and somebody over it.

The far end travels as in a real call: pieces of 100 ms through the pacer, acknowledgements of what was played, and
frames of the microphone that arrive late and unevenly. An answer that is held or cut falls silent as soon as the client
was told.
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soxr

from bench.rooms import as_pcm, echo_of
from bench.speech import RATE_HZ, Samples, room_noise
from duplex.detectors import default_detector
from duplex.echo_canceller import canceller_maker
from duplex.evidence import NO_SOUND, VAD_FRAME_SAMPLES
from duplex.far_end import FarEnd
from duplex.hearing import Ear
from duplex.playout import Pacer
from duplex.vad import GateMoment, VadGate, VadSettings

__all__ = ["OUTPUT_RATE_HZ", "Call", "Defence", "Echo", "Listener", "Moment", "call"]

OUTPUT_RATE_HZ = 24_000
_PIECE_S = 0.1
_LEAD_S = 0.25
_TOLD_S = 0.03
"""Until a client that was told has stopped playing, or has begun again."""
_ACK_S = 0.2
_MOST_JITTER_S = 0.03
_PAUSE_S = 1.0
_FRAME_S = VAD_FRAME_SAMPLES / RATE_HZ
_REARM_S = 1.0


class Defence(enum.StrEnum):
    """What stands between the echo and the detector."""

    NOTHING = "nothing"
    """As for a client that says that it cancels echo, and does not."""
    BAR = "bar"
    CANCELLER = "canceller"


@dataclass(frozen=True, slots=True)
class Echo:
    """How the room gives back what is played: `delay_ms` after it was sent, at `gain_db` (below 0) beside it."""

    delay_ms: int
    gain_db: float
    wander_ms: int = 0
    """Each answer is later by another time, up to this: networks and players do not begin to the millisecond."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame of the microphone, when it arrived, and whether the next answer began."""

    near: bytes
    arrived_s: float
    begins: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """Something the gate said, in seconds of the microphone's sound at the end of the deciding frame."""

    at_s: float
    moment: GateMoment


class Call:
    """Answers one after the other, with a second between them, and what the microphone hears meanwhile."""

    def __init__(self, answers: Sequence[Samples], echo: Echo, *, noise_snr_db: float | None, seed: int) -> None:
        """`answers` are at `OUTPUT_RATE_HZ`, at the level of speech; without `noise_snr_db` the room is silent."""
        self._seed = seed
        self.starts_s: list[float] = []
        pause = np.zeros(round(_PAUSE_S * OUTPUT_RATE_HZ))
        parts = [pause]
        for answer in answers:
            self.starts_s.append(sum(map(len, parts)) / OUTPUT_RATE_HZ)
            whole = len(answer) - len(answer) % round(_PIECE_S * OUTPUT_RATE_HZ)
            parts += [answer[:whole], pause]
        self._output = np.concatenate(parts)
        self._ends_s = [at - _PAUSE_S for at in self.starts_s[1:]] + [len(self._output) / OUTPUT_RATE_HZ - _PAUSE_S]
        late_ms = echo.delay_ms + np.random.default_rng(seed).integers(0, echo.wander_ms + 1, len(answers))
        self._late_s = [float(late) / 1000 for late in late_ms]
        self.echo = echo_of(self._played(), gain_db=echo.gain_db, seed=seed)
        self.others = np.zeros_like(self.echo)
        """What else the microphone hears."""
        if noise_snr_db is not None:
            noise = room_noise(len(self.echo) / RATE_HZ + 1, snr_db=noise_snr_db, seed=seed)
            self.others += noise[: len(self.echo)]
        self._sounds = np.ones(len(self.echo), dtype=bool)
        self._late = round(echo.delay_ms * RATE_HZ / 1000)
        self.far_end: FarEnd = _Stoppable(self._sounds)
        """What is sent and acknowledged, for whoever hears the call."""

    @property
    def seconds(self) -> float:
        """How long the call is."""
        return len(self.echo) / RATE_HZ

    def say(self, samples: Samples, *, at: int) -> None:
        """Somebody speaks; the first sample is heard at the microphone's sample `at`. What does not fit is not said."""
        fits = samples[: len(self.echo) - at]
        self.others[at : at + len(fits)] += fits

    def stop(self, at_s: float) -> None:
        """Nothing more is sent."""
        self._sounds[round((at_s + _TOLD_S) * RATE_HZ) :] = False

    def go_on(self, at_s: float) -> None:
        """Send again; what would have been sent meanwhile stays unheard."""
        self._sounds[round((at_s + _TOLD_S) * RATE_HZ) :] = True

    def heard(self) -> Iterator[Heard]:
        """The microphone's frames as they arrive. Whoever hears them reads the far end of each."""
        random = np.random.default_rng(self._seed)
        coming = self._pieces()
        piece = next(coming)
        acked_s = arrived_s = 0.0
        for first in range(0, len(self.echo) - VAD_FRAME_SAMPLES + 1, VAD_FRAME_SAMPLES):
            captured_s = first / RATE_HZ + _FRAME_S
            begins = False
            while piece is not None and piece.at_s <= captured_s:
                if piece.begins:
                    self.far_end.begin()
                    begins = True
                self.far_end.sent(piece.pcm, piece.at_s)
                piece = next(coming, None)
            if captured_s - acked_s >= _ACK_S:
                acked_s = captured_s
                self.far_end.acknowledge(self._played_ms(captured_s), captured_s + random.uniform(0.0, _MOST_JITTER_S))
            arrived_s = max(arrived_s, captured_s + random.uniform(0.0, _MOST_JITTER_S))
            yield Heard(self._near(first), arrived_s, begins)

    def _near(self, first: int) -> bytes:
        frame = slice(first, first + VAD_FRAME_SAMPLES)
        sounds = self._sounds[max(0, first - self._late)]
        return as_pcm(self.others[frame] + self.echo[frame] * sounds)

    def _pieces(self) -> "Iterator[_Piece | None]":
        size = round(_PIECE_S * OUTPUT_RATE_HZ)
        for start_s, end_s in zip(self.starts_s, self._ends_s, strict=True):
            pacer = Pacer(_LEAD_S)
            first, last = round(start_s * OUTPUT_RATE_HZ), round(end_s * OUTPUT_RATE_HZ)
            for at in range(first, last, size):
                due_s = max(start_s, pacer.due_at(_PIECE_S))
                pacer.sent(_PIECE_S, due_s)
                yield _Piece(due_s, as_pcm(self._output[at : at + size]), at == first)

    def _played(self) -> Samples:
        """What the client's loudspeaker plays, at `RATE_HZ`."""
        output = np.asarray(soxr.resample(self._output, OUTPUT_RATE_HZ, RATE_HZ))
        played = np.zeros_like(output)
        for start_s, end_s, late_s in zip(self.starts_s, self._ends_s, self._late_s, strict=True):
            first, last, late = (round(seconds * RATE_HZ) for seconds in (start_s, end_s, late_s))
            played[first + late : last + late] = output[first:last]
        return played

    def _played_ms(self, now_s: float) -> int:
        begun = sum(start <= now_s for start in self.starts_s)
        if not begun:
            return 0
        return max(0, round(1000 * (now_s - self.starts_s[begun - 1] - self._late_s[begun - 1])))


@dataclass(frozen=True, slots=True)
class _Piece:
    at_s: float
    pcm: bytes
    begins: bool


class _Stoppable(FarEnd):
    """Silent while the answer is held or cut: in these calls it goes on later as if it had sounded."""

    def __init__(self, sounds: npt.NDArray[np.bool_]) -> None:
        super().__init__(OUTPUT_RATE_HZ)
        self._sounds = sounds
        self._read = 0

    def read(self, samples: int, now: float) -> bytes:
        far = super().read(samples, now)
        first, self._read = self._read, self._read + samples
        return far if self._sounds[first] else bytes(len(far))


class Listener:
    """The default detector behind one defence, and the gate that hears through it, as in a conversation."""

    def __init__(self, defence: Defence, far_end: FarEnd) -> None:
        cancels = defence is Defence.CANCELLER
        self._ear = None if defence is Defence.NOTHING else Ear(far_end, canceller_maker()() if cancels else None)
        self._settings = VadSettings()
        self._gate = VadGate(default_detector(behind_canceller=cancels), self._settings)
        self._frames = 0
        self._rearm_at_s = float("inf")
        self.heard: list[bytes] = []
        """What the gate heard."""

    def hear(self, heard: Heard) -> list[Moment]:
        """Judge one frame. An interruption that was confirmed is forgotten after a second, so that it counts again."""
        if heard.begins:
            self._gate.guard(self._settings.barge_in.guard_begin_ms)
        if heard.begins or self._frames * _FRAME_S >= self._rearm_at_s:
            self._gate.rearm()
            self._rearm_at_s = float("inf")
        alone = [(heard.near, NO_SOUND)]
        found = []
        for frame, far in alone if self._ear is None else self._ear.hear([heard.near], heard.arrived_s):
            self._frames += 1
            self.heard.append(frame)
            found += [Moment(self._frames * _FRAME_S, event.moment) for event in self._gate.push(frame, far)]
        for moment in found:
            if moment.moment is GateMoment.CONFIRM:
                self._rearm_at_s = moment.at_s + _REARM_S
            elif moment.moment is GateMoment.UNLIKELY:
                self._gate.guard(self._settings.barge_in.guard_again_ms)
        return found


def call(sounds: Call, defence: Defence) -> list[Moment]:
    """All that the gate says in a call in which it holds and cuts the answers; a second after a cut they go on."""
    said = []
    listener = Listener(defence, sounds.far_end)
    for heard in sounds.heard():
        for moment in listener.hear(heard):
            said.append(moment)
            match moment.moment:
                case GateMoment.LIKELY | GateMoment.CONFIRM:
                    sounds.stop(moment.at_s)
                case GateMoment.UNLIKELY:
                    sounds.go_on(moment.at_s)
            if moment.moment is GateMoment.CONFIRM:
                sounds.go_on(moment.at_s + _REARM_S)
    return said
