"""Decodes uploads in processes of their own, so that a bad file costs its sender an error and the server nothing.

One item of each caller is worked on at a time, in the order of arrival: whoever sends many waits for themselves. A
process that takes too long or dies of its item is replaced for the next one.
"""

import asyncio
import contextlib
import logging
import math
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from duplex.audio import SAMPLE_BYTES
from duplex.child_environment import child_environment, prepended
from duplex.engine.base import ENGINE_INPUT_RATE_HZ
from duplex.errors import EngineBusy
from http_compat.media_wire import ANSWER_HEADER_BYTES, READY, Outcome, Task, pack_request, unpack_answer_header
from http_compat.uploads import LONGEST_AUDIO_S, MOST_PIXELS, Medium, decode_base64, plain_pcm, refusal

__all__ = ["DecodeLimits", "Decoders"]

_log = logging.getLogger(__name__)

_PACKAGE_PARENT = Path(__file__).resolve().parents[1]
_PROGRAM = ("-m", "http_compat.media_worker")

_LARGEST_ANSWER_BYTES = {
    # Resampling may add a little.
    Task.SOUND: (LONGEST_AUDIO_S + 1) * ENGINE_INPUT_RATE_HZ * SAMPLE_BYTES,
    Task.PICTURE: 4 * MOST_PIXELS,
    Task.STACK: 4 * MOST_PIXELS,
}
"""More comes only from a process that is not ours any more."""

_LONGEST_REFUSAL = 500
_LAST_S = 5.0
_ASK_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What decoding may take."""

    processes: int = 2
    items: int = 64
    """Uploads that are being decoded or wait for it. More are refused: they are in memory, up to 24 MiB each."""
    item_s: float = 5.0
    """From the first byte on its way to the process to the last one back. The largest photograph takes 0.2 s as a JPEG,
    1.3 s as a WebP and 3 s as a PNG with a palette, on one core of 2.1 GHz."""
    start_s: float = 20.0
    memory_bytes: int = 2**30
    """Of address space, for one process. It begins with 120 MB; the largest WebP takes 660 MB."""


class _Lost(Exception):
    """The process has died, or says what none of ours would."""


class Decoders:
    """Processes that decode, started when they are first needed. `running` must be entered before anything else.

    An owner is whatever shares a turn: a session, or the address of a caller that has none yet. Everything raises
    `InvalidAudio` or `InvalidEvent` for what cannot be decoded or takes too long, and `EngineBusy` when too much waits
    already or no process can be started.
    """

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        self._limits = limits or DecodeLimits()
        self.items = 0
        """Uploads that are being decoded or wait for it."""
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._slots = asyncio.Semaphore(self._limits.processes)
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Processes live while the body runs."""
        try:
            yield
        finally:
            for worker in self._workers:
                worker.kill()
            # What still decodes finds that out, and leaves.
            for _ in range(self._limits.processes):
                await self._slots.acquire()
            for worker in self._idle:
                await worker.end()

    async def sound(self, owner: str, upload: str) -> bytes:
        """A sound file in base64 as 16-bit little-endian mono PCM at `ENGINE_INPUT_RATE_HZ`, `LONGEST_AUDIO_S` at most.

        What already is that comes out bit for bit and sees no other process.
        """
        content, pcm = await asyncio.to_thread(_read_sound, upload)
        return await self._decode(Task.SOUND, [content], self._turn(owner)) if pcm is None else pcm

    async def picture(self, owner: str, upload: str) -> bytes:
        """A picture in base64 as a whole JPEG or PNG in RGB or greyscale, 8 bits a channel."""
        content = await asyncio.to_thread(decode_base64, upload, "image")
        return await self._decode(Task.PICTURE, [content], self._turn(owner))

    async def stack(self, frames: Sequence[bytes]) -> bytes:
        """One picture of up to four that `picture` returned, as `http_compat.decode.stack_frames` lays them. A session
        asks for one at a time."""
        return await self._decode(Task.STACK, frames, asyncio.Lock())

    def _turn(self, owner: str) -> asyncio.Lock:
        return self._turns.setdefault(owner, asyncio.Lock())

    async def _decode(self, task: Task, parts: Sequence[bytes], turn: asyncio.Lock) -> bytes:
        if self.items >= self._limits.items:
            raise EngineBusy(f"{self.items} uploads wait to be decoded. Try again later.", retry_after_s=_ASK_AGAIN_S)
        self.items += 1
        try:
            async with turn, self._slots:
                return await self._decode_now(task, parts)
        finally:
            self.items -= 1

    async def _decode_now(self, task: Task, parts: Sequence[bytes]) -> bytes:
        what: Medium = "audio" if task is Task.SOUND else "image"
        worker = await self._take_worker()
        try:
            async with asyncio.timeout(self._limits.item_s):
                outcome, content = await worker.ask(task, parts)
        except TimeoutError:
            raise refusal(what, f"the {what} took longer than {self._limits.item_s:g} s to decode; send less") from None
        except _Lost as lost:
            _log.warning("a process that decoded an upload was lost: %s", lost)
            raise refusal(what, f"the {what} cannot be decoded: the process that tried to died") from None
        finally:
            if worker.is_idle:
                self._idle.append(worker)
            else:
                await self._give_up(worker)
        match outcome:
            case Outcome.MADE:
                return content
            case Outcome.UNCHANGED:
                return parts[0]
            case Outcome.REFUSED:
                raise refusal(what, content.decode("utf-8", "replace")[:_LONGEST_REFUSAL])
            case Outcome.TOO_BIG:
                raise refusal(what, f"the {what} takes too much memory to decode")

    async def _take_worker(self) -> "_Worker":
        while self._idle:
            worker = self._idle.pop()
            if worker.is_idle:
                return worker
            await self._give_up(worker)
        worker = await _Worker.start(self._limits)
        self._workers.add(worker)
        return worker

    async def _give_up(self, worker: "_Worker") -> None:
        self._workers.discard(worker)
        await worker.end()


