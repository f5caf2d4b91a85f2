"""What the model is given to hear and to see, as prefills."""

from duplex.audio import SAMPLE_BYTES
from duplex.clock import ms_to_samples
from duplex.effects import Decode, Effect, Prefill, Say
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, Mode
from duplex.hearing import Chunker
from duplex.messages import HearClip, ShowPicture, Warned
from duplex.pictures import MOST_PICTURES_WAITING, Pictures
from duplex.refusals import nothing_to_commit
from duplex.resample import Quality, StreamResampler

__all__ = ["CHUNK_SAMPLES", "Senses"]

CHUNK_SAMPLES = ENGINE_INPUT_RATE_HZ
"""The model's beat: it was trained to hear, and to decide, once a second."""


class Senses:
    """Takes sound from the microphone's chunks; a picture that waits goes with the sound that comes next.

    A duplex model sees one picture a second, so only the newest waits.
    """

    def __init__(self, chunks: Chunker, mode: Mode) -> None:
        self._chunks = chunks
        self._mode = mode
        self._pictures = Pictures(1 if mode is Mode.DUPLEX else MOST_PICTURES_WAITING)

    def perceive(self, request: HearClip | ShowPicture, rate_hz: int) -> list[Effect]:
        """What does not come from the microphone: a recording at once, a picture with the next sound."""
        if isinstance(request, HearClip):
            return self.beats(self._clip(request.pcm, rate_hz))
        self._pictures.show(request.picture)
        return []

    def whole(self) -> list[Prefill]:
        """Every whole chunk that waits."""
        return self._with_pictures(self._chunks.take_whole())

    def early(self, speech_end: int) -> list[Prefill]:
        """See `Chunker.take_early`."""
        return self._with_pictures(self._chunks.take_early(speech_end))

    def rest(self, speech_end: int | None = None) -> list[Prefill]:
        """See `Chunker.take_rest`."""
        return self._with_pictures(self._chunks.take_rest(speech_end))

    def commit(self) -> list[Effect]:
        """What was said in push to talk. Raises `InvalidEvent` when that is less than 100 ms."""
        if self._chunks.waiting < ms_to_samples(100, ENGINE_INPUT_RATE_HZ):
            raise nothing_to_commit()
        lost = [Say(Warned("input_dropped", "The oldest input was dropped."))] if self._chunks.lost else []
        return [*lost, *self.rest()]

    def latest(self) -> list[Prefill]:
        """The last chunk of the microphone, speech or not; silence when it has sent nothing."""
        self._chunks.rewind(CHUNK_SAMPLES)
        return self.rest() or self._with_pictures([bytes(CHUNK_SAMPLES * SAMPLE_BYTES)])

    def beats(self, prefills: list[Prefill]) -> list[Effect]:
        """With a thought of a duplex model after each, unless it is made to listen."""
        thinks = self._mode is Mode.DUPLEX and not self._chunks.held
        return [effect for prefill in prefills for effect in ((prefill, Decode()) if thinks else (prefill,))]

    def pictures(self) -> list[Prefill]:
        """The pictures that wait, without sound."""
        return [Prefill(b"", picture) for picture in self._pictures.take()]

    def _clip(self, pcm: bytes, rate_hz: int) -> list[Prefill]:
        """A recording of its own, in chunks."""
        filters = StreamResampler(rate_hz, ENGINE_INPUT_RATE_HZ, Quality.CLEAN)
        sound = filters.push(pcm) + filters.flush()
        size = CHUNK_SAMPLES * SAMPLE_BYTES
        return self._with_pictures([sound[at : at + size] for at in range(0, len(sound), size)])

    def _with_pictures(self, chunks: list[bytes]) -> list[Prefill]:
        if not chunks:
            return []
        *alone, last = [*self.pictures()] or [Prefill(b"")]
        return [*alone, Prefill(chunks[0], last.image), *map(Prefill, chunks[1:])]
