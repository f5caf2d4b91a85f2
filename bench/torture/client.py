"""Many sessions from one process: `python -m bench.torture.client --port P --engines P,P --seed S --first 0 --end N`.

Each ends with a line of JSON on standard output.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from bench.torture.http_call import HttpTortureCall
from bench.torture.plan import HTTP, Fault, Plan, make_plan
from bench.torture.socket_call import Left, SocketCall, Stuck
from duplex.engine.ports import LOOPBACK

__all__ = ["Outcome", "main", "run_session", "switch"]

_FAULT_PATIENCE_S = 2.0
_SESSION_PATIENCE_S = 300.0
"""Longer than everything in a plan may take together: then the client itself is wrong."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one session."""

    index: int
    how: str
    """`done`, or what ended it before its plan did."""
    begun: int = 0
    ended: int = 0
    """Answers."""
    heard_s: float = 0.0
    violations: list[str] = field(default_factory=list)


async def run_session(plan: Plan, port: int, engines: Sequence[int], speed: float) -> Outcome:
    """Carry a plan out, with its fault."""
    call = HttpTortureCall(plan, port, speed) if plan.interface == HTTP else SocketCall(plan, port, speed)
    at = "the beginning"
    violations = []
    how = "done"
    try:
        async with asyncio.timeout(_SESSION_PATIENCE_S):
            async with call.running():
                for number, at in enumerate(plan.steps):
                    await _strike(plan.fault, number, engines)
                    await call.step(at)
                await _strike(plan.fault, len(plan.steps), engines)
                at = "the end"
                await call.end()
    except* Left as left:
        how = str(left.exceptions[0])
    except* Stuck:
        how = "stuck"
        violations.append(f"stuck at {at!r}")
    except* TimeoutError:
        how = "stuck"
        violations.append(f"no end of {at!r}")
    finally:
        if plan.fault is not None:
            await switch(engines[plan.fault.engine % len(engines)], {plan.fault.name: None})
    judge = call.judge if isinstance(call, SocketCall) else call
    violations += call.judge.finish() if isinstance(call, SocketCall) else call.finish()
    return Outcome(plan.index, how, judge.begun, judge.ended, judge.sounds.seconds, violations)


async def _strike(fault: Fault | None, step: int, engines: Sequence[int]) -> None:
    if fault is not None and fault.before_step == step:
        await switch(engines[fault.engine % len(engines)], {fault.name: fault.value})


async def switch(port: int, faults: dict[str, object]) -> None:
    """Throw switches of the parrot at `port`; one that is dead or hangs is left alone."""
    body = json.dumps(faults).encode()
    head = (
        f"POST /parrot/faults HTTP/1.1\r\nHost: {LOOPBACK}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        async with asyncio.timeout(_FAULT_PATIENCE_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                writer.write(head.encode("ascii") + body)
                await reader.read()
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return


async def _run_all(options: argparse.Namespace) -> None:
    engines = [int(port) for port in options.engines.split(",")]
    indices = iter(range(options.first, options.end, options.step))
    give_up_s = time.monotonic() + options.seconds

    async def run_some() -> None:
        for index in indices:
            if time.monotonic() > give_up_s:
                return
            plan = make_plan(options.seed, index, faults=not options.kind)
            outcome = await run_session(plan, options.port, engines, options.speed)
            print(json.dumps(asdict(outcome)), flush=True)

    async with asyncio.TaskGroup() as group:
        for _ in range(options.at_once):
            group.create_task(run_some())


def main(argv: Sequence[str] | None = None) -> int:
    """Run every `step`-th session from `first` to `end`."""
    parser = argparse.ArgumentParser(prog="python -m bench.torture.client", description=__doc__)
    add = parser.add_argument
    add("--port", type=int, required=True)
    add("--engines", required=True, help="ports of the engines, separated by commas")
    add("--seed", type=int, required=True)
    add("--first", type=int, required=True)
    add("--end", type=int, required=True)
    add("--step", type=int, default=1)
    add("--at-once", type=int, default=1)
    add("--speed", type=float, default=1.0)
    add("--seconds", type=float, default=1e9, help="after which no session begins any more")
    add("--kind", action="store_true", help="no faults, and nobody misbehaves")
    asyncio.run(_run_all(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
