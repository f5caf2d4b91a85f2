"""The short form of the torture, on a real server with real engines."""

import subprocess
import sys
import tempfile
from dataclasses import replace

import pytest

from bench.errors import BenchError
from bench.torture.client import Outcome
from bench.torture.house import Census, House, leaks
from bench.torture.run import Found, Wish, describe, torture

QUICK = Wish(seed=2, first=0, sessions=30, seconds=60.0, engines=2, at_once=8, clients=1, speed=10.0, warm_up=6)


@pytest.mark.timeout(180)
async def test_nothing_that_is_promised_breaks() -> None:
    found = await torture(QUICK, lambda _: None)
    assert found.violations == []
    assert len(found.outcomes) == QUICK.sessions
    # Calls that never come to an answer prove nothing.
    assert sum(one.begun for one in found.outcomes) > QUICK.sessions / 2


async def test_a_server_that_counts_no_more_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.torture.house._COUNTS_WITHIN_S", 0.01)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as silent,  # noqa: ASYNC220 - as `open_house` does
        tempfile.TemporaryFile() as log,
    ):
        try:
            with pytest.raises(BenchError, match="did not count"):
                await House(silent, port=1, engines=[], log=log).census()
        finally:
            silent.kill()


def test_what_is_held_on_to_is_told() -> None:
    before = Census({"a": 1}, {"socket": 5}, 1000, [1, 2], ["/s"], 4, running=0, is_free=True)
    assert leaks(before, before) == []
    after = replace(
        before,
        tasks={"a": 2, "b": 1},
        fds={"socket": 9},
        blocks=1100,
        children=[1],
        files=400,
        running=1,
        is_free=False,
    )
    assert len(leaks(before, after)) == 8


def test_memory_is_judged_by_its_first_and_last_tenth() -> None:
    assert Found(rss_mb=[100.0] * 10).rss_growth() is None
    assert Found(rss_mb=[*[100.0] * 500, *[104.0] * 500]).rss_growth() == pytest.approx(0.04)


def test_a_violation_says_how_to_see_it_again() -> None:
    said = describe(11, Outcome(109, "done"))
    assert said == "openai, simplex: garbage say garbage done, then close"
