"""The `Engine` port over a llama-server: HTTP in, SSE text and WAV files out.

What shapes it is the engine's lock. A decode holds it from its first to its last line and nothing can end it early, so
every decode is read to its end by a task of the adapter's own, whoever asked for it, and all else waits its turn.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx

from duplex.clock import Clock
from duplex.engine.base import EngineEvent, EngineIdle, EngineSession, Mode
from duplex.engine.context import ContextUse, may_be_capped
from duplex.engine.decode_reader import Decoded, read_decode
from duplex.engine.input_feed import InputFeed
from duplex.engine.limits import EngineLimits
from duplex.engine.llama_http import LlamaHttp
from duplex.engine.llama_wire import OmniInit
from duplex.engine.mailbox import EventMailbox
from duplex.engine.omni_setup import OmniSetup
from duplex.engine.own_tasks import OwnTasks
from duplex.engine.spool import Spool
from duplex.engine.spool_files import SpoolFiles, remove_files, remove_output
from duplex.engine.turn_pump import TurnPump
from duplex.engine.vocoder import Vocoder
from duplex.engine.watch import SpoolWatcher
from duplex.errors import EngineError, EngineExited, InvalidEvent, anew

__all__ = ["EngineLimits", "LlamaServerEngine"]


class LlamaServerEngine:
    """One llama-server process seen through the `Engine` port.

    Outlives conversations, and restarts of the process: `begin` initialises a process that has forgotten us.
    """

    def __init__(
        self,
        *,
        base_url: str,
        output_dir: Path,
        input_dir: Path,
        init: OmniInit,
        client: httpx.AsyncClient,
        watcher: SpoolWatcher,
        clock: Clock,
        limits: EngineLimits,
    ) -> None:
        """`base_url` is a loopback address. `output_dir` and `input_dir` are absolute and ours alone; the engine, on
        the same machine, writes its sound to the one and reads what it hears from the other. `client` ignores proxy
        variables and lets idle connections expire in less than 5 s, before the server closes them."""
        self._output_dir = output_dir
        self._input_dir = input_dir
        self._watcher = watcher
        self._clock = clock
        self._limits, self._n_predict = limits, init.n_predict
        self._http = LlamaHttp(base_url, client)
        self._setup = OmniSetup(self._http, init, output_dir, input_dir, limits)
        self._feed = InputFeed(self._http, input_dir, limits, ContextUse(init.ctx_size), clock)
        self._mailbox = EventMailbox()
        self._mailbox.close()
        self._session: EngineSession | None = None
        self._failure: Exception | None = None
        self._vocoder = Vocoder()
        self._pump: TurnPump | None = None
        self._pump_task: asyncio.Task[None] | None = None
        self._decode_task: asyncio.Task[Decoded] | None = None
        self._tasks = OwnTasks()
        # Held while a decode starts and while a break is under way: neither may begin inside the other.
        self._turn_lock = asyncio.Lock()
        # Held by a prefill, and, inside the other, while the context is emptied.
        self._input_lock = asyncio.Lock()
        self._round_idx, self._breaks = -1, 0
        self._was_broken = self._needs_reset = self._is_capped = False

    async def begin(self, session: EngineSession) -> None:
        """Forget everything and start a conversation.

        Raises EngineStartFailed when the engine cannot be initialised; its process must then be restarted.
        """
        self._mailbox.close()
        await self._stop()
        self._mailbox = EventMailbox()
        self._session = session
        self._failure = None
        is_unended, self._was_broken, self._needs_reset = self._needs_reset, False, False
        self._breaks = 0
        self._feed.begin(session)
        with self._failing():
            await asyncio.to_thread(remove_output, self._output_dir)
            await asyncio.to_thread(remove_files, self._input_dir)
            if await self._setup.prepare(session, anew=is_unended):
                self._vocoder = Vocoder()
            self._vocoder.begin(session.mode)
            if session.mode is Mode.DUPLEX:
                self._pump = self._new_pump(self._output_dir, self._vocoder.spool)

    async def prefill(self, pcm: bytes, *, image: bytes | None = None, slices: int = 1) -> None:
        """Let the model hear `pcm` and see `image`. In simplex it waits until the last response is over.

        Raises InvalidEvent for an image that is none, EngineError when the engine cannot go on.
        """
        mode = self._check()
        self._setup.touch()
        with self._failing():
            if mode is Mode.SIMPLEX and not self._feed.is_open:
                await self._open_round()
            task = self._tasks.start(self._hear(pcm, image, slices), "engine-prefill", self.fail)
            # Waiting, not awaiting: the engine hears what it was sent also when this call is cancelled.
            await asyncio.wait([task])
            self._check()
            if isinstance(error := task.exception(), InvalidEvent):
                raise anew(error)

    async def decode(self) -> None:
        """Let the model think and speak. Cancelling the call does not stop the engine's decode."""
        mode = self._check()
        if not self._mailbox.has_room:
            raise RuntimeError("nobody reads the engine's events")
        self._setup.touch()
        with self._failing():
            breaks = self._breaks
            decoded = await self._decode_once(mode, breaks)
            if mode is Mode.DUPLEX or decoded is None:
                return
            if self._was_broken and not decoded.fragments and decoded.duration_s < self._limits.empty_decode_s:
                await self._say_again(breaks)
            elif decoded.fragments:
                self._was_broken = False

    async def interrupt(self, *, forget: bool = False) -> None:
        """End the response and wait until nothing of it can arrive. May be called while `decode` runs; in duplex
        `prefill` may go on meanwhile."""
        self._check()
        self._setup.touch()
        self._breaks += 1
        is_broken = self._pump is not None and self._pump.is_active
        if self._pump is not None and is_broken:
            self._pump.drain()
        self._mailbox.drop_response()
        with self._failing():
            async with self._turn_lock:
                if await self._drain() or is_broken:
                    self._vocoder.settle(self._mode)
                if forget:
                    async with self._input_lock:
                        await self._reset_context()
            self._mailbox.put(EngineIdle(interrupted=True))

    @property
    def context_fill(self) -> float:
        """How full it is, 0 to 1; in simplex 0, because there it drops its oldest rounds by itself."""
        return self._feed.context.fill if self._check() is Mode.DUPLEX else 0.0

    async def renew(self) -> bool:
        """Go on in an empty context, with what was not answered. False while a response is under way."""
        self._check()
        with self._failing():
            async with self._turn_lock:
                if self._pump is None or self._pump.is_turn_open or not self._feed.is_evaluated:
                    return False
                await self._wait_for_turn()
                await self._hear_anew()
        return True

    def events(self) -> AsyncIterator[EngineEvent]:
        """Everything the engine says from `begin` to `finish`, then the end. Raises what the engine failed with."""
        return aiter(self._mailbox)

    async def finish(self) -> None:
        """End the conversation: `events` ends at once; returns when the engine is quiet and its files are gone."""
        self._mailbox.close()
        try:
            await self._stop()
        finally:
            self._session = self._pump = None
            await asyncio.to_thread(remove_output, self._output_dir)
            await asyncio.to_thread(remove_files, self._input_dir)

    def fail(self, failure: Exception) -> None:
        """The engine cannot go on: all calls and `events` raise `failure` from now on, until the next `begin`.

        Whoever watches the process says so here, because an exit shows in no file while only audio is awaited.
        """
        if self._failure is not None:
            return
        self._failure = anew(failure)
        self._setup.distrust()
        self._mailbox.fail(self._failure)
        self._tasks.cancel()

    # Sessions -------------------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        """End a conversation in any state; one that has failed is at its end. Raises EngineError if it fails now."""
        try:
            if self._failure is None and self._session is not None:
                with self._failing():
                    async with self._turn_lock:
                        if await self._drain():
                            self._vocoder.settle(self._mode)
                        async with self._input_lock:
                            await self._hear_out()
        finally:
            await self._tasks.stop()
            self._decode_task = self._pump_task = None

    async def _reset_context(self) -> None:
        """Under both locks."""
        assert self._session is not None
        await self._hear_out()
        if not await self._setup.empty(self._session):
            raise EngineExited("the engine process was replaced in mid-conversation")
        self._was_broken = self._needs_reset = False
        self._feed.begin(self._session)

    async def _hear_anew(self) -> None:
        """Empty the context, under the turn lock, and let the model hear again what it has not answered."""
        async with self._input_lock:
            kept = self._feed.take_unanswered()
            await self._reset_context()
            await self._feed.feed_again(kept)

    async def _hear(self, pcm: bytes, image: bytes | None, slices: int) -> None:
        async with self._input_lock:
            await self._feed.feed(pcm, image, slices)

    async def _hear_out(self) -> None:
        """Under both locks: let the engine read what is only queued. Emptied meanwhile, it dies, or what it was told in
        this conversation opens the next one."""
        if self._feed.is_evaluated:
            return
        if self._mode is Mode.SIMPLEX:
            # When nothing runs for it, it ends the next decode before its first word.
            await self._break()
        decode, pump = await self._start_decode(self._mode)
        pump.drain()
        await asyncio.wait([decode])
        self._check()
        if self._mode is Mode.SIMPLEX and decode.result().is_mute:
            await self._abandon(pump)
        elif await self._drain():
            self._vocoder.settle(self._mode)

    # Turns ----------------------------------------------------------------------------------------------------------

    async def _open_round(self) -> None:
        """Simplex: the next prefill begins a round, which the engine allows when the last one is over."""
        await self._wait_for_turn()
        async with self._turn_lock:
            self._check()
            if self._needs_reset:
                async with self._input_lock:
                    await self._reset_context()
            await asyncio.to_thread(remove_output, self._output_dir, last_round=self._round_idx)

    async def _wait_for_turn(self) -> None:
        """Until no response is under way. Not in the turn lock while one is, because a break is what may end it."""
        while self._pump_task is not None and not self._pump_task.done():
            await asyncio.wait([self._pump_task])
        self._check()

    async def _decode_once(self, mode: Mode, breaks: int, *, is_again: bool = False) -> Decoded | None:
        """None when a break came before the decode could start: there is then nothing to end."""
        if mode is Mode.SIMPLEX:
            await self._wait_for_turn()
        async with self._turn_lock:
            self._check()
            if breaks != self._breaks:
                return None
            task, _ = await self._start_decode(mode, is_again=is_again)
        # Waiting, not awaiting: the decode goes on when this call is cancelled.
        await asyncio.wait([task])
        self._check()
        return task.result()

    async def _start_decode(self, mode: Mode, *, is_again: bool = False) -> tuple[asyncio.Task[Decoded], TurnPump]:
        """Under the turn lock."""
        pump = await self._start_pump(mode)
        await self._feed.settle()
        pump.start_decode(is_again=is_again)
        self._decode_task = self._tasks.start(self._run_decode(pump, mode), "engine-decode", self.fail)
        if self._pump_task is None or self._pump_task.done():
            self._pump_task = self._tasks.start(self._run_pump(pump, mode), "engine-spool", self.fail)
        return self._decode_task, pump

    async def _start_pump(self, mode: Mode) -> TurnPump:
        if mode is Mode.DUPLEX:
            assert self._pump is not None
            if not self._pump.is_active:
                if self._pump_task is not None:
                    await asyncio.wait([self._pump_task])
                self._pump.sweep()
            return self._pump
        self._round_idx += 1
        self._vocoder.ledger.end_turn()
        root = self._output_dir / f"round_{self._round_idx:03d}"
        self._pump = self._new_pump(root, Spool(first=1000 * self._round_idx))
        return self._pump

    def _new_pump(self, root: Path, spool: Spool) -> TurnPump:
        files = SpoolFiles(root, is_round=self._mode is Mode.SIMPLEX)
        files.make()
        return TurnPump(
            mode=self._mode,
            files=files,
            spool=spool,
            vocoder=self._vocoder,
            mailbox=self._mailbox,
            watcher=self._watcher,
            clock=self._clock,
            limits=self._limits,
        )

    async def _run_decode(self, pump: TurnPump, mode: Mode) -> Decoded:
        round_idx = self._round_idx if mode is Mode.SIMPLEX else None
        decoded = await read_decode(self._http, pump, self._clock, round_idx=round_idx)
        self._feed.end_decode(decoded.fragments)
        self._is_capped = mode is Mode.SIMPLEX and may_be_capped(decoded.fragments, self._n_predict)
        return decoded

    async def _run_pump(self, pump: TurnPump, mode: Mode) -> None:
        try:
            await pump.run()
        finally:
            self._needs_reset |= mode is Mode.SIMPLEX and not pump.is_flagged

    async def _drain(self) -> bool:
        """Under the turn lock, end the response that runs, silently. False when none does: a break would stick."""
        pump, task = self._pump, self._pump_task
        if pump is None or task is None or not pump.is_active:
            return False
        pump.drain()
        if self._decode_task is not None:
            await asyncio.wait([self._decode_task])
            self._check()
        if pump.is_active and not pump.is_flagged:
            self._vocoder.begin_break(self._mode)
            await self._break()
            pump.drain()
        await asyncio.wait([task])
        self._check()
        # What an answer that never ends leaves with TTS is not reached by a break.
        self._needs_reset = self._is_capped and not pump.is_flagged
        return True

    async def _break(self) -> None:
        await self._http.call("break", {}, limit_s=self._limits.request_timeout_s)
        self._was_broken = True

    async def _abandon(self, pump: TurnPump) -> None:
        """End a simplex round that was never answered."""
        pump.abandon()
        if self._pump_task is not None:
            await asyncio.wait([self._pump_task])
        self._needs_reset = False

    async def _say_again(self, breaks: int) -> None:
        """Clear the flag that stuck, at the price of the context, and ask the round's question again. Once."""
        async with self._turn_lock:
            if self._pump is None or breaks != self._breaks:
                return
            await self._abandon(self._pump)
            await self._hear_anew()
        await self._decode_once(Mode.SIMPLEX, breaks, is_again=True)

    # Failures -------------------------------------------------------------------------------------------------------

    def _check(self) -> Mode:
        if self._failure is not None:
            raise anew(self._failure)
        if self._session is None:
            raise RuntimeError("the engine has no conversation: call begin first")
        return self._session.mode

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except EngineError as error:
            self.fail(error)
            raise

    @property
    def _mode(self) -> Mode:
        assert self._session is not None
        return self._session.mode
