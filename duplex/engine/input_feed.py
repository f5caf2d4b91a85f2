"""What the model hears: PCM and images as files in the input directory, one prefill each."""

import asyncio
import itertools
import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from duplex.engine.base import ENGINE_INPUT_RATE_HZ
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


@dataclass(frozen=True, slots=True)
class Heard:
    """One prefill."""

    pcm: bytes
    image: bytes | None
    slices: int


class InputFeed:
    """The prefills of one engine, and what the open simplex round has heard so far."""

    def __init__(self, http: LlamaHttp, input_dir: Path, limits: EngineLimits) -> None:
        self._http = http
        self._input_dir = input_dir
        self._limits = limits
        self._file_numbers = itertools.count()
        self._kept: deque[Heard] = deque()
        self._next_cnt = 0
        self._has_rounds = True

    @property
    def is_open(self) -> bool:
        """Whether something was prefilled since `open_round`."""
        return self._next_cnt > 0

    def open_round(self, *, first_cnt: int = 0) -> None:
        """What follows is new input. `first_cnt` 0 says so to the engine, as simplex needs, and keeps what is heard."""
        self._next_cnt = first_cnt
        self._has_rounds = first_cnt == 0
        self._kept.clear()

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

    def end_round(self) -> None:
        """The round was asked to answer: the next input opens another. What it heard is kept until then."""
        self._next_cnt = 0

    def take_round(self) -> list[Heard]:
        """What the last round heard, for `feed_again`."""
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
        return False

    def _keep(self, heard: Heard) -> None:
        if not self._has_rounds:
            return
        self._kept.append(heard)
        while sum(len(one.pcm) for one in self._kept) > self._kept_bytes:
            self._kept.popleft()

    @property
    def _kept_bytes(self) -> int:
        return int(2 * ENGINE_INPUT_RATE_HZ * self._limits.kept_audio_s)


def _padded(pcm: bytes) -> bytes:
    return pcm.ljust(max(_STEP_BYTES, -(-len(pcm) // _STEP_BYTES) * _STEP_BYTES), b"\0")


def _write_files(files: dict[Path, bytes]) -> None:
    for path, content in files.items():
        path.write_bytes(content)


def _remove_files(files: dict[Path, bytes]) -> None:
    for path in files:
        path.unlink(missing_ok=True)
