"""What a health check is told, for every state of the engines."""

import itertools
import json
from collections.abc import Mapping

import httpx
import pytest
from fastapi import FastAPI

from duplex.engine.host import EngineState, EngineStatus
from duplex.engine.spec import EngineKind
from duplex.errors import NotAuthorised
from http_compat.control import make_control_app
from http_compat.decoders import Decoders
from http_compat.health import Health, judge
from http_compat.routes import HttpService, make_router
from tests.http_compat.test_sessions import HandClock, house

WORDS = {
    EngineState.STARTING: "loading",
    EngineState.READY: "healthy",
    EngineState.LEASED: "healthy",
    EngineState.FINISHING: "healthy",
    EngineState.RESTARTING: "restarting",
    EngineState.FAILED: "failed",
    EngineState.STOPPED: "stopping",
}
NEAREST_FIRST = ["healthy", "loading", "restarting", "failed", "stopping"]
HOSTILE = [
    "",
    "\n",
    "llama-server did not become healthy within 180 s",
    '{"status":"healthy"}',
    "unhealthy\nhealthy",
    "HEALTHY",
    "heahealthylthy",
    "ready",
]


def engine(state: EngineState, detail: str = "") -> EngineStatus:
    return EngineStatus(kind=EngineKind.LLAMA_SERVER, state=state, detail=detail, stand_in=False)


def texts(health: Health) -> str:
    return json.dumps(health.body(), ensure_ascii=False) + json.dumps(health.body())


@pytest.mark.parametrize("state", EngineState)
def test_each_state_of_one_engine(state: EngineState) -> None:
    health = judge([engine(state, "a reason")])
    assert health.status == WORDS[state]
    assert health.is_serving is (WORDS[state] == "healthy")
    assert health.code == (200 if health.is_serving else 503)
    assert list(health.body()) == ["status", "message", "backend"]


def test_the_documented_answer() -> None:
    assert judge([engine(EngineState.READY, "anything")]).body() == {
        "status": "healthy",
        "message": "服务正常 (C++ backend)",
        "backend": "cpp",
    }


@pytest.mark.parametrize("detail", HOSTILE)
@pytest.mark.parametrize("state", EngineState)
def test_the_word_stands_only_where_it_is_true(state: EngineState, detail: str) -> None:
    health = judge([engine(state, detail)])
    assert ("healthy" in texts(health).lower()) is (health.code == 200)


def test_the_best_of_several_engines_counts() -> None:
    for states in itertools.product(EngineState, repeat=3):
        health = judge([engine(state, f"is {state}") for state in states])
        assert health.status == min((WORDS[state] for state in states), key=NEAREST_FIRST.index)
        if not health.is_serving:
            assert WORDS[EngineState(health.message.rpartition(" ")[2])] == health.status


@pytest.mark.parametrize("state", EngineState)
def test_an_engine_that_is_started_again_for_a_call_does_not_end_it(state: EngineState) -> None:
    health = judge([engine(state, "a reason"), engine(EngineState.FAILED)], saves_call=True)
    assert health.is_serving is (WORDS[state] == "healthy" or state is EngineState.RESTARTING)
    assert ("healthy" in texts(health)) is health.is_serving


def test_without_engines_nothing_is_served() -> None:
    health = judge([])
    assert (health.code, health.status) == (503, "stopping")


@pytest.mark.parametrize(
    ("detail", "message"),
    [
        ("loading weights", "服务不可用: loading weights"),
        ("exit code 1\nlong output", "服务不可用: exit code 1"),
        ("", "服务不可用: loading"),
        ("\nlong output", "服务不可用: loading"),
    ],
)
def test_the_reason_is_one_line(detail: str, message: str) -> None:
    assert judge([engine(EngineState.STARTING, detail)]).message == message


async def test_reasons_are_told_to_those_who_may_call() -> None:
    def check_access(headers: Mapping[str, str]) -> None:
        if headers.get("authorization") != "Bearer sesame":
            raise NotAuthorised("a key, please")

    states = [EngineState.RESTARTING]
    async with house() as (_, sessions):
        service = HttpService(
            sessions=sessions,
            decoders=Decoders(),
            health=lambda: judge([engine(state, "/srv/somebody/model is gone") for state in states]),
            check_access=check_access,
            clock=HandClock(),
        )
        main = FastAPI()
        main.include_router(make_router(service))
        for app in (main, make_control_app(service)):
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://node") as client:
                stranger = await client.get("/health")
                assert (stranger.status_code, stranger.json()["status"]) == (503, "restarting")
                assert "somebody" not in stranger.text
                known = await client.get("/health", headers={"Authorization": "Bearer sesame"})
                assert known.json()["message"].endswith("/srv/somebody/model is gone")
