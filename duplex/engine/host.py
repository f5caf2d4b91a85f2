"""One engine slot: a process that is started, initialised, lent out, watched, and started again when it fails."""

import asyncio
import contextlib
import enum
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from duplex.clock import Clock
from duplex.engine.base import Engine, EngineSession
from duplex.engine.lease import LeasedEngine
from duplex.engine.ports import free_port, require_free_port
from duplex.engine.process import EngineProcess, ProcessLimits, wait_healthy
from duplex.engine.restart import RestartLimits, RestartPolicy
from duplex.engine.spec import EngineKind, EngineSpec, engine_command
from duplex.engine.workdir import EngineDirs, engine_dirs, sweep_leftovers
from duplex.errors import CapacityError, EngineBusy, EngineError, EngineExited, EngineNotReady, ShuttingDown
from duplex.tasks import wait_at_most

__all__ = ["EngineFactory", "EngineHost", "EngineState", "EngineStatus", "HostLimits", "HostedEngine"]

_log = logging.getLogger(__name__)


class HostedEngine(Engine, Protocol):
    """An engine whose process is watched by somebody else."""

    def fail(self, failure: Exception) -> None:
        """The process is gone: whoever waits for the engine must not wait on."""
        ...


EngineFactory = Callable[[str, EngineDirs], AbstractAsyncContextManager[HostedEngine]]
"""Makes the adapter for a process that answers at a base URL and shares these directories, for as long as it lives."""


class EngineState(enum.StrEnum):
    """What a slot is doing. Only READY can be leased."""

    STARTING = "starting"
    READY = "ready"
    LEASED = "leased"
    FINISHING = "finishing"
    """The conversation is over, the engine still thinks its last answer to the end."""
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """One slot as an operator or a page wants to see it."""

    kind: EngineKind
    state: EngineState
    detail: str
    """Progress or reason in words; empty when there is nothing to add."""
    stand_in: bool
    """True for the parrot: no model answers."""
    restarts: int = 0
    """How often it was started again."""


@dataclass(frozen=True, slots=True)
class HostLimits:
    """How long each kind of waiting of one slot may last."""

    process: ProcessLimits = field(default_factory=ProcessLimits)
    restart: RestartLimits = field(default_factory=RestartLimits)
    release_s: float = 60.0
    """For the engine to finish after a lease: it may have to think a running answer to its end."""
    settle_s: float = 0.5
    """Between a broken connection and the news that the process has ended."""
    adopted_check_s: float = 5.0
    """Between two health checks of an idle engine that is not our child."""
    adopted_misses: int = 3
    """Failed checks in a row after which such an engine counts as gone."""


