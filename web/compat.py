"""The HTTP interface of old clients, put together: sessions, health, control port, registration."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx

from duplex.clock import Clock
from duplex.engine.base import EngineAudio
from duplex.engine.pool import EnginePool
from duplex.engine.ports import is_loopback
from duplex.errors import CapacityError, EngineNotReady
from duplex.metrics import Metrics
from duplex.tasks import beside
from http_compat.decoders import Decoders
from http_compat.health import Health, judge
from http_compat.registry import Node, Registrar, advertised_ip
from http_compat.routes import HttpService
from http_compat.sessions import HttpSessions, SessionRules
from http_compat.wav_timing import StopReason, WavTimingLog
from realtime.access import Access
from web.engines import lender
from web.overload import Overload
from web.settings import Settings

__all__ = ["http_service", "registered"]

_log = logging.getLogger(__name__)

_ADDRESS_AGAIN_S = 10.0


@contextlib.asynccontextmanager
async def http_service(
    settings: Settings, pool: EnginePool, access: Access, clock: Clock, metrics: Metrics, *, overload: Overload
) -> AsyncIterator[HttpService]:
    """The service behind the routes; its sessions live while the body runs."""

    def health() -> Health:
        return judge(pool.status(), saves_call=sessions.saves_call)

    def refusal() -> CapacityError | None:
        judged = judge(pool.status())
        return None if judged.is_serving else EngineNotReady(judged.message)

    decoders = Decoders()
    with _timing_log(settings.http.wav_timing_log) as timing:
        sessions = HttpSessions(
            lend=lender(pool),
            can_lease=lambda: pool.can_lease,
            refusal=refusal,
            turned_away=overload.refusal,
            clock=clock,
            rules=SessionRules(
                mode=settings.conversation.mode,
                policy=settings.http.session_policy,
                after_break=settings.conversation.after_break,
            ),
            stack=decoders.stack,
            on_wav=None if timing is None else timing.note,
            on_end=None if timing is None else timing.end_session,
            metrics=metrics,
        )
        async with decoders.running(), sessions.running():
            yield HttpService(
                sessions=sessions, decoders=decoders, health=health, check_access=access.check, clock=clock
            )


@contextlib.asynccontextmanager
async def registered(
    settings: Settings, port: int, service: HttpService, *, until: asyncio.Event
) -> AsyncIterator[None]:
    """Registered with the backend while the body runs and `until` is not set, when the settings name one. Without one
    nothing is called."""
    url = settings.registration.url
    if url is None:
        yield
        return

    async def stay() -> None:
        async with beside(registration=_stay_registered(settings, url, port, service)):
            await until.wait()

    async with beside(registered=stay()):
        yield


async def _stay_registered(settings: Settings, url: str, port: int, service: HttpService) -> None:
    ip = await _own_address(url, settings.registration.advertise_ip)
    if is_loopback(settings.server.host) and not is_loopback(ip):
        _log.warning(
            "Registering %s, but listening on %s: the backend cannot call. Give --host.", ip, settings.server.host
        )
    async with httpx.AsyncClient(trust_env=False) as client:
        await Registrar(
            url=url,
            node=Node(ip, port, settings.conversation.mode),
            can_serve=lambda: service.health().is_serving,
            client=client,
        ).run()


async def _own_address(url: str, chosen: str | None) -> str:
    """The address to tell the backend. Its name or the way to it may not be there yet."""
    while True:
        try:
            return await asyncio.to_thread(advertised_ip, url, chosen)
        except OSError as error:
            _log.warning("%s", error)
        await asyncio.sleep(_ADDRESS_AGAIN_S)


class _TimingLog:
    """What sessions tell of themselves, as lines of the log of WAVs."""

    def __init__(self, log: WavTimingLog) -> None:
        self._log = log

    def note(self, sound: EngineAudio, seconds: float) -> None:
        self._log.wav(sound.name, sound.made_s, time.time(), seconds)

    def end_session(self, is_replaced: bool) -> None:
        self._log.stop(StopReason.NEW_SESSION if is_replaced else StopReason.SESSION_STOPPED)


@contextlib.contextmanager
def _timing_log(path: Path | None) -> Iterator[_TimingLog | None]:
    """The log of WAVs, when there is to be one."""
    if path is None:
        yield None
        return
    with contextlib.closing(WavTimingLog(path)) as log:
        yield _TimingLog(log)
