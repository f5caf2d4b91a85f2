"""What the model hears: PCM and images as files in the input directory, one prefill each.

What it has not answered is kept: a break that stuck swallows it in simplex, and in duplex a new context needs it.
"""

import asyncio
import itertools
import logging
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

from duplex.clock import Clock
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, EngineSession, Mode
from duplex.engine.context import ContextUse
from duplex.engine.limits import EngineLimits
from duplex.engine.llama_http import LlamaHttp
from duplex.engine.llama_wire import check_success, image_suffix, prefill_body
from duplex.errors import InvalidEvent
from duplex.wav import write_wav

__all__ = ["Heard", "InputFeed"]

_log = logging.getLogger(__name__)

_STEP_BYTES = 2 * ENGINE_INPUT_RATE_HZ // 10
"""100 ms: the engine's encoder pads to this, and aborts the process when the sums do not meet."""
_MAX_BYTES = 2 * ENGINE_INPUT_RATE_HZ * 30
"""30 s: the encoder's positions end there."""
_KEPT_IMAGES = {Mode.SIMPLEX: 4, Mode.DUPLEX: 1}
"""Of what is kept: a picture may have megabytes, and takes as much context as seconds of sound."""
_KEPT_SHARE = 0.25
"""Of a context in duplex: what is heard again must not fill the new one."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One prefill."""

    pcm: bytes
    image: bytes | None
    slices: int


class InputFeed:
    """The prefills of one engine, what it has not answered of them, and how much context they take."""

    def __init__(
        self, http: LlamaHttp, input_dir: Path, limits: EngineLimits, context: ContextUse, clock: Clock
    ) -> None:
        self.context = context
        self._http = http
        self._input_dir = input_dir
        self._limits = limits
        self._clock = clock
        self._heard_at = 0.0
        self._file_numbers = itertools.count()
        self._kept: deque[Heard] = deque()
        self._next_cnt = 0
        self._has_rounds = True
        self._kept_bytes = self._kept_images = 0
        self.is_evaluated = True
        """Whether all of it is in the context for certain. A prefill is only queued when it is answered."""

    @property
    def is_open(self) -> bool:
        """Whether something was prefilled since the round began."""
        return self._next_cnt > 0

    def begin(self, session: EngineSession) -> None:
        """The context is empty, and what follows is new input."""
        self._has_rounds = session.mode is Mode.SIMPLEX
        # Duplex has no rounds, and 0 would ask the engine for a new prompt if it had none.
        self._next_cnt = 0 if self._has_rounds else 1
        in_duplex_s = min(self._limits.kept_duplex_s, self.context.listening_s(_KEPT_SHARE))
        kept_s = self._limits.kept_audio_s if self._has_rounds else in_duplex_s
        self._kept_bytes, self._kept_images = int(2 * ENGINE_INPUT_RATE_HZ * kept_s), _KEPT_IMAGES[session.mode]
        self._kept.clear()
        self.is_evaluated = True
        self.context.begin(session.voice)

    async def feed(self, pcm: bytes, image: bytes | None, slices: int) -> None:
        """Prefill once: sound, sound with an image, or an image alone.

        Raises InvalidEvent when the image is no JPEG or PNG (nothing was heard) or the engine cannot read it (the
        audio was heard without it), ValueError for audio no caller of ours should send.
        """
        if not self.is_open:
            self._kept.clear()
        if len(pcm) % 2 or len(pcm) > _MAX_BYTES:
            raise ValueError(f"a prefill takes whole 16-bit samples up to 30 s, got {len(pcm)} bytes")
        heard = Heard(pcm if image and not pcm else _padded(pcm), image, slices)
        if image is not None and image_suffix(image) is None:
            raise InvalidEvent("the image is neither JPEG nor PNG", code="invalid_image", param="image")
        is_image_bad = await self._prefill(heard)
        if is_image_bad and heard.pcm:
            heard = Heard(heard.pcm, None, slices)
            await self._prefill(heard)
        if heard.pcm or not is_image_bad:
            self._keep(heard)
        if is_image_bad:
            raise InvalidEvent("the engine cannot read the image", code="invalid_image", param="image")

    def end_decode(self, fragments: int) -> None:
        """The model was asked to answer, and has said so much. In simplex the next input opens another round, until
        when the last one's is kept; in duplex whatever it says answers all that it has heard."""
        self.context.think(fragments)
        self.is_evaluated = True
        if self._has_rounds:
            self._next_cnt = 0
        elif fragments:
            self._kept.clear()

    async def settle(self) -> None:
        """Before a decode: one that comes too soon after a prefill may not wait for it."""
        settled_s = self._clock.now() - self._heard_at
        await asyncio.sleep(max(0.0, self._limits.settle_ms / 1000 - settled_s))

    def take_unanswered(self) -> list[Heard]:
        """What was heard and not answered, the newest of it, for `feed_again`."""
        return list(self._kept)

    async def feed_again(self, heard: list[Heard]) -> None:
        """Prefill `heard` once more."""
        for one in heard:
            await self._prefill(one)
            self._keep(one)

    async def _prefill(self, heard: Heard) -> bool:
        """Returns whether the engine refused the image, in which case it has heard nothing."""
        number = next(self._file_numbers)
        audio = image = None
        files: dict[Path, bytes] = {}
        if heard.pcm:
            audio = self._input_dir / f"heard_{number}.wav"
            files[audio] = write_wav(heard.pcm, rate_hz=ENGINE_INPUT_RATE_HZ)
        if heard.image is not None:
            image = self._input_dir / f"seen_{number}{image_suffix(heard.image)}"
            files[image] = heard.image
        try:
            await asyncio.to_thread(_write_files, files)
            body = prefill_body(audio=audio, image=image, slices=heard.slices, cnt=self._next_cnt)
            status, content = await self._http.post("prefill", body, limit_s=self._limits.request_timeout_s)
        finally:
            # The engine has read the files when it answers; after a failure nobody will.
            _remove_files(files)
        if image is not None and status == 500:
            _log.warning("the engine refused an image of %d bytes", len(files[image]))
            return True
        check_success("prefill", status, content)
        self._next_cnt += 1
        self._heard_at = self._clock.now()
        self.is_evaluated = False
        self.context.hear(heard.pcm, slices=0 if image is None else heard.slices)
        return False

    def _keep(self, heard: Heard) -> None:
        self._kept.append(heard)
        while sum(len(one.pcm) for one in self._kept) > self._kept_bytes:
            self._kept.popleft()
        pictured = [at for at, one in enumerate(self._kept) if one.image is not None]
        if len(pictured) > self._kept_images:
            oldest = self._kept[pictured[0]]
            if oldest.pcm:
                self._kept[pictured[0]] = replace(oldest, image=None)
            else:
                del self._kept[pictured[0]]


def _padded(pcm: bytes) -> bytes:
    return pcm.ljust(max(_STEP_BYTES, -(-len(pcm) // _STEP_BYTES) * _STEP_BYTES), b"\0")


def _write_files(files: dict[Path, bytes]) -> None:
    for path, content in files.items():
        path.write_bytes(content)


def _remove_files(files: dict[Path, bytes]) -> None:
    for path in files:
        path.unlink(missing_ok=True)
