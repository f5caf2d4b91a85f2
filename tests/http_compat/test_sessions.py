"""Who has which session, and who gets the next one."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from duplex.engine.base import EngineListen, EngineSession, EngineText, Mode
from duplex.engine.pool import Meanwhile
from duplex.engine.queue import Place
from duplex.engine.succession import EngineLease
from duplex.errors import EngineBusy, EngineExited, EngineNotReady, EngineStartFailed, NoSession, ShuttingDown
from duplex.tasks import beside
from http_compat.choice import SessionChoice
from http_compat.line import Errand
from http_compat.policy import SessionPolicy
from http_compat.session import HttpSession
from http_compat.session_limits import SessionLimits
from http_compat.sessions import HttpSessions, Peer, SessionRules
from http_compat.work import Upload
from tests.duplex.fake_engine import FakeEngine, answer
from tests.http_compat.decoding_here import stack_here

ALICE, ALICE_AGAIN, BOB = ("10.0.0.1", 4001), ("10.0.0.1", 4002), ("10.0.0.2", 5001)
HERE = ("127.0.0.1", 6001)
SIMPLEX = SessionChoice(Mode.SIMPLEX)
SECOND = bytes(32_000)


class HandClock:
    """Moves when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> float:
        return self.now_s


@dataclass
class House:
    """So many engines, the sessions on them, and the connections that are open."""

    engines: list[FakeEngine]
    clock: HandClock = field(default_factory=HandClock)
    is_broken: bool = False
    leased: list[FakeEngine] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)
    repaired: asyncio.Event = field(default_factory=asyncio.Event)

    def sessions(self, policy: SessionPolicy) -> HttpSessions:
        return HttpSessions(
            lend=self.lend,
            can_lease=lambda: bool(self.engines) and not self.is_broken,
            refusal=lambda: EngineNotReady("restarting") if self.is_broken else None,
            clock=self.clock,
            stack=stack_here,
            rules=SessionRules(Mode.DUPLEX, policy, limits=SessionLimits(tail_s=0.0, pair_s=0.0)),
            on_end=self.count_end,
        )

    def count_end(self, is_replaced: bool) -> None:
        self.ended.append(is_replaced)

    @asynccontextmanager
    async def lend(
        self, wish: EngineSession, meanwhile: Meanwhile | None, *, first: bool = False
    ) -> AsyncIterator[EngineLease]:
        assert (meanwhile is not None) == first, "only a session that lost its engine waits"
        if self.is_broken and meanwhile is not None:
            async with beside(waiting=meanwhile(lambda: Place(1, 1, None))):
                await self.repaired.wait()
        if not self.engines or self.is_broken:
            raise EngineBusy("none is free")
        engine = self.engines.pop()
        self.leased.append(engine)
        try:
            yield EngineLease(engine, "fake", stand_in=True)
        finally:
            await engine.finish()
            self.leased.remove(engine)
            self.engines.append(engine)

    def repair(self) -> None:
        self.is_broken = False
        self.repaired.set()


@asynccontextmanager
async def house(
    count: int = 1, policy: SessionPolicy = SessionPolicy.IDLE
) -> AsyncIterator[tuple[House, HttpSessions]]:
    built = House([FakeEngine() for _ in range(count)])
    sessions = built.sessions(policy)
    async with sessions.running():
        yield built, sessions


async def ask(session: HttpSession) -> None:
    with session.join(Errand.PREFILL) as place:
        await session.hear(place, Upload(SECOND, None))


