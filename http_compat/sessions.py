"""All HTTP sessions of one server: who has which, and who gets the next one.

Old clients do not say which session they mean, so a request belongs to the session that its host opened; with several,
to that of its connection, or to the newest. A break or a stop may name one. Ids that come with other requests are
passed over: the LiveKit-backed backend sends those of its rooms.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from duplex.clock import Clock
from duplex.conversation_settings import AfterBreak
from duplex.engine.base import Engine, EngineSession, Mode
from duplex.engine.succession import Lend, SessionEngines
from duplex.errors import (
    CapacityError,
    EngineBusy,
    EngineError,
    EngineNotReady,
    NoSession,
    OmniDuplexError,
    ShuttingDown,
)
from duplex.metrics import Metrics, SessionMeter
from duplex.tasks import beside, task_group
from http_compat.choice import SessionChoice
from http_compat.ears import StackFrames
from http_compat.floor import OnWav
from http_compat.identity import SessionIdentity
from http_compat.policy import SessionPolicy
from http_compat.session import HttpSession
from http_compat.session_limits import SessionLimits
from http_compat.takeover import CallFacts, must_wait_s

__all__ = ["HttpSessions", "Opened", "Peer", "SessionRules"]

log = logging.getLogger(__name__)

Peer = tuple[str, int]
"""Host and port of a connection's far end. Port 0 means that a proxy does not say."""

