"""The microphone's way in: from the client's PCM to speech decisions and to what the model hears."""

import math
from collections.abc import Iterable

from duplex.audio import SAMPLE_BYTES, Framer, PcmFormat, Recording, whole_samples
from duplex.conversation_settings import ConversationSettings
from duplex.echo_canceller import ECHO_RATE_HZ, EchoCanceller
from duplex.engine.base import ENGINE_INPUT_RATE_HZ
from duplex.evidence import NO_SOUND, VAD_FRAME_BYTES, VAD_RATE_HZ, SpeechDetector
from duplex.far_end import FarEnd
from duplex.resample import Quality, StreamResampler
from duplex.vad import GateEvent, VadGate

__all__ = ["Chunker", "Ear", "Microphone", "microphone"]

assert VAD_RATE_HZ == ENGINE_INPUT_RATE_HZ == ECHO_RATE_HZ, "one sample number must mean one moment on both paths"


_TENTH = ENGINE_INPUT_RATE_HZ // 10


class Microphone:
    """Two paths from one stream: a fast one to the gate, a clean one into the recording.

    The clean filter lags by up to 40 ms; waiting for it would make every interruption that much slower. Both paths
    count the same 16 kHz samples, so a position found by the gate is valid in the recording.
    """

    def __init__(self, rate_hz: int, gate: VadGate, keep_samples: int, ear: "Ear | None" = None) -> None:
        """`ear` knows the answer's echo; None when there is none to expect."""
        self.gate = gate
        self._ear = ear
        self.recording = Recording(keep_samples)
        self._framer = Framer(VAD_FRAME_BYTES)
        self._tune(rate_hz)

    @property
    def rate_hz(self) -> int:
        """Rate of the client's PCM."""
        return self._format.rate_hz

    def configure(self, settings: ConversationSettings) -> None:
        """Use other settings from the next piece on. Raises `InvalidAudio`, changing nothing, for an unknown rate."""
        self.set_rate(settings.input_rate_hz)
        self.gate.configure(settings.vad)
        self.recording.limit = settings.kept_s * ENGINE_INPUT_RATE_HZ

    def onset_at(self, now: float) -> float:
        """When the speech now open, or the last one, began to arrive: in seconds of the clock whose time is `now`."""
        return now - (self.recording.end - self.gate.started_at) / ENGINE_INPUT_RATE_HZ

    def set_rate(self, rate_hz: int) -> None:
        """Expect another rate from the next piece on. Raises `InvalidAudio`, changing nothing, if unsupported."""
        if rate_hz == self.rate_hz:
            return
        PcmFormat(rate_hz)
        rest = self._clean.flush()
        self._framer.push(self._fast.flush())
        if not self._records_cleaned:
            self.recording.append(rest)
        self._tune(rate_hz)

    def push(self, pcm: bytes, now: float) -> Iterable[GateEvent]:
        """Take whole samples at `rate_hz` that arrived at `now`, in seconds.

        Raises `InvalidAudio`, using nothing, for half a sample. The frames are judged as the events are taken: an
        utterance may begin and end in one piece, and each event finds the gate as it was then.
        """
        whole_samples(pcm)
        frames = self._framer.push(self._fast.push(pcm))
        heard = [(frame, NO_SOUND) for frame in frames] if self._ear is None else self._ear.hear(frames, now)
        clean = self._clean.push(pcm)
        self.recording.append(b"".join(frame for frame, _ in heard) if self._records_cleaned else clean)
        if len(heard) == 1:
            return self.gate.push(*heard[0])
        return (event for frame, far in heard for event in self.gate.push(frame, far))

    @property
    def _records_cleaned(self) -> bool:
        return self._ear is not None and self._ear.for_engine

    def _tune(self, rate_hz: int) -> None:
        self._format = PcmFormat(rate_hz)
        self._fast = StreamResampler(rate_hz, VAD_RATE_HZ, Quality.FAST)
        self._clean = StreamResampler(rate_hz, ENGINE_INPUT_RATE_HZ, Quality.CLEAN)


