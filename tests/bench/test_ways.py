"""Each way of looking into a directory finds everything in the engine's order, and leaves nothing behind."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from bench.ways import WAYS
from duplex.engine.spool import DONE_FLAG, wav_name
from duplex.wav import write_wav

TURN = [b"\x01\x00" * 240, b"\x02\x00" * 240]


def write(directory: Path, first: int) -> None:
    for number, pcm in enumerate(TURN, first):
        (directory / wav_name(number)).write_bytes(write_wav(pcm, rate_hz=24_000))
    (directory / DONE_FLAG).write_text("0\n", encoding="ascii")


@pytest.mark.parametrize("way", WAYS)
async def test_two_turns_are_found(way: str, tmp_path: Path) -> None:
    async with asyncio.timeout(20.0), contextlib.aclosing(WAYS[way](tmp_path)) as found:
        first = asyncio.ensure_future(anext(found))
        # The kernel tells only of what is closed once it was asked.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # Ten comes after nine, not after one.
        write(tmp_path, 9)
        assert [await first, await anext(found), await anext(found)] == [*TURN, None]
        assert os.listdir(tmp_path) == []  # noqa: PTH208 - and nothing else blocks here
        write(tmp_path, 11)
        assert [await anext(found) for _ in range(3)] == [*TURN, None]


@pytest.mark.parametrize("way", ["simplex", "duplex"])
async def test_a_file_that_is_not_whole_is_left_until_it_is(way: str, tmp_path: Path) -> None:
    whole = write_wav(TURN[0], rate_hz=24_000)
    (tmp_path / wav_name(0)).write_bytes(whole[:100])
    async with asyncio.timeout(20.0), contextlib.aclosing(WAYS[way](tmp_path)) as found:
        first = asyncio.ensure_future(anext(found))
        done, _ = await asyncio.wait([first], timeout=0.25)
        assert not done
        (tmp_path / wav_name(0)).write_bytes(whole)
        assert await first == TURN[0]
