"""So many calls at one server for some seconds: what they cost, and how evenly they were served."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import psutil

from bench.capacity.probe import PROBE_PATH
from bench.errors import BenchError
from bench.figures import percentile
from bench.server import Server, running_server
from duplex.engine.ports import LOOPBACK

__all__ = ["Figures", "Trial", "figures_of", "run_trial"]

Figures = Mapping[str, float]
"""Percentiles of measured values, by name."""

_SHARES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
_CLIENT_LIMIT_S = 120.0
_LONGEST_LINE = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Trial:
    """Milliseconds unless it says otherwise, as percentiles of all that was measured."""

    what: str
    sessions: int
    cpu_percent: float
    """Of one core, all sessions together."""
    rss_mb: float
    """Resident memory in the last second of all sessions."""
    rss_before_mb: float
    rss_after_mb: float
    """When all have ended."""
    handling: Figures = field(default_factory=dict)
    """From the client's kernel to the server's decision about a frame."""
    jitter: Figures = field(default_factory=dict)
    """How late pieces of sound reached the client, each session's earliest being in time."""
    client_late: Figures = field(default_factory=dict)
    """How late the client itself sent its frames."""
    silent: int = 0
    """Sessions that heard less than half of their sound."""
    ages_ms: Sequence[float] = ()
    """What `handling` was made of, where that was asked for."""
    error: str = ""
    """Why there are no figures: the server refused or lost a call, or did not read it."""

    @property
    def cpu_a_session(self) -> float:
        """Percent of a core."""
        return self.cpu_percent / self.sessions

    @property
    def rss_a_session_kb(self) -> float:
        """In KiB."""
        return 1024 * (self.rss_mb - self.rss_before_mb) / self.sessions

    def holds(self, handling_ms: float) -> bool:
        """Did every session hear its sound, and were at most 1 % of the frames older than that at the decision?"""
        return not self.error and not self.silent and self.handling["p99"] <= handling_ms


async def run_trial(
    what: str,
    sessions: int,
    *,
    settle_s: float,
    seconds: float,
    afterwards_s: float = 1.5,
    stamp_every: int = 10,
    keep_ages: bool = False,
    flags: Sequence[str] = (),
    query: str = "",
) -> Trial:
    """Start a server, call it from another process, and end both.

    `flags` are those of `bench.capacity.server`, `query` replaces that of the address, `afterwards_s` is what sessions
    that have ended are given to let go of everything, and one frame in `stamp_every` of each tells its age. Where the
    system lets us say so and has two cores, the server has one of them and the client the others.
    """
    options = ["--sessions", str(sessions), "--settle", str(settle_s), "--seconds", str(seconds)]
    options += ["--stamp-every", str(stamp_every), *(["--query", query] if query else [])]
    async with running_server(*flags, module="bench.capacity.server") as server:
        cores = _cores()
        if len(cores) > 1:
            server.process.cpu_affinity(cores[:1])
        before_mb = server.memory_mb()
        async with _client(server, options, cores[1:]) as client:
            found = await _line(client)
            await _ages_ms(server)
            cpu_s, at_s = server.cpu_s(), time.monotonic()
            if "error" not in found:
                found = await _line(client)
            cpu_percent = 100 * (server.cpu_s() - cpu_s) / (time.monotonic() - at_s)
            rss_mb = server.memory_mb()
            ages_ms = await _ages_ms(server)
        await asyncio.sleep(afterwards_s)
        after_mb = server.memory_mb()
    cost = Trial(what, sessions, cpu_percent, rss_mb, before_mb, after_mb)
    return replace(_with_findings(cost, ages_ms, found), ages_ms=ages_ms if keep_ages else ())


def _with_findings(cost: Trial, ages_ms: Sequence[float], found: Mapping[str, Any]) -> Trial:
    return replace(
        cost,
        handling=figures_of(ages_ms),
        jitter=figures_of(found.get("jitter_ms", ())),
        client_late=figures_of(found.get("lateness_ms", ())),
        silent=found.get("silent", 0),
        error=found.get("error", "" if ages_ms else "The server decided about no frame at all."),
    )


def figures_of(values: Sequence[float]) -> Figures:
    """The percentiles that are kept; none of no values."""
    return {name: round(percentile(values, share), 3) for name, share in _SHARES} if values else {}


def _cores() -> list[int]:
    """Those we may use; none where they cannot be chosen."""
    ours = psutil.Process()
    return list(ours.cpu_affinity() or []) if hasattr(ours, "cpu_affinity") else []


@asynccontextmanager
async def _client(server: Server, options: Sequence[str], cores: Sequence[int]) -> AsyncIterator[Process]:
    command = (sys.executable, "-m", "bench.capacity.client", "--port", str(server.port), *options)
    client = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE)
    try:
        if cores:
            psutil.Process(client.pid).cpu_affinity(list(cores))
        yield client
    finally:
        # Its calls end with its input.
        assert client.stdin is not None
        client.stdin.close()
        await client.wait()


async def _line(client: Process) -> dict[str, Any]:
    assert client.stdout is not None
    async with asyncio.timeout(_CLIENT_LIMIT_S):
        line = await client.stdout.readline()
    if not line:
        raise BenchError("The clients ended without a result.")
    found: dict[str, Any] = json.loads(line)
    return found


async def _ages_ms(server: Server) -> list[float]:
    """How old frames were when they had been decided about, since the last time."""
    async with httpx.AsyncClient(trust_env=False, timeout=_CLIENT_LIMIT_S) as client:
        answer = await client.get(f"http://{LOOPBACK}:{server.port}{PROBE_PATH}")
    return [age_us / 1000 for age_us in answer.json()]