def _read_sound(upload: str) -> tuple[bytes, bytes | None]:
    content = decode_base64(upload, "audio")
    return content, plain_pcm(content)


class _Worker:
    """One process, asked one thing at a time."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._requests, self._answers = process.stdin, process.stdout
        self._is_asked = False

    @classmethod
    async def start(cls, limits: DecodeLimits) -> "_Worker":
        """A process that is ready. Raises `EngineBusy` when none can be had."""
        environment = child_environment(os.environ)
        environment["PYTHONPATH"] = prepended(environment.get("PYTHONPATH"), str(_PACKAGE_PARENT))
        # Threads that nothing here uses would each take their share of the address space.
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        cpu_s = math.ceil(limits.item_s) + 1
        argv = ("-P", *_PROGRAM, str(limits.memory_bytes), str(cpu_s))
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *argv,
                env=environment,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                # Ctrl-C is meant for the server, which still answers what it was asked.
                start_new_session=True,
            )
        except OSError as error:
            raise _none_started(error) from None
        worker = cls(process)
        try:
            async with asyncio.timeout(limits.start_s):
                await worker._wait_ready()
        except (TimeoutError, _Lost) as error:
            await worker.end()
            raise _none_started(error) from None
        except BaseException:
            await worker.end()
            raise
        return worker

    @property
    def is_idle(self) -> bool:
        """Whether it lives and has answered everything."""
        return not self._is_asked and self._process.returncode is None

    async def ask(self, task: Task, parts: Sequence[bytes]) -> tuple[Outcome, bytes]:
        """Have something done. Raises `_Lost`. Abandoned in the middle, it cannot be asked again."""
        self._is_asked = True
        self._requests.writelines(pack_request(task, parts))
        with contextlib.suppress(ConnectionError):
            # Whether it has died is seen when it does not answer.
            await self._requests.drain()
        answer = await self._read_answer(_LARGEST_ANSWER_BYTES[task])
        self._is_asked = answer[0] is Outcome.TOO_BIG
        return answer

    def kill(self) -> None:
        """End it. There is nothing that it could still do."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def end(self) -> None:
        """Kill it, and leave nothing of it behind."""
        self.kill()
        self._requests.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_S):
                await self._process.communicate()

    async def _wait_ready(self) -> None:
        if await self._read(len(READY)) != READY:
            raise _Lost("it began with something else")

    async def _read_answer(self, most_bytes: int) -> tuple[Outcome, bytes]:
        try:
            outcome, length = unpack_answer_header(await self._read(ANSWER_HEADER_BYTES))
        except ValueError:
            raise _Lost("it answered with an unknown outcome") from None
        if length > most_bytes:
            raise _Lost("it answered with more than there can be")
        return outcome, await self._read(length)

    async def _read(self, count: int) -> bytes:
        try:
            return await self._answers.readexactly(count)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _Lost(f"it ended with code {await self._process.wait()}") from None


def _none_started(error: Exception) -> EngineBusy:
    _log.error("no process for decoding could be started: %s", error or type(error).__name__)
    return EngineBusy("No process for decoding could be started. Try again later.", retry_after_s=_ASK_AGAIN_S)