class Ear:
    """Hears frames of the microphone beside what the client plays, and takes that out of them if it can."""

    def __init__(self, far_end: FarEnd, canceller: EchoCanceller | None = None, *, for_engine: bool = False) -> None:
        """`for_engine`: the model hears what is left; an echo harms it more than the fast path's aliasing."""
        self._far_end = far_end
        self._canceller = canceller
        self.for_engine = for_engine and canceller is not None

    def hear(self, frames: list[bytes], now: float) -> list[tuple[bytes, bytes]]:
        """The frames that arrived at `now`, each with what played meanwhile."""
        if not frames:
            return []
        near = b"".join(frames)
        far = self._far_end.read(len(near) // SAMPLE_BYTES, now)
        if self._canceller is not None:
            near = self._canceller.clean(near, far)
        pieces = [slice(at, at + VAD_FRAME_BYTES) for at in range(0, len(near), VAD_FRAME_BYTES)]
        return [(near[piece], far[piece]) for piece in pieces]


def microphone(
    settings: ConversationSettings, detector: SpeechDetector, far_end: FarEnd, canceller: EchoCanceller | None
) -> Microphone:
    """The microphone of one conversation. What the client cancels itself is not looked for."""
    ear = Ear(far_end, canceller, for_engine=settings.engine_hears_cleaned)
    return Microphone(
        settings.input_rate_hz,
        VadGate(detector, settings.vad),
        settings.kept_s * ENGINE_INPUT_RATE_HZ,
        None if settings.client_cancels_echo else ear,
    )


class Chunker:
    """Walks through a recording in chunks, each sample once unless it is told to go back.

    While it is held, the model is to hear the chunks and not to think about them.
    """

    def __init__(self, recording: Recording, chunk_samples: int) -> None:
        self._recording = recording
        self._chunk_samples = chunk_samples
        self._next = 0
        self._held_until: float = 0
        self._early_end: int | None = None

    @property
    def held(self) -> bool:
        """Is the model made to listen?"""
        return self._next < self._held_until

    def hold(self, samples: int | None) -> None:
        """Make the model listen until `release`, or for so many samples from now."""
        self._held_until = math.inf if samples is None else self._recording.end + samples

    def release(self) -> None:
        """Let the model think again."""
        self._held_until = 0

    @property
    def waiting(self) -> int:
        """Samples recorded and not yet taken."""
        return self._recording.end - max(self._next, self._recording.start)

    @property
    def lost(self) -> int:
        """Samples that left the recording before they were taken."""
        return max(0, self._recording.start - self._next)

    def seek(self, sample: int) -> None:
        """Continue at `sample`."""
        self._next = max(0, sample)

    def rewind(self, samples: int) -> None:
        """Continue so many samples before the end of what is recorded."""
        self.seek(self._recording.end - samples)

    def skip_to(self, sample: int) -> None:
        """Continue at `sample`, but never take a sample twice."""
        self._next = max(self._next, sample)

    def discard(self) -> None:
        """Continue with what is recorded from now on."""
        self._next = self._recording.end

    def take_whole(self) -> list[bytes]:
        """Every whole chunk that waits."""
        if self._recording.end - self._next < self._chunk_samples:
            return []
        chunks = []
        while self.waiting >= self._chunk_samples:
            chunks.append(self._take(self._chunk_samples))
        return chunks

    def take_early(self, speech_end: int) -> list[bytes]:
        """What waits at a pause after `speech_end`, in whole tenths of a second: an engine pads what is less."""
        self._early_end = speech_end
        chunks = self.take_whole()
        tenths = self.waiting // _TENTH
        return [*chunks, self._take(tenths * _TENTH)] if tenths else chunks

    def take_rest(self, speech_end: int | None = None) -> list[bytes]:
        """Everything that waits, the last chunk as short as it is.

        Nothing when it was taken early and the speech ended there: what came since is silence, and is passed over.
        """
        if speech_end is not None and speech_end == self._early_end:
            self.discard()
        chunks = self.take_whole()
        if self.waiting:
            chunks.append(self._take(self.waiting))
        return chunks

    def _take(self, samples: int) -> bytes:
        start = max(self._next, self._recording.start)
        self._next = start + samples
        return self._recording.read(start, self._next)
