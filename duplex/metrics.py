"""What is counted and timed, for Prometheus: one registry for each server, no label that a client could invent.

What can be read off (engines' states, how full the queues are) is read when somebody asks; what happens is counted
where it happens, by the `SessionMeter` of each session. Nothing here holds audio, text or keys.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from duplex.effects import Effect, Interrupt, Say
from duplex.engine.base import EngineEvent, EngineIdle
from duplex.errors import OmniDuplexError
from duplex.messages import ResponseCut, ResponseEnded, ServerMessage, Warned

__all__ = ["Metrics", "QueueFill", "SessionMeter"]

QueueFill = Callable[[], Mapping[str, float]]
"""How full each queue of a session is: 0 for empty, 1 for the bound of docs/queues.md."""

_TURN_BUCKETS_S = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""What a person waits for: from unnoticed to unbearable."""
_FLUSH_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_DRAIN_BUCKETS_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 45.0, 90.0)
_SESSION_BUCKETS_S = (1.0, 10.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 4 * 3600.0, 12 * 3600.0)


class Metrics:
    """Everything one server counts. `registry` is what a scrape shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_QueueFills(self))
        self.fills: set[QueueFill] = set()
        """One of each session that runs."""
        self.sessions = self._counter("sessions", "Conversations that began", "dialect")
        self.running = Gauge(
            "omni_duplex_running_sessions", "Conversations that run now", ["dialect"], registry=self.registry
        )
        self.ended = self._counter("sessions_ended", "Conversations that ended; done, or the error's name", "reason")
        self.session_s = self._histogram("session_seconds", "Length of conversations", _SESSION_BUCKETS_S)
        self.refusals = self._counter("refusals", "Connections and requests that were refused", "interface", "reason")
        self.responses = self._counter("responses", "Answers that ended", "dialect", "outcome")
        self.stages = self._histogram("turn_stage_seconds", "Stages of a turn, by name", _TURN_BUCKETS_S, "stage")
        self.flush_s = self._histogram(
            "break_flush_seconds", "From the decision to break to its message in the socket", _FLUSH_BUCKETS_S
        )
        self.drain_s = self._histogram(
            "break_drain_seconds", "From the decision to break to an engine that is silent", _DRAIN_BUCKETS_S
        )
        self.contexts = self._counter("context_restarts", "Conversations that went on in an empty context", "dialect")
        self.warnings = self._counter("warnings", "Notices of loss sent to clients", "code")
        self.input_dropped_s = self._counter("input_dropped_seconds", "Microphone audio no engine had time for")
        self.pictures_dropped = self._counter("pictures_dropped", "Pictures of the high-refresh mode without room")

    def refused(self, interface: str, error: OmniDuplexError) -> None:
        """Somebody was turned away, at `realtime`, `http` or `control`."""
        self.refusals.labels(interface, type(error).__name__).inc()

    def meter(self, dialect: str) -> "SessionMeter":
        """For one session, which speaks `dialect`."""
        return SessionMeter(self, dialect)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"omni_duplex_{name}", f"{what}.", labels, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"omni_duplex_{name}", f"{what}.", labels, registry=self.registry, buckets=buckets)


class SessionMeter:
    """Watches one session pass by. All `now` are seconds of one monotonic clock."""

    def __init__(self, metrics: Metrics, dialect: str) -> None:
        self._metrics = metrics
        self._dialect = dialect
        self._cut_at: float | None = None
        self._interrupted_at: float | None = None

    @contextlib.contextmanager
    def counting(self, now: Callable[[], float], fill: QueueFill) -> Iterator[None]:
        """The session runs while the body does."""
        metrics, began = self._metrics, now()
        metrics.sessions.labels(self._dialect).inc()
        metrics.running.labels(self._dialect).inc()
        metrics.fills.add(fill)
        reason = "done"
        try:
            yield
        except BaseException as error:
            reason = type(error).__name__
            raise
        finally:
            metrics.fills.discard(fill)
            metrics.running.labels(self._dialect).dec()
            metrics.ended.labels(reason).inc()
            metrics.session_s.observe(now() - began)

    def decided(self, effect: Effect, now: float) -> None:
        """The conversation wants this done."""
        if isinstance(effect, Interrupt):
            self._interrupted_at = now
        elif isinstance(effect, Say) and isinstance(effect.message, ResponseCut):
            self._cut_at = now

    def sent(self, message: ServerMessage, now: float) -> None:
        """This is in the socket."""
        match message:
            case ResponseEnded(latency_ms):
                self.answered("completed", latency_ms)
            case ResponseCut():
                self.answered(str(message.reason), message.latency_ms)
                if self._cut_at is not None:
                    self._metrics.flush_s.observe(now - self._cut_at)
                    self._cut_at = None
            case Warned(code):
                self._metrics.warnings.labels(code).inc()

    def heard(self, event: EngineEvent, now: float) -> None:
        """The engine says this."""
        if self._interrupted_at is not None and event == EngineIdle(interrupted=True):
            self._metrics.drain_s.observe(now - self._interrupted_at)
            self._interrupted_at = None

    def answered(self, outcome: str, latency_ms: Mapping[str, int] | None = None) -> None:
        """An answer has ended; the stages of its turn, whose names end in `_ms`."""
        self._metrics.responses.labels(self._dialect, outcome).inc()
        for name, ms in (latency_ms or {}).items():
            self._metrics.stages.labels(name.removesuffix("_ms")).observe(ms / 1000)

    def context_renewed(self) -> None:
        """The model has forgotten the conversation, which goes on."""
        self._metrics.contexts.labels(self._dialect).inc()

    def first_audio(self, seconds: float) -> None:
        """Where turns are not followed stage by stage: from the request to the first sound."""
        self._metrics.stages.labels("request_to_first_audio").observe(seconds)

    def dropped(self, *, input_s: float = 0.0, pictures: int = 0) -> None:
        """So much was lost in the whole session."""
        self._metrics.input_dropped_s.inc(input_s)
        self._metrics.pictures_dropped.inc(pictures)


class _QueueFills(Collector):
    """The fullest queue of each kind, of all sessions, when somebody asks."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """Its names, which do not depend on what runs."""
        return [self._family()]

    def collect(self) -> Iterator[Metric]:
        """The gauges now."""
        fullest: dict[str, float] = {}
        for fill in tuple(self._metrics.fills):
            for queue, ratio in fill().items():
                fullest[queue] = max(fullest.get(queue, 0.0), ratio)
        family = self._family()
        for queue, ratio in sorted(fullest.items()):
            family.add_metric([queue], ratio)
        yield family

    @staticmethod
    def _family() -> GaugeMetricFamily:
        what = "How full the fullest queue of this kind is, of all sessions: 1 is its bound."
        return GaugeMetricFamily("omni_duplex_queue_fill_ratio", what, labels=["queue"])
