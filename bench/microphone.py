"""A microphone in a quiet or a noisy room: sound that is cut into frames, and the moment each sample was heard."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from bench.speech import RATE_HZ, Samples, Utterance

__all__ = ["FRAME_S", "FRAME_SAMPLES", "Microphone", "Said"]

FRAME_SAMPLES = RATE_HZ // 50
FRAME_S = FRAME_SAMPLES / RATE_HZ


@dataclass(frozen=True, slots=True)
class Said:
    """One utterance with its place in the microphone's stream, in samples since its start."""

    utterance: Utterance
    start: int

    @property
    def onset(self) -> int:
        """Where its speech begins."""
        return self.start + self.utterance.onset

    @property
    def end(self) -> int:
        """Where its speech ends."""
        return self.start + self.utterance.end


class Microphone:
    """An endless stream: a bed of room noise that repeats, or digital silence, and what is said over it."""

    def __init__(self, noise: Samples | None = None) -> None:
        self._noise = noise
        self._coming: deque[Said] = deque()
        self.position = 0
        """Samples handed out so far."""

    def say(self, utterance: Utterance, *, onset: int) -> Said:
        """Place an utterance so that its speech begins at the sample `onset`.

        Raises `ValueError` when its first sample would be in the past, or it would begin before an earlier one ends.
        """
        said = Said(utterance, onset - utterance.onset)
        free_from = self._coming[-1].start + len(self._coming[-1].utterance.samples) if self._coming else self.position
        if said.start < max(self.position, free_from):
            raise ValueError(f"an utterance cannot begin at sample {said.start}: free from {free_from}")
        self._coming.append(said)
        return said

    def next_frame(self) -> bytes:
        """The next 20 ms: 16-bit little-endian."""
        first, self.position = self.position, self.position + FRAME_SAMPLES
        frame = np.zeros(FRAME_SAMPLES)
        if self._noise is not None:
            frame += np.take(self._noise, np.arange(first, self.position), mode="wrap")
        for said in self._coming:
            begin, end = max(first, said.start), min(self.position, said.start + len(said.utterance.samples))
            if begin < end:
                frame[begin - first : end - first] += said.utterance.samples[begin - said.start : end - said.start]
        while self._coming and self._coming[0].start + len(self._coming[0].utterance.samples) <= self.position:
            self._coming.popleft()
        return np.clip(np.rint(frame * 32767), -32768, 32767).astype("<i2").tobytes()
