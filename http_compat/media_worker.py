"""`python -m http_compat.media_worker MEMORY_BYTES CPU_S`: decodes what clients upload, one item after the other.

Requests come on stdin and answers go to stdout (`http_compat.media_wire`). It ends when stdin does, so it outlives the
server by no more than its item takes, and that by no more than CPU_S.

Files of strangers are read here by libraries in C. Where the system can, this process may then have no more than
MEMORY_BYTES, and can neither open a file or connection nor, unless it is root's, start another process: whatever takes
it over finds little.
"""

import contextlib
import io
import math
import sys
import time
from typing import BinaryIO

import numpy as np
import soundfile

# Loaded when a picture says how it is to be turned; that is too late here.
from PIL import Image, TiffImagePlugin  # noqa: F401

from duplex.errors import ClientError
from http_compat.decode import decode_image, decode_sound, stack_frames
from http_compat.media_wire import READY, Outcome, Task, pack_answer, read_request

try:
    import resource
except ImportError:  # Windows: the server's deadline is the only limit.
    resource = None  # type: ignore[assignment]

__all__ = ["main", "serve", "warm_up"]

_NOTHING = ("RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_CORE")
"""No new files, connections and processes, and no image of this memory on disk when it dies."""


def main() -> None:
    """Serve until stdin ends."""
    memory_bytes, cpu_s = int(sys.argv[1]), int(sys.argv[2])
    warm_up()
    for name, most in (("RLIMIT_AS", memory_bytes), *((name, 0) for name in _NOTHING)):
        _limit(name, most)
    serve(sys.stdin.buffer, sys.stdout.buffer, cpu_s)


def serve(requests: BinaryIO, answers: BinaryIO, cpu_s: int) -> None:
    """Say that it is ready, then answer each request; one may take `cpu_s` seconds of CPU."""
    answers.write(READY)
    answers.flush()
    while (request := read_request(requests.read)) is not None:
        # Of seconds of CPU, which is all the system counts, some are used already.
        _limit("RLIMIT_CPU", math.ceil(time.process_time()) + cpu_s, for_good=False)
        answers.write(_answer(*request))
        answers.flush()


def warm_up() -> None:
    """Decode one of each kind: libraries load parts of themselves when these are first used."""
    sound = io.BytesIO()
    soundfile.write(sound, np.zeros((480, 2)), 48_000, format="FLAC")
    decode_sound(sound.getvalue())
    for container in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        picture = io.BytesIO()
        Image.new("P", (2, 2)).convert("RGB" if container == "JPEG" else "P").save(picture, container)
        decode_image(picture.getvalue())
    stack_frames([picture.getvalue()] * 2)


def _answer(task: Task, parts: list[bytes]) -> bytes:
    try:
        result = _done(task, parts)
        return pack_answer(Outcome.UNCHANGED) if result is parts[0] else pack_answer(Outcome.MADE, result)
    except ClientError as error:
        return pack_answer(Outcome.REFUSED, str(error).encode())
    except MemoryError:
        return pack_answer(Outcome.TOO_BIG)


def _done(task: Task, parts: list[bytes]) -> bytes:
    match task:
        case Task.SOUND:
            return decode_sound(parts[0])
        case Task.PICTURE:
            return decode_image(parts[0])
        case Task.STACK:
            return stack_frames(parts)


def _limit(name: str, most: int, *, for_good: bool = True) -> None:
    """Set a limit of this process, where the system has it and holds it; macOS has none for memory."""
    number = getattr(resource, name, None)
    if number is None:
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(number, (most, most if for_good else resource.getrlimit(number)[1]))


if __name__ == "__main__":
    # The server has gone in the middle of an answer: nobody is left to be told.
    with contextlib.suppress(BrokenPipeError):
        main()
