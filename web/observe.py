"""What watches over a server asks: is it alive, could it take a call, and what has it counted."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from duplex.engine.host import EngineState
from duplex.engine.pool import EnginePool
from duplex.errors import ClientError
from duplex.metrics import Metrics
from web.banner import project_version
from web.overload import Overload
from web.settings import Settings

__all__ = ["make_observe_router", "make_status_router"]

CheckAccess = Callable[[Mapping[str, str]], None]
"""Raises `ClientError` for the headers of a request that has no key, where one is needed."""


def make_observe_router(pool: EnginePool, check_access: CheckAccess, metrics: Metrics, overload: Overload) -> APIRouter:
    """`/livez` and `/readyz`, which anybody may ask, and `/metrics`, for which the access is checked."""
    metrics.registry.register(_Engines(pool))
    metrics.registry.register(_Loop(overload))
    router = APIRouter()

    @router.get("/livez")
    async def livez() -> JSONResponse:
        # That it is answered at all is the answer: the loop runs.
        return JSONResponse({"live": True})

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        refusal = overload.refusal() or pool.unreadiness()
        if refusal is None:
            return JSONResponse({"ready": True})
        states = [engine.state for engine in pool.status()]
        return JSONResponse({"ready": False, "reason": str(refusal), "engines": states}, 503)

    @router.get("/metrics")
    async def scrape(request: Request) -> Response:
        check_access(request.headers)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router


def make_status_router(settings: Settings, pool: EnginePool, check_access: CheckAccess) -> APIRouter:
    """`/status`, which anybody may ask: engines, queue and mode as the page shows them.

    What is said of an engine in words may hold paths of this machine, and is for those who may call.
    """
    router = APIRouter()

    def may_call(headers: Mapping[str, str]) -> bool:
        try:
            check_access(headers)
        except ClientError:
            return False
        return True

    @router.get("/status")
    async def status(request: Request) -> dict[str, object]:
        tells = may_call(request.headers)
        engines = [
            {
                "kind": engine.kind,
                "state": engine.state,
                "detail": engine.detail if tells else "",
                "stand_in": engine.stand_in,
            }
            for engine in pool.status()
        ]
        return {
            "version": project_version(),
            "engines": engines,
            "queue": {"length": pool.queue_length, "limit": settings.engine.queue},
            "conversation": settings.conversation.mode,
        }

    return router


class _Engines(Collector):
    """The engines as the pool sees them, when somebody asks."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool

    def describe(self) -> Iterable[Metric]:
        """Names alone: nothing is asked of the pool before it runs."""
        return [*self._families()]

    def collect(self) -> Iterator[Metric]:
        """One series for each engine and state, 1 for the state it is in."""
        info, draining, states, restarts = self._families()
        info.add_metric([], {"version": project_version()})
        draining.add_metric([], float(self._pool.is_closing))
        for number, engine in enumerate(self._pool.status()):
            for state in EngineState:
                states.add_metric([str(number), engine.kind, state], float(engine.state is state))
            restarts.add_metric([str(number)], engine.restarts)
        yield from (info, draining, states, restarts)

    @staticmethod
    def _families() -> tuple[InfoMetricFamily, GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily]:
        return (
            InfoMetricFamily("omni_duplex", "This server."),
            GaugeMetricFamily("omni_duplex_draining", "1 from the signal to stop on: nothing new is taken.", labels=[]),
            GaugeMetricFamily(
                "omni_duplex_engine_state", "1 for the state an engine is in.", labels=["engine", "kind", "state"]
            ),
            CounterMetricFamily("omni_duplex_engine_restarts", "Restarts of an engine.", labels=["engine"]),
        )


class _Loop(Collector):
    """How late the event loop is, when somebody asks."""

    def __init__(self, overload: Overload) -> None:
        self._overload = overload

    def collect(self) -> Iterator[Metric]:
        """The gauges now."""
        yield GaugeMetricFamily(
            "omni_duplex_loop_lag_seconds",
            "What nine of ten wakes of the event loop in the last five seconds were late at most.",
            self._overload.lag_s,
        )
        yield GaugeMetricFamily("omni_duplex_overloaded", "1 while new calls are refused.", float(self._overload.is_on))
