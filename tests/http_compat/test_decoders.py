"""Uploads that are decoded by real processes, some of which do not live to tell."""

import asyncio
import base64
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from PIL import Image

from duplex.errors import EngineBusy, InvalidAudio, InvalidEvent
from duplex.wav import write_wav
from http_compat import decoders as decoders_module
from http_compat.decode import decode_image, decode_sound, stack_frames
from http_compat.decoders import DecodeLimits, Decoders
from http_compat.media_wire import READY, Outcome, Task, pack_answer, pack_request
from tests.http_compat.decoding_here import decoding_children

ROOT = Path(__file__).parents[2]


def upload(content: bytes) -> str:
    return base64.b64encode(content).decode()


def sound(container: str, subtype: str, rate_hz: int = 24_000) -> bytes:
    content = BytesIO()
    soundfile.write(content, np.sin(np.arange(rate_hz) / 20) / 2, rate_hz, format=container, subtype=subtype)
    return content.getvalue()


def picture(container: str, mode: str = "RGB", **options: object) -> bytes:
    content = BytesIO()
    pixels = np.arange(48 * 32 * 3, dtype=np.uint32).reshape(32, 48, 3) % 251
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(content, container, **options)
    return content.getvalue()


def bomb() -> bytes:
    """Silence of the longest and widest kind: 100 kB, and seconds of work for whoever decodes it."""
    content = BytesIO()
    with soundfile.SoundFile(content, "w", 384_000, 8, "PCM_16", format="FLAC", closefd=False) as file:
        for _ in range(30):
            file.write(np.zeros((384_000, 8), np.int16))
    return content.getvalue()


FLAC = sound("FLAC", "PCM_16")
PNG = picture("PNG", "P")
TURNED = Image.Exif()
TURNED[0x0112] = 6
BOMB = bomb()


@asynccontextmanager
async def decoding(**limits: float) -> AsyncIterator[Decoders]:
    decoders = Decoders(DecodeLimits(**limits))  # type: ignore[arg-type]
    async with decoders.running():
        yield decoders
    assert decoding_children() == [], "nothing is left"


