"""Does a picture hold anybody up? The smallest request there is, asked without a pause, with and without pictures."""

import asyncio
import base64
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from PIL import Image

from bench.figures import Goal, Row, percentile
from bench.http_call import HttpCall, http_call
from bench.http_client import HttpClient, connected
from bench.rig import Rig
from duplex.engine.base import Mode

__all__ = ["HeldUp", "http_pictures", "noisy_jpeg", "rows"]

_WIDTH, _HEIGHT = 640, 480
_QUALITY = 88
_QUIET_S = 0.02
"""Between two pictures, about as long as one of them takes."""


@dataclass(frozen=True, slots=True)
class HeldUp:
    """Milliseconds from sending a request to its answer, by what they were sent beside."""

    quiet_ms: list[list[float]] = field(default_factory=list)
    """Beside nothing, for about as long as a picture takes."""
    busy_ms: list[list[float]] = field(default_factory=list)
    """Beside one picture."""
    pictures_ms: list[float] = field(default_factory=list)

    def longest_ms(self, asked_ms: Sequence[Sequence[float]]) -> list[float]:
        """Of each of them the request that took longest, beyond the median of the quiet ones."""
        usual_ms = percentile([took_ms for one in self.quiet_ms for took_ms in one], 0.5)
        return [max(one) - usual_ms for one in asked_ms]


async def http_pictures(rig: Rig, count: int) -> HeldUp:
    """Send `count` pictures, each with a second of sound, and look at `/health` on another connection all the time."""
    held_up = HeldUp()
    image = base64.b64encode(noisy_jpeg()).decode("ascii")
    async with http_call(rig) as call, connected(rig.server.port) as other:
        await call.begin(Mode.DUPLEX, vision=True)
        await call.show(image)
        for _ in range(count):
            held_up.quiet_ms.append(await _ask_beside(other, asyncio.sleep(_QUIET_S)))
            held_up.busy_ms.append(await _ask_beside(other, _show(call, image, held_up.pictures_ms)))
    return held_up


def noisy_jpeg() -> bytes:
    """A picture of `_WIDTH` x `_HEIGHT` that is hard to compress, as a camera makes it in a dark room: about 200 KB."""
    noise = np.random.default_rng(0).normal(128.0, 40.0, (_HEIGHT, _WIDTH, 3))
    content = BytesIO()
    Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()


async def _show(call: HttpCall, image: str, took_ms: list[float]) -> None:
    began_s = time.monotonic()
    answer = await call.show(image)
    took_ms.append(1000 * (answer.at_s - began_s))


async def _ask_beside(client: HttpClient, work: Coroutine[object, object, None]) -> list[float]:
    """Ask again and again until `work` is done."""
    took_ms = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        while not task.done():
            began_s = time.monotonic()
            answer = await client.get("/health")
            took_ms.append(1000 * (answer.at_s - began_s))
    return took_ms


def rows(found: HeldUp) -> Iterator[Row]:
    """The lines of the table."""
    held = found.longest_ms(found.busy_ms)
    yield Row("HTTP: the longest wait beside a picture", "ms", held, (Goal(0.5, 5.0),), digits=2)
    yield Row("  beside nothing", "ms", found.longest_ms(found.quiet_ms), digits=2)
    yield Row("HTTP: a picture and a second of sound", "ms", found.pictures_ms)
