"""Decoding in the test's own process, for tests of what is done with the result; and a look at the processes that do it
in a server."""

from collections.abc import Sequence

import psutil

from http_compat.decode import decode_sound, stack_frames
from http_compat.uploads import decode_base64, plain_pcm

__all__ = ["decoding_children", "sound_here", "stack_here"]


async def sound_here(upload: str) -> bytes:
    content = decode_base64(upload, "audio")
    pcm = plain_pcm(content)
    return decode_sound(content) if pcm is None else pcm


async def stack_here(frames: Sequence[bytes]) -> bytes:
    return stack_frames(frames)


def decoding_children(server: int | None = None) -> list[psutil.Process]:
    """Those of a process, by default of this one."""
    return [child for child in psutil.Process(server).children() if "http_compat.media_worker" in child.cmdline()]