class EngineHost:
    """Owns one engine from start to stop. `run` supervises it; `lease` lends it out, to one at a time.

    A lease in which the engine failed is followed by a new process. `sleep` is the wait before a restart.
    """

    def __init__(
        self,
        spec: EngineSpec,
        *,
        make_engine: EngineFactory,
        client: httpx.AsyncClient,
        clock: Clock,
        limits: HostLimits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._spec = spec
        self._make_engine = make_engine
        self._client = client
        self._clock = clock
        self._limits = limits or HostLimits()
        self._sleep = sleep
        self._policy = RestartPolicy(self._limits.restart)
        self._state = EngineState.STARTING
        self._detail = "not started yet"
        self._changed = asyncio.Event()
        self._observers: list[Callable[[], None]] = []
        self._engine: HostedEngine | None = None
        self._attention = asyncio.Event()
        self._fault: str | None = None
        self._lease_over = asyncio.Event()
        self._lease_over.set()
        self._had_conversation = False
        self._warm: EngineSession | None = None
        self._restarts = 0

    @property
    def status(self) -> EngineStatus:
        """The slot now."""
        return EngineStatus(
            kind=self._spec.kind,
            state=self._state,
            detail=self._detail,
            stand_in=self._spec.stand_in,
            restarts=self._restarts,
        )

    def warmth(self, wish: EngineSession) -> int:
        """How little it takes until this engine is ready for `wish`: 2 when it was ready for the same last, 1 when no
        model has to be loaded anew, 0 otherwise."""
        if self._warm is None or self._warm.mode is not wish.mode:
            return 0
        return 2 if self._warm == wish else 1

    def observe(self, observer: Callable[[], None]) -> None:
        """Call `observer` after every change of `status`, at once. It must not raise."""
        self._observers.append(observer)

    async def wait_until(self, *states: EngineState) -> EngineStatus:
        """Return as soon as the slot is in one of `states`."""
        while self._state not in states:
            await self._changed.wait()
        return self.status

    async def wait_while(self, state: EngineState) -> None:
        """Return as soon as the slot is not in `state`."""
        while self._state is state:
            await self._changed.wait()

    async def preflight(self) -> None:
        """Raise `EngineStartFailed` for what no restart can cure, before anything is started."""
        if self._spec.url is None and self._spec.port:
            await require_free_port(self._spec.port)

    async def run(self) -> None:
        """Supervise until cancelled, or until the restart budget is spent (`failed`). The child ends with it."""
        await asyncio.to_thread(sweep_leftovers)
        workdir = engine_dirs(self._spec.output_dir, share_input=self._spec.url is not None)
        try:
            dirs = await asyncio.to_thread(workdir.__enter__)
        except OSError as error:
            self._give_up(f"The engine's directories cannot be made: {error}")
            return
        try:
            await self._supervise(dirs)
        finally:
            if self._state is not EngineState.FAILED:
                self._set(EngineState.STOPPED, "")
            # Megabytes of debug files may have to go.
            await asyncio.to_thread(workdir.__exit__, None, None, None)

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[LeasedEngine]:
        """The exclusive right to the engine. Raises `CapacityError` at once when it cannot be had now."""
        engine = self._engine
        if self._state is not EngineState.READY or engine is None:
            raise self.refusal()
        leased = LeasedEngine(engine, self._spec, self._note_fault)
        self._lease_over.clear()
        self._had_conversation = True
        self._set(EngineState.LEASED, "")
        try:
            yield leased
        finally:
            if self.status.state is EngineState.LEASED:
                self._set(EngineState.FINISHING, "the last conversation ends")
            try:
                await self._finish(leased)
            finally:
                leased.expire()
                self._warm = leased.conversation or self._warm
                self._lease_over.set()
                if self._engine is engine:
                    self._after_lease()

    def refusal(self) -> CapacityError:
        """Why it cannot be leased now. The engine's own output stays in the log and in `status`."""
        summary = self._detail.partition("\n")[0]
        if self._state in {EngineState.READY, EngineState.LEASED, EngineState.FINISHING}:
            return EngineBusy("The engine is in another conversation. Try again when that one has ended.")
        if self._state is EngineState.STOPPED:
            return ShuttingDown("The server is shutting down.")
        if self._state is EngineState.FAILED:
            return EngineNotReady(f"The engine failed and stays down: {summary}")
        return EngineNotReady(f"The engine is {self._state}: {summary}")

    async def _supervise(self, dirs: EngineDirs) -> None:
        while True:
            reason = await self._one_life(dirs)
            self._set(EngineState.RESTARTING, reason)
            # The files are shared: a new engine must not meet the last conversation's reader there.
            await self._lease_over.wait()
            delay_s = self._policy.record_failure(self._clock.now())
            if delay_s is None:
                budget = self._limits.restart.max_per_hour
                self._give_up(f"Given up after {budget} restarts within an hour: start the server again. {reason}")
                return
            _log.warning("Starting the engine again in %.1f s. %s", delay_s, reason)
            await self._sleep(delay_s)
            self._restarts += 1
            self._set(EngineState.RESTARTING, f"loading again. {reason}")

    async def _one_life(self, dirs: EngineDirs) -> str:
        """From start to end of one process; returns why it ended."""
        self._attention.clear()
        self._fault = None
        self._had_conversation = False
        try:
            async with contextlib.AsyncExitStack() as life:
                if self._spec.url is not None:
                    return await self._adopted_life(self._spec.url, dirs, life)
                return await self._child_life(dirs, life)
        except EngineError as error:
            return str(error)
        finally:
            self._engine = None

    async def _child_life(self, dirs: EngineDirs, life: contextlib.AsyncExitStack) -> str:
        port = self._spec.port or free_port()
        command = engine_command(self._spec, port=port, placeholder=dirs.placeholder)
        if self._state is EngineState.STARTING:
            self._set(EngineState.STARTING, "loading")
        async with EngineProcess(
            command,
            client=self._client,
            clock=self._clock,
            limits=self._limits.process,
            on_progress=self._report_progress,
            on_exit=self._attention.set,
        ) as process:
            started_s = self._clock.now()
            await process.wait_ready()
            try:
                await self._introduce(process.base_url, dirs, started_s, life)
            except EngineError as error:
                await wait_at_most(self._limits.settle_s, self._attention)
                ended = f" It {process.describe_exit()}." if process.exited else ""
                return f"{error}{ended}{await process.quote_output()}"
            await self._attention.wait()
            if process.exited and self._engine is not None:
                self._engine.fail(EngineExited(f"The engine {process.describe_exit()}."))
            if not process.exited:
                return f"The engine failed in a conversation: {self._fault}"
            output = "" if self._had_conversation else await process.quote_output()
            return f"The engine {process.describe_exit()}.{output}"

    async def _adopted_life(self, url: str, dirs: EngineDirs, life: contextlib.AsyncExitStack) -> str:
        started_s = self._clock.now()
        await wait_healthy(
            self._client,
            url,
            clock=self._clock,
            limits=self._limits.process,
            on_progress=self._report_progress,
            gone=self._attention,
        )
        await self._introduce(url, dirs, started_s, life)
        misses = 0
        while misses < self._limits.adopted_misses:
            await wait_at_most(self._limits.adopted_check_s, self._attention)
            if self._fault is not None and self._lease_over.is_set():
                return f"The engine failed in a conversation: {self._fault}"
            if self._state is not EngineState.READY:
                # All its request threads may be waiting behind one answer; the conversation notices a dead engine.
                misses = 0
            elif await self._answers(url):
                misses = 0
            else:
                misses += 1
        return f"The engine at {url} does not answer any more."

    async def _introduce(
        self, base_url: str, dirs: EngineDirs, started_s: float, life: contextlib.AsyncExitStack
    ) -> None:
        """Initialise it for the default mode now, so that the first conversation starts fast."""
        self._report_progress("initialising")
        engine = await life.enter_async_context(self._make_engine(base_url, dirs))
        self._warm = EngineSession(mode=self._spec.mode)
        await engine.begin(self._warm)
        await engine.finish()
        now_s = self._clock.now()
        self._policy.record_ready(now_s)
        self._engine = engine
        self._set(EngineState.READY, "")
        _log.info("engine %s ready after %.1f s", self._spec.kind, now_s - started_s)

    async def _answers(self, url: str) -> bool:
        try:
            return (await self._client.get(f"{url}/health")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    async def _finish(self, leased: LeasedEngine) -> None:
        try:
            async with asyncio.timeout(self._limits.release_s):
                await leased.finish()
        except EngineError as error:
            _log.debug("finishing the lease failed: %s", error)
        except TimeoutError:
            self._fault = f"it did not finish within {self._limits.release_s:.0f} s after the conversation"
        except asyncio.CancelledError:
            self._fault = "it was not given the time to finish"
            raise

    def _after_lease(self) -> None:
        if self._fault is None:
            self._set(EngineState.READY, "")
        else:
            self._set(EngineState.RESTARTING, self._fault)
            self._attention.set()

    def _note_fault(self, error: EngineError) -> None:
        self._fault = self._fault or str(error)

    def _report_progress(self, text: str) -> None:
        self._set(self._state, text)
        _log.info("engine %s: %s", self._spec.kind, text)

    def _give_up(self, reason: str) -> None:
        _log.error("%s", reason)
        self._set(EngineState.FAILED, reason)

    def _set(self, state: EngineState, detail: str) -> None:
        self._state = state
        self._detail = detail
        self._changed.set()
        self._changed = asyncio.Event()
        for observer in self._observers:
            observer()
