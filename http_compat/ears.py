"""What one session hears and sees: uploads in, prefills out, in the order of their arrival."""

from collections.abc import Awaitable, Callable, Sequence

from duplex.clock import Clock
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, Engine, Mode
from duplex.engine.context import needs_new_context
from duplex.errors import InvalidEvent, OmniDuplexError
from http_compat.choice import SessionChoice
from http_compat.forced_listening import ForcedListening
from http_compat.frames import FrameStacks, KeptFrame
from http_compat.intake import Intake
from http_compat.work import Heard, Upload

__all__ = ["Ears", "StackFrames"]

StackFrames = Callable[[Sequence[bytes]], Awaitable[bytes]]
"""Makes one picture of up to four."""

_HIGH_QUALITY_SLICES = 2
"""What the engine's own high-quality mode sets."""

_SILENT_AFTER_S = 10.0
"""What was heard in so long, and not answered, will not be. Callers do not say whether anybody speaks."""

_SECOND = bytes(2 * ENGINE_INPUT_RATE_HZ)
_TENTH = bytes(2 * ENGINE_INPUT_RATE_HZ // 10)


class Ears:
    """Feeds one engine. Its calls are made one at a time."""

    def __init__(self, engine: Engine, choice: SessionChoice, clock: Clock, stack: StackFrames) -> None:
        self._engine = engine
        self._choice = choice
        self._clock = clock
        self._stack = stack
        self._intake = Intake(choice.mode)
        self._frames = FrameStacks()
        self.forced_listening = ForcedListening()
        self.unanswered = 0
        """Uploads since the engine was last asked for an answer."""
        self.unheeded_s = 0.0
        """Seconds of sound heard since then."""
        self._unanswered_s = 0.0
        self.is_marked = False
        """Whether the last upload of this round was said to be its last."""
        self.marks_last = False
        """Whether this caller says so at all."""

    @property
    def pictures_dropped(self) -> int:
        """Pictures of the high-refresh mode that found no room."""
        return self._frames.dropped

    def withdraw(self) -> None:
        """What was said will not be answered. What the engine has heard of it stays heard; in duplex nothing is over
        for the user's words, and what waits for more is still to be heard."""
        if self._choice.mode is Mode.SIMPLEX:
            self._intake.flush()
        self.start_round()

    def start_round(self) -> None:
        """The engine is asked for an answer: what comes now belongs to the next one."""
        self.unanswered = 0
        self.unheeded_s = 0.0
        self.is_marked = False

    def answered(self) -> None:
        """The engine has said all it had to say to what was heard."""
        self._unanswered_s = 0.0

    async def renew_context(self, *, is_answering: bool) -> bool:
        """Let the engine go on in an empty context before it makes room in a full one, and say whether it does."""
        is_silent = self._unanswered_s == 0.0 or self._unanswered_s >= _SILENT_AFTER_S
        if not needs_new_context(self._engine.context_fill, is_answering=is_answering, is_silent=is_silent):
            return False
        return await self._engine.renew()

    async def hear(self, upload: Upload) -> Heard:
        """Let the engine hear and see.

        Raises `InvalidEvent` for a picture that cannot be used; the sound that came with it was heard.
        """
        number, self.unanswered = self.unanswered, self.unanswered + 1
        self.is_marked = upload.is_last
        self.marks_last = self.marks_last or upload.marks_last or upload.is_last
        started_s = self._clock.now()
        is_stacked, kept = await self._take(upload)
        engine_ms = 0.0 if kept else (self._clock.now() - started_s) * 1000
        return Heard(number, engine_ms, is_stacked, kept)

    async def hear_rest(self) -> None:
        """Let the engine hear what waited for more, and in simplex a moment of silence when there was nothing: its
        round must be opened."""
        rest = self._intake.flush()
        if not rest and self._choice.mode is Mode.SIMPLEX and not self.unanswered:
            rest = _TENTH
        if rest:
            await self._prefill(rest)

    async def hear_silence(self) -> None:
        """Let the engine hear a second of silence: the caller says nothing while it waits."""
        await self._prefill(self._intake.flush() or _SECOND)

    async def _take(self, upload: Upload) -> tuple[bool, KeptFrame | None]:
        """Whether it went the way of the high-refresh mode, and whether it waits there."""
        choice, image, audio_id = self._choice, upload.image, upload.audio_id
        slices = _HIGH_QUALITY_SLICES if choice.high_quality else 1
        if audio_id is None or not (choice.high_fps and choice.vision):
            await self._feed(upload, image, slices)
            return False, None
        if upload.pcm is not None:
            stack, refused = await self._stacked(self._frames.take_audio(audio_id))
            await self._feed(upload, stack, 1)
            if image is not None:
                await self._engine.prefill(b"", image=image)
            if refused is not None:
                raise refused
        elif image is not None:
            taken = self._frames.take_image(audio_id, upload.frame_index, image)
            if isinstance(taken, KeptFrame):
                return True, taken
            await self._feed(upload, image, slices)
        return True, None

    async def _stacked(self, frames: Sequence[bytes]) -> tuple[bytes | None, InvalidEvent | None]:
        """One picture of what was kept, or why there is none: the sound must be heard all the same."""
        if not frames:
            return None, None
        try:
            return await self._stack(frames), None
        except OmniDuplexError as error:
            return None, InvalidEvent(str(error), code="invalid_image", param="image")

    async def _feed(self, upload: Upload, image: bytes | None, slices: int) -> None:
        pcm = upload.pcm or b""
        self.forced_listening.hear(pcm)
        pieces = self._intake.push(pcm)
        if upload.is_last and (rest := self._intake.flush()):
            pieces.append(rest)
        refused: InvalidEvent | None = None
        if image is not None:
            first = pieces.pop(0) if pieces else b""
            try:
                await self._prefill(first, image=image, slices=slices)
            except InvalidEvent as error:
                refused = error
        for piece in pieces:
            await self._prefill(piece)
        if refused is not None:
            raise refused

    async def _prefill(self, pcm: bytes, *, image: bytes | None = None, slices: int = 1) -> None:
        self.unheeded_s += len(pcm) / len(_SECOND)
        self._unanswered_s += len(pcm) / len(_SECOND)
        await self._engine.prefill(pcm, image=image, slices=slices)
