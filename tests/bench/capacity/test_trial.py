"""The capacity benchmark once and small, with the processes it starts."""

import asyncio

from bench.capacity.trial import run_trial


async def test_calls_are_counted_on_both_sides_and_a_refused_one_is_an_error() -> None:
    ours, bare, refused = await asyncio.gather(
        run_trial("ours", 10, settle_s=2.1, seconds=0.5, afterwards_s=0.0),
        run_trial("bare", 3, flags=("--bare",), settle_s=2.1, seconds=0.5, afterwards_s=0.0),
        run_trial("refused", 1, query="audio=no", settle_s=0.1, seconds=0.1, afterwards_s=0.0),
    )
    for trial in (ours, bare):
        assert (trial.error, trial.silent) == ("", 0)
        assert trial.handling.keys() == trial.jitter.keys() == trial.client_late.keys() == {"p50", "p90", "p99", "max"}
        assert trial.handling["p50"] > 0.0
    assert ours.cpu_percent > 0.0
    assert "audio" in refused.error
    assert refused.handling == {}
    assert not refused.holds(1000.0)