async def test_every_kind_is_decoded_there_as_here() -> None:
    """Also what a library would load when it is first used: there is nothing to load it from any more."""
    async with decoding(processes=1) as decoders:
        for container, subtype in [
            *(("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
            *(("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("WAVEX", "FLOAT"), ("AIFF", "PCM_16"), ("CAF", "ALAC_16")),
        ]:
            content = sound(container, subtype)
            assert await decoders.sound("me", upload(content)) == decode_sound(content)
        pictures = [picture("JPEG"), picture("JPEG", "CMYK"), picture("JPEG", exif=TURNED), picture("JPEG", "L")]
        pictures += [picture("PNG", mode) for mode in ("RGB", "P", "RGBA", "LA", "1", "I;16")]
        pictures += [picture("WEBP"), picture("WEBP", "RGBA", exif=TURNED), picture("GIF"), picture("BMP")]
        for content in pictures:
            assert await decoders.picture("me", upload(content)) == decode_image(content)
        for count in range(1, 5):
            assert await decoders.stack(pictures[:count]) == stack_frames(pictures[:count])
        assert len(decoding_children()) == 1


async def test_plain_pcm_needs_no_process() -> None:
    async with decoding() as decoders:
        pcm = np.arange(1600, dtype="<i2").tobytes()
        assert await decoders.sound("me", upload(write_wav(pcm, rate_hz=16_000))) == pcm
        assert decoding_children() == []


async def test_what_is_wrong_is_said_in_the_decoders_words_and_the_process_goes_on() -> None:
    async with decoding(processes=1) as decoders:
        await decoders.sound("me", upload(FLAC))
        before = decoding_children()
        with pytest.raises(InvalidAudio, match="damaged or in an unknown format") as refused:
            await decoders.sound("me", upload(b"fLaC" + bytes(100)))
        assert refused.value.param == "audio"
        with pytest.raises(InvalidEvent, match="neither JPEG, PNG, WebP, GIF nor BMP") as refused_image:
            await decoders.picture("me", upload(b"no picture"))
        assert refused_image.value.code == "invalid_image"
        with pytest.raises(InvalidEvent, match="the image is damaged"):
            await decoders.stack([picture("JPEG"), picture("JPEG")[:400]])
        assert decoding_children() == before


async def test_what_takes_too_long_is_refused_and_what_comes_next_is_decoded() -> None:
    async with decoding(processes=1, item_s=0.5) as decoders:
        bombed = asyncio.create_task(decoders.sound("them", upload(BOMB)))
        with pytest.raises(InvalidAudio, match=r"took longer than 0\.5 s to decode"):
            await bombed
        assert await decoders.sound("me", upload(FLAC)) == decode_sound(FLAC)


async def test_what_takes_too_much_memory_is_refused_and_what_comes_next_is_decoded() -> None:
    if sys.platform != "linux":
        pytest.skip("the system has no limit of a process's memory that it keeps")
    large = BytesIO()
    Image.new("P", (8000, 4000)).save(large, "PNG")
    async with decoding(processes=1, memory_bytes=256 * 2**20) as decoders:
        with pytest.raises(InvalidEvent, match="the image takes too much memory to decode"):
            await decoders.picture("them", upload(large.getvalue()))
        assert await decoders.picture("me", upload(PNG)) == decode_image(PNG)


async def test_one_that_dies_of_its_item_costs_that_item_alone() -> None:
    async with decoding(processes=1, item_s=60.0) as decoders:
        await decoders.sound("me", upload(FLAC))
        (child,) = decoding_children()
        child.suspend()
        killed = asyncio.create_task(decoders.picture("them", upload(PNG)))
        waits = asyncio.create_task(decoders.picture("me", upload(PNG)))
        await until(lambda: decoders.items == 2)
        child.kill()
        with pytest.raises(InvalidEvent, match="the image cannot be decoded: the process that tried to died"):
            await killed
        assert await waits == decode_image(PNG)


async def test_one_that_died_while_it_had_nothing_to_do_costs_nothing() -> None:
    async with decoding(processes=1) as decoders:
        await decoders.sound("me", upload(FLAC))
        (child,) = decoding_children()
        child.kill()
        await until(lambda: not next(iter(decoders._workers)).is_idle)
        assert await decoders.sound("me", upload(FLAC)) == decode_sound(FLAC)


async def until(is_true: Callable[[], bool]) -> None:
    """There is no event for what is looked at from outside."""
    while not is_true():  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("answer", "then"),
    [
        pytest.param(b"\x63" + bytes(4), "wait", id="no outcome"),
        pytest.param(pack_answer(Outcome.MADE)[:1] + b"\xff\xff\xff\xff", "wait", id="more than there is memory for"),
        pytest.param(pack_answer(Outcome.MADE, b"pcm")[:-1], "end", id="less than it says"),
    ],
)
async def test_a_process_that_was_taken_over_is_not_believed(
    answer: bytes, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"""
import sys
from http_compat.media_wire import READY, read_request
requests, answers = sys.stdin.buffer, sys.stdout.buffer
answers.write(READY)
answers.flush()
read_request(requests.read)
answers.write({answer!r})
answers.flush()
{then!r} == "end" or requests.read()
"""
    monkeypatch.setattr(decoders_module, "_PROGRAM", ("-c", script))
    async with decoding(processes=1) as decoders:
        with pytest.raises(InvalidAudio, match="the process that tried to died"):
            await decoders.sound("me", upload(FLAC))


async def test_when_none_can_be_started_the_caller_may_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with decoding() as decoders:
        monkeypatch.setattr(decoders_module, "_PROGRAM", ("-c", "raise SystemExit(1)"))
        with pytest.raises(EngineBusy, match="No process for decoding could be started"):
            await decoders.sound("me", upload(FLAC))
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(EngineBusy, match="No process for decoding could be started"):
            await decoders.sound("me", upload(FLAC))
        monkeypatch.undo()
        assert await decoders.sound("me", upload(FLAC)) == decode_sound(FLAC)


async def test_more_than_may_wait_are_refused_and_nobody_waits_for_anothers_many() -> None:
    async with decoding(processes=2, items=5, item_s=60.0) as decoders, asyncio.TaskGroup() as group:
        done: list[str] = []

        async def ask(owner: str) -> None:
            await decoders.picture(owner, upload(PNG))
            done.append(owner)

        await asyncio.gather(ask("one"), ask("another"))
        for child in decoding_children():
            child.suspend()
        for number in range(4):
            group.create_task(ask("greedy"))
            await until(lambda number=number: decoders.items > number)  # type: ignore[misc]
        (busy,) = [worker._process.pid for worker in decoders._workers if not worker.is_idle]
        modest = group.create_task(ask("modest"))
        await until(lambda: decoders.items == 5)
        with pytest.raises(EngineBusy, match="5 uploads wait to be decoded") as refused:
            await decoders.picture("late", upload(PNG))
        assert refused.value.retry_after_s
        for child in decoding_children():
            if child.pid != busy:
                child.resume()
        await modest
        assert done[2:] == ["modest"]
        psutil.Process(busy).resume()
    assert done[3:] == ["greedy"] * 4
    assert "greedy" not in decoders._turns, "nothing is kept of who was here"


async def test_a_caller_that_leaves_takes_its_process_along() -> None:
    async with decoding(processes=1, item_s=60.0) as decoders:
        await decoders.sound("me", upload(FLAC))
        (child,) = decoding_children()
        child.suspend()
        left = asyncio.create_task(decoders.sound("me", upload(FLAC)))
        await until(lambda: decoders.items == 1)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert await decoders.sound("me", upload(FLAC)) == decode_sound(FLAC)
        assert child not in decoding_children()


async def test_what_still_decodes_at_the_end_ends() -> None:
    async with decoding(processes=1, item_s=60.0) as decoders:
        await decoders.sound("me", upload(FLAC))
        (child,) = decoding_children()
        child.suspend()
        lost = asyncio.create_task(decoders.sound("me", upload(FLAC)))
        await until(lambda: decoders.items == 1)
    with pytest.raises(InvalidAudio):
        await lost


async def test_it_knows_nothing_and_may_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_DUPLEX_API_KEY", "secret")
    monkeypatch.setenv("ANYTHING_ELSE", "secret")
    async with decoding(processes=1) as decoders:
        await decoders.sound("me", upload(FLAC))
        (child,) = decoding_children()
        assert "secret" not in child.environ().values()
        if sys.platform == "linux":
            limits = {name: child.rlimit(getattr(psutil, f"RLIMIT_{name}"))[1] for name in ("AS", "NOFILE", "NPROC")}
            assert limits == {"AS": 2**30, "NOFILE": 0, "NPROC": 0}
            assert child.num_fds() == 3


LATE_IN_A_SECOND = """
import time
from http_compat import media_worker
serve = media_worker.serve
def serve_late(*arguments):
    while time.process_time() % 1 < 0.9:
        pass
    serve(*arguments)
media_worker.serve = serve_late
media_worker.main()
"""
"""A decoder. The system counts whole seconds of CPU, and in a whole one a quick machine is done with any item."""


@pytest.mark.skipif(sys.platform == "win32", reason="the system has no such limit")
def test_an_item_has_so_much_of_the_processor_even_when_nobody_watches() -> None:
    worker = [sys.executable, "-c", LATE_IN_A_SECOND, str(2**30), "0"]
    done = subprocess.run(
        worker, cwd=ROOT, input=b"".join(pack_request(Task.SOUND, [BOMB])), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (-signal.SIGXCPU, READY)


SERVER = """
import asyncio, sys
from http_compat.decoders import Decoders
async def main():
    decoders = Decoders()
    async with decoders.running():
        await decoders.sound("me", sys.stdin.readline())
        bombed = asyncio.create_task(decoders.sound("me", sys.stdin.readline()))
        while not decoders.items:
            await asyncio.sleep(0)
        print(next(iter(decoders._workers))._process.pid, flush=True)
        await bombed
asyncio.run(main())
"""


def test_a_server_that_is_killed_leaves_none_behind() -> None:
    """It ends with its item when nobody is there to take the answer; before it would have waited for another."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"{upload(FLAC)}\n{upload(BOMB)}\n")
        server.stdin.flush()
        worker = psutil.Process(int(server.stdout.readline()))
        server.send_signal(signal.SIGKILL)
    worker.wait(30)