_REMEMBERED_PEERS = 64
_LAST_S = 1.0
"""For the engines of all sessions when the server shuts down; they are stopped next."""
_TAKEN_OVER = "Another call has taken over the engine."
_LOOPBACK = frozenset({"127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class SessionRules:
    """What the operator chose for HTTP sessions."""

    mode: Mode
    """Of sessions that do not ask for one."""
    policy: SessionPolicy = SessionPolicy.IDLE
    after_break: AfterBreak = AfterBreak.LISTEN
    limits: SessionLimits = field(default_factory=SessionLimits)


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session, and what its engine was before."""

    session: HttpSession
    is_new_mode: bool
    """The engine had to be initialised."""
    is_new_media: bool
    """It was prompted for other media."""


@dataclass(slots=True)
class _Held:
    """A session for as long as its caller has it, on one engine after another, and the connections its requests came
    on."""

    session: HttpSession
    host: str
    is_lost: bool = False
    """Its engine has failed, and it waits for another one."""
    is_replaced: bool = False
    unwanted: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    peers: deque[Peer] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_PEERS))

    def note(self, peer: Peer) -> None:
        if peer not in self.peers:
            self.peers.append(peer)

    def end(self, farewell: str | None = None) -> None:
        self.session.end(farewell)
        self.unwanted.set()

    def queue_fill(self) -> Mapping[str, float]:
        return self.session.queue_fill()

    async def until_unwanted(self) -> None:
        await self.unwanted.wait()
        raise NoSession("The session has ended.")


class HttpSessions:
    """Opens, finds and ends sessions. `running` must be entered before anything else."""

    def __init__(
        self,
        *,
        lend: Lend,
        can_lease: Callable[[], bool],
        refusal: Callable[[], CapacityError | None],
        turned_away: Callable[[], CapacityError | None] = lambda: None,
        clock: Clock,
        rules: SessionRules,
        stack: StackFrames,
        on_wav: OnWav | None = None,
        on_end: Callable[[bool], None] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """`can_lease` says whether `lend` would give an engine at once, `refusal` why no engine works at all,
        `turned_away` why nobody new is taken. `on_end` is called when a session has ended, with whether another one
        took its place."""
        self.rules = rules
        self.metrics = metrics or Metrics()
        self._lend = lend
        self._can_lease = can_lease
        self._refusal = refusal
        self._turned_away = turned_away
        self._clock = clock
        self._stack = stack
        self._on_wav = on_wav
        self._on_end = on_end
        self._held: dict[str, _Held] = {}
        self._opening = asyncio.Lock()
        self._before = (rules.mode, True)
        self._opens = True
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sessions live while the body runs. On the way out engines are given back, or up when that takes long."""
        async with task_group() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                self.end_all()
                if self._tasks:
                    await asyncio.wait(self._tasks, timeout=_LAST_S)
                for task in self._tasks:
                    task.cancel()

    def refuse_new(self) -> None:
        """The server is about to stop: `open` and `reopen` raise `ShuttingDown`, and end nothing for it."""
        self._opens = False

    def end_all(self) -> None:
        """The server shuts down: every stream is told so."""
        for held in self._held.values():
            held.end("The server is shutting down.")

    @property
    def saves_call(self) -> bool:
        """Whether a session that has lost its engine waits for another one."""
        return any(held.is_lost for held in self._held.values())

    def current(self) -> HttpSession | None:
        """The newest session, whoever has it."""
        held = next(reversed(self._held.values()), None)
        return None if held is None else held.session

    async def open(self, choice: SessionChoice, peer: Peer) -> Opened:
        """A new session for this caller, in place of its last one.

        Raises `CapacityError` when every engine is taken, none works or nobody new is taken, `EngineError` when it
        fails at the start.
        """
        self._check_opens()
        async with self._opening:
            old = self._replaceable(peer)
            is_new = old is None or peer not in old.peers
            if is_new and (error := self._turned_away()) is not None:
                raise error
            if old is not None:
                await self._end(old, None if peer in old.peers else _TAKEN_OVER)
            before, self._before = self._before, (choice.mode, choice.vision)
            session = await self._start(choice, peer)
            return Opened(
                session, is_new_mode=choice.mode is not before[0], is_new_media=choice.vision is not before[1]
            )

    async def reopen(self, session: HttpSession, peer: Peer) -> HttpSession:
        """A session like this one in its place, with an engine that remembers nothing of it. Raises as `open` does."""
        self._check_opens()
        async with self._opening:
            held = self._held.get(session.id)
            if held is not None:
                await self._end(held, None)
            return await self._start(session.choice, peer)

    async def make_room(self) -> None:
        """Somebody else wants an engine: end the session that may be replaced, if no engine is free."""
        async with self._opening:
            if self._can_lease():
                return
            # Whoever calls by another way never ends a call that runs.
            policy = SessionPolicy.REJECT if self.rules.policy is SessionPolicy.REJECT else SessionPolicy.IDLE
            for held in self._with_engine():
                if must_wait_s(policy, self._facts(held, None)) is None:
                    await self._end(held, _TAKEN_OVER)
                    return

    def find(self, peer: Peer, session_id: str | None = None) -> HttpSession:
        """The session a request belongs to. Raises `NoSession`, `CapacityError` when no engine works, or not yet for
        this session."""
        held = self._find(peer, session_id)
        if held is None:
            raise self._refusal() or NoSession("未找到活跃会话，请先调用 /omni/init_sys_prompt 初始化会话")
        held.note(peer)
        if held.is_lost:
            raise self._refusal() or EngineNotReady("The engine of this session failed, and another one is waited for.")
        return held.session

    def find_any(self, peer: Peer, session_id: str | None = None) -> HttpSession | None:
        """The session that a break or stop means, None when there is none. Whoever sits at this machine means any."""
        held = self._find(peer, session_id)
        if held is None and peer[0] in _LOOPBACK:
            return self.current()
        return None if held is None else held.session

    def close(self, session: HttpSession) -> None:
        """End a session at its caller's wish: its streams end with a break."""
        held = self._held.pop(session.id, None)
        if held is not None:
            held.end()

    def _check_opens(self) -> None:
        if not self._opens:
            raise ShuttingDown("The server is shutting down.")

    def _find(self, peer: Peer, session_id: str | None) -> _Held | None:
        if session_id in self._held:
            return self._held[session_id]
        mine = [held for held in self._held.values() if held.host == peer[0]]
        by_connection = [held for held in mine if peer in held.peers]
        return next(reversed(by_connection or mine), None)

    def _replaceable(self, peer: Peer) -> _Held | None:
        """The session that has to end for a new one: the caller's own, by its connection, or one whose call does not
        run any more. Raises `EngineBusy` when no engine is free and none of them may end."""
        mine = next((held for held in reversed(self._held.values()) if peer in held.peers), None)
        if mine is not None and peer[1] and (self._can_lease() or not mine.is_lost):
            return mine
        if self._can_lease():
            return None
        waits = []
        for held in self._with_engine():
            wait_s = must_wait_s(self.rules.policy, self._facts(held, peer))
            if wait_s is None:
                return held
            waits.append(wait_s)
        if waits:
            raise EngineBusy(
                "Another call runs, and there is one engine for each call. Try again later; that call ends when its "
                "caller posts /omni/stop.",
                retry_after_s=min(waits),
            )
        return None

    def _with_engine(self) -> list[_Held]:
        """Those whose end would set an engine free."""
        return [held for held in self._held.values() if not held.is_lost]

    def _facts(self, held: _Held, peer: Peer | None) -> CallFacts:
        return CallFacts(
            is_same_host=peer is not None and peer[0] == held.host,
            is_stopped=held.session.identity.is_stopped,
            has_a_beat=held.session.has_a_beat,
            rests=held.session.rests,
            idle_s=held.session.idle_s(),
        )

    async def _start(self, choice: SessionChoice, peer: Peer) -> HttpSession:
        if self._group is None:
            raise NoSession("The server is shutting down.")
        started: asyncio.Future[HttpSession] = asyncio.get_running_loop().create_future()
        task = self._group.create_task(self._live(choice, peer, started), name="http-session")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await started

    async def _live(self, choice: SessionChoice, peer: Peer, started: asyncio.Future[HttpSession]) -> None:
        """One session from its first lease to its end."""
        held: _Held | None = None
        engines = SessionEngines(self._lend, EngineSession(choice.mode, vision=choice.vision, voice=choice.voice))
        try:
            async with engines.leased(None) as leased:
                meter = self.metrics.meter("http")
                await leased.engine.begin(engines.wish)
                held = _Held(self._make_session(leased.engine, choice, meter), peer[0])
                held.note(peer)
                self._held[held.session.id] = held
                _resolve(started, held.session)
                with meter.counting(self._clock.now, held.queue_fill):
                    await self._converse(held, engines, meter)
        except OmniDuplexError as error:
            if held is None:
                _refuse(started, error)
            else:
                log.warning("http session lost: %s", error)
        finally:
            if not started.done():
                started.cancel()
            if held is not None:
                held.ended.set()
                if self._on_end is not None:
                    self._on_end(held.is_replaced)

    def _make_session(
        self, engine: Engine, choice: SessionChoice, meter: SessionMeter, identity: SessionIdentity | None = None
    ) -> HttpSession:
        return HttpSession(
            engine,
            choice,
            clock=self._clock,
            stack=self._stack,
            after_break=self.rules.after_break,
            limits=self.rules.limits,
            on_wav=self._on_wav,
            meter=meter,
            identity=identity,
        )

    async def _converse(self, held: _Held, engines: SessionEngines, meter: SessionMeter) -> None:
        began_s = self._clock.now()
        session = held.session
        log.info("http session %s starts: %s", session.id, session.choice.mode)
        try:
            while (failure := await _run(held)) is not None:
                engine = await _replaced(held, engines, failure)
                if engine is None:
                    return
                held.session = self._make_session(engine, session.choice, meter, held.session.identity)
                held.is_lost = False
        finally:
            # Nobody may find it while its engine is drained, which can take long.
            self._held.pop(session.id, None)
            log.info(
                "http session %s ends after %.1f s: %d answers, %d breaks, %d pictures dropped, %d engines lost",
                session.id,
                self._clock.now() - began_s,
                session.numbers.answers,
                session.numbers.breaks,
                session.numbers.pictures_dropped,
                session.numbers.engines_lost,
            )

    async def _end(self, held: _Held, farewell: str | None) -> None:
        """End a session and wait until its engine is free again."""
        held.is_replaced = True
        held.end(farewell)
        await held.ended.wait()


def _resolve(started: asyncio.Future[HttpSession], session: HttpSession) -> None:
    if not started.done():
        started.set_result(session)


def _refuse(started: asyncio.Future[HttpSession], error: OmniDuplexError) -> None:
    if not started.done():
        started.set_exception(error)


async def _run(held: _Held) -> EngineError | None:
    """Converse on one engine. Returns what it failed with when its session is to go on with another."""
    try:
        await held.session.run()
    except EngineError as error:
        held.is_lost = not held.unwanted.is_set()
        return error if held.is_lost else None
    return None


async def _replaced(held: _Held, engines: SessionEngines, failure: EngineError) -> Engine | None:
    """Another engine; None when the session was ended meanwhile. Raises as `SessionEngines.replace` does."""
    held.session.numbers.engines_lost += 1
    try:
        async with beside(unwanted=held.until_unwanted()):
            engine = await engines.replace(failure)
    except NoSession:
        return None
    # It can be ended while the wait for its end is.
    return None if held.unwanted.is_set() else engine