async def until(condition: Callable[[], bool]) -> None:
    """Let the tasks run until it is so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - one turn of the loop at a time, no waiting
            await asyncio.sleep(0)


async def open_for(sessions: HttpSessions, peer: Peer, choice: SessionChoice = SIMPLEX) -> HttpSession:
    return (await sessions.open(choice, peer)).session


async def test_requests_belong_to_the_session_their_host_opened() -> None:
    async with house() as (_, sessions):
        session = await open_for(sessions, ALICE)
        assert sessions.find(ALICE_AGAIN) is session
        assert sessions.find(ALICE, "a room of the backend") is session
        assert sessions.find(BOB, session.id) is session
        with pytest.raises(NoSession, match=r"未找到活跃会话.*init_sys_prompt"):
            sessions.find(BOB)


async def test_nobody_breaks_the_call_of_another_host_but_this_machine_may() -> None:
    async with house() as (_, sessions):
        session = await open_for(sessions, ALICE)
        assert sessions.find_any(ALICE_AGAIN) is session
        assert sessions.find_any(BOB) is None
        assert sessions.find_any(HERE) is session
        assert sessions.find_any(BOB, session.id) is session


async def test_two_engines_hold_two_calls_that_hear_nothing_of_each_other() -> None:
    async with house(2) as (built, sessions):
        alice, bob = await open_for(sessions, ALICE), await open_for(sessions, BOB)
        assert (sessions.find(ALICE), sessions.find(BOB)) == (alice, bob)
        with alice.join(Errand.PREFILL) as place:
            await alice.hear(place, Upload(b"\1\0" * 16_000, None))
        assert [bool(engine.heard) for engine in built.leased] == [True, False]
        third = ("10.0.0.3", 1)
        with pytest.raises(EngineBusy):
            await sessions.open(SIMPLEX, third)


async def test_two_calls_of_one_host_are_told_apart_by_their_connections_and_ids() -> None:
    async with house(2) as (_, sessions):
        first = await open_for(sessions, ALICE)
        second = await open_for(sessions, ALICE_AGAIN)
        assert (sessions.find(ALICE), sessions.find(ALICE_AGAIN)) == (first, second)
        assert sessions.find(("10.0.0.1", 4009), first.id) is first
        assert sessions.find(("10.0.0.1", 4010)) is second, "the newest"


async def test_a_second_caller_is_told_when_to_ask_again_and_the_first_goes_on() -> None:
    async with house() as (built, sessions):
        alice = await open_for(sessions, ALICE)
        await ask(alice)
        built.clock.now_s += 10
        with pytest.raises(EngineBusy) as refused:
            await sessions.open(SIMPLEX, BOB)
        assert refused.value.retry_after_s == 20.0
        assert sessions.find(ALICE) is alice
        assert not alice.is_over


async def test_a_call_that_was_idle_for_half_a_minute_gives_way_and_its_caller_is_told() -> None:
    async with house() as (built, sessions):
        alice = await open_for(sessions, ALICE)
        await ask(alice)
        built.clock.now_s += 30
        bob = await open_for(sessions, BOB)
        assert alice.is_over
        assert sessions.find(BOB) is bob
        with pytest.raises(NoSession):
            sessions.find(ALICE)
        assert built.ended == [True]


async def test_an_answer_that_is_being_given_is_never_idle() -> None:
    async with house() as (built, sessions):
        alice = await open_for(sessions, ALICE)
        built.leased[0].script = [[EngineText("a long answer")]]
        await ask(alice)
        with alice.join(Errand.GENERATE) as place:
            alice.open_reply(place)
        await built.leased[0].until("decode")
        built.clock.now_s += 3600
        with pytest.raises(EngineBusy):
            await sessions.open(SIMPLEX, BOB)


async def test_takeover_and_reject() -> None:
    async with house(policy=SessionPolicy.TAKEOVER) as (_, sessions):
        alice = await open_for(sessions, ALICE)
        await ask(alice)
        await open_for(sessions, BOB)
        assert alice.is_over
    async with house(policy=SessionPolicy.REJECT) as (built, sessions):
        alice = await open_for(sessions, ALICE)
        built.clock.now_s += 3600
        with pytest.raises(EngineBusy):
            await sessions.open(SIMPLEX, BOB)
        alice.stop()
        await open_for(sessions, BOB)


async def test_a_caller_opens_its_own_session_anew_whenever_it_likes() -> None:
    async with house(policy=SessionPolicy.REJECT) as (built, sessions):
        first = await open_for(sessions, ALICE)
        await ask(first)
        again = await sessions.open(SessionChoice(Mode.DUPLEX, vision=False), ALICE)
        assert first.is_over
        assert (again.is_new_mode, again.is_new_media) == (True, True)
        assert built.leased[0].sessions == [
            EngineSession(Mode.SIMPLEX),
            EngineSession(Mode.DUPLEX, vision=False),
        ]


async def test_a_host_that_begins_again_after_its_answer_is_the_same_caller() -> None:
    """Scripts ask, read the answer, and never say that they have finished."""
    async with house() as (built, sessions):
        alice = await open_for(sessions, ALICE)
        built.leased[0].script = [answer("a", 1.0)]
        await ask(alice)
        with pytest.raises(EngineBusy):
            await sessions.open(SIMPLEX, ALICE_AGAIN)
        with alice.join(Errand.GENERATE) as place:
            reply = alice.open_reply(place)
        async for _ in reply.events():
            pass
        await until(lambda: alice.rests)
        with pytest.raises(EngineBusy):
            await sessions.open(SIMPLEX, BOB)
        await open_for(sessions, ALICE_AGAIN)


async def test_a_duplex_call_that_rests_between_two_seconds_still_runs() -> None:
    async with house() as (built, sessions):
        await open_for(sessions, ALICE, SessionChoice(Mode.DUPLEX))
        alice = await open_for(sessions, ALICE_AGAIN, SessionChoice(Mode.DUPLEX))
        built.leased[0].script = [[EngineListen()]]
        await ask(alice)
        with alice.join(Errand.GENERATE) as place:
            reply = alice.open_reply(place)
        async for _ in reply.events():
            pass
        await until(lambda: alice.rests)
        built.clock.now_s += 1
        with pytest.raises(EngineBusy):
            await sessions.open(SIMPLEX, ALICE)
        built.clock.now_s += 1
        await open_for(sessions, ALICE)


async def test_behind_a_proxy_connections_say_nothing() -> None:
    async with house() as (_, sessions):
        await ask(await open_for(sessions, ("10.0.0.1", 0)))
        with pytest.raises(EngineBusy):
            await sessions.open(SIMPLEX, ("10.0.0.1", 0))


async def test_a_stopped_session_goes_on_until_somebody_wants_its_engine() -> None:
    async with house() as (_, sessions):
        alice = await open_for(sessions, ALICE)
        alice.stop()
        await ask(sessions.find(ALICE))
        with pytest.raises(EngineBusy):
            await sessions.open(SIMPLEX, BOB)
        alice.stop()
        await open_for(sessions, BOB)


async def test_a_closed_session_is_gone_at_once() -> None:
    async with house() as (built, sessions):
        alice = await open_for(sessions, ALICE)
        sessions.close(alice)
        with pytest.raises(NoSession):
            sessions.find(ALICE)
        built.is_broken = True
        with pytest.raises(EngineNotReady):
            sessions.find(ALICE)


async def test_a_reset_forgets_what_was_said() -> None:
    async with house() as (built, sessions):
        alice = await open_for(sessions, ALICE)
        again = await sessions.reopen(alice, ALICE)
        assert alice.is_over
        assert sessions.find(ALICE) is again
        assert len(built.leased[0].sessions) == 2


async def test_room_is_made_for_other_calls_only_where_no_call_runs() -> None:
    async with house(policy=SessionPolicy.TAKEOVER) as (built, sessions):
        await sessions.make_room()
        alice = await open_for(sessions, ALICE)
        await sessions.make_room()
        assert not alice.is_over
        built.clock.now_s += 30
        await sessions.make_room()
        assert alice.is_over
        assert len(built.engines) == 1
    async with house(2) as (built, sessions):
        alice = await open_for(sessions, ALICE)
        built.clock.now_s += 30
        await sessions.make_room()
        assert not alice.is_over, "another engine is free"


async def test_an_engine_that_cannot_begin_is_told_to_the_caller() -> None:
    async with house() as (built, sessions):
        built.engines[0].fail = EngineStartFailed("no model")
        with pytest.raises(EngineStartFailed):
            await sessions.open(SIMPLEX, ALICE)
        with pytest.raises(NoSession):
            sessions.find(ALICE)


async def lose(built: House, session: HttpSession) -> None:
    """Its engine dies, and no other one is there for the moment."""
    built.is_broken = True
    built.leased[0].emit(EngineExited("gone"))
    await until(lambda: session.is_over)


async def test_a_session_whose_engine_dies_goes_on_with_another_one_and_no_other_notices() -> None:
    async with house(2) as (built, sessions):
        alice, bob = await open_for(sessions, ALICE), await open_for(sessions, BOB)
        alice.stop()
        dying = built.leased[0]
        assert not sessions.saves_call
        await lose(built, alice)
        assert sessions.saves_call
        with pytest.raises(EngineNotReady):
            sessions.find(ALICE)
        assert sessions.find_any(ALICE) is alice, "to be stopped"
        assert sessions.find(BOB) is bob
        assert not bob.is_over
        built.repair()
        await until(lambda: sessions.find_any(ALICE) is not alice)
        assert dying.calls.count("begin") == 2, "which has become a new one"
        again = sessions.find(ALICE)
        assert (again.id, again.choice, again.numbers) == (alice.id, alice.choice, alice.numbers)
        assert again.numbers.engines_lost == 1
        assert not sessions.saves_call
        assert sessions.find(ALICE_AGAIN, alice.id) is again
        await ask(again)
        assert built.ended == []


async def test_chunks_of_a_duplex_session_are_numbered_on_after_its_engine_died() -> None:
    async with house() as (built, sessions):
        alice = await open_for(sessions, ALICE, SessionChoice(Mode.DUPLEX))
        numbers = []
        for _ in range(2):
            built.leased[0].script = [answer("a", 1.0)]
            session = sessions.find(ALICE)
            await ask(session)
            with session.join(Errand.GENERATE) as place:
                reply = session.open_reply(place)
            numbers += [json.loads(event[6:]).get("chunk_idx") async for event in reply.events()]
            if session is alice:
                await lose(built, session)
                built.repair()
                await until(lambda: alice is not sessions.current() and bool(built.leased))
        assert [number for number in numbers if number is not None] == [0, 1]


async def test_nobody_takes_the_place_of_a_session_that_waits_for_an_engine_and_its_end_is_one() -> None:
    async with house() as (built, sessions):
        alice = await open_for(sessions, ALICE)
        await lose(built, alice)
        built.clock.now_s += 3600
        await sessions.make_room()
        for caller in (ALICE, ALICE_AGAIN, BOB):
            with pytest.raises(EngineBusy):
                await sessions.open(SIMPLEX, caller)
        assert sessions.find_any(ALICE) is alice
        sessions.close(alice)
        await until(lambda: built.ended == [False])
        built.repair()
        await open_for(sessions, BOB)


async def test_a_session_that_finds_no_other_engine_is_over() -> None:
    async with house() as (built, sessions):
        alice = await open_for(sessions, ALICE)
        built.leased[0].emit(EngineExited("gone"))
        built.leased[0].fail = EngineExited("gone again")
        await until(lambda: bool(built.ended))
        assert alice.is_over
        with pytest.raises(NoSession):
            sessions.find(ALICE)


async def test_a_server_that_shuts_down_waits_for_no_engine() -> None:
    async with house() as (built, sessions):
        await lose(built, await open_for(sessions, ALICE))
    assert built.ended == [False]


async def test_a_caller_that_gives_up_while_its_session_opens_blocks_nobody() -> None:
    async with house() as (built, sessions):
        engine = built.engines[0]
        engine.ready.clear()
        opening = asyncio.create_task(sessions.open(SIMPLEX, ALICE))
        await until(lambda: bool(engine.sessions))
        opening.cancel()
        engine.ready.set()
        await asyncio.gather(opening, return_exceptions=True)
        await open_for(sessions, ALICE_AGAIN)


async def test_nothing_outlives_the_service() -> None:
    async with house(2) as (built, sessions):
        alice = await open_for(sessions, ALICE)
        await ask(alice)
        with alice.join(Errand.GENERATE) as place:
            reply = alice.open_reply(place)
    events = [event async for event in reply.events()]
    assert events[-1].count(b'"done": true') == 1
    assert len(built.engines) == 2


async def test_a_server_that_is_about_to_stop_ends_no_session_for_a_new_one() -> None:
    async with house(policy=SessionPolicy.TAKEOVER) as (_, sessions):
        session = await open_for(sessions, ALICE)
        sessions.refuse_new()
        with pytest.raises(ShuttingDown):
            await open_for(sessions, BOB)
        with pytest.raises(ShuttingDown):
            await sessions.reopen(session, ALICE)
        await ask(session)
        assert not session.is_over
