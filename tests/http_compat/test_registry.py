"""Staying in the backend's list of nodes."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.engine.base import Mode
from http_compat.registry import (
    BackendFailed,
    Node,
    Registrar,
    RegistrarLimits,
    Step,
    advertised_ip,
    decide,
    parse_registration,
    parse_services,
)
from tests.http_compat.backend import Backend

URL = "http://backend.test:8025"
NODE = Node(ip="10.0.0.7", port=9060, model_type=Mode.SIMPLEX)
ID = "10.0.0.7:9060"
LOOK_S = 10.0
LISTED = json.dumps({"services": [{"service_id": ID, "status": "available"}], "total": 1}).encode()
NOBODY = b'{"services": [], "total": 0}'

Answer = httpx.Response | Exception


class Wire(httpx.AsyncBaseTransport):
    """The way to the backend: it may be down, silent, or answer in the backend's place."""

    def __init__(self, backend: Backend) -> None:
        self._backend = httpx.ASGITransport(app=backend.app)
        self.requests: list[tuple[str, str]] = []
        self.answers: dict[str, Answer | Callable[[], Answer]] = {}
        """What to answer to a method instead."""
        self.is_down = False
        self.is_silent = False
        self.loses_answers = False
        self.holds: str | None = None
        """The method whose requests wait for `may_answer`."""
        self.held = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append((request.method, request.url.raw_path.decode()))
        if request.method == self.holds:
            self.held.set()
            await self.may_answer.wait()
        if self.is_down:
            raise httpx.ConnectError("All connection attempts failed")
        if self.is_silent:
            await asyncio.Event().wait()
        if (answer := self.answers.get(request.method)) is not None:
            answer = answer() if callable(answer) else answer
            if isinstance(answer, Exception):
                raise answer
            return answer
        response = await self._backend.handle_async_request(request)
        if self.loses_answers:
            raise httpx.ReadError("")
        return response

    def count(self, method: str) -> int:
        return [name for name, _ in self.requests].count(method)


class Rig:
    """A `Registrar` that runs, and the waits it asks for: each ends when the test says so."""

    def __init__(self, backend: Backend, *, can_serve: bool = True, limits: RegistrarLimits | None = None) -> None:
        self.wire = Wire(backend)
        self.can_serve = can_serve
        self.task: asyncio.Task[None] | None = None
        self._limits = limits
        self._naps: asyncio.Queue[float] = asyncio.Queue()
        self._wake = asyncio.Event()

    async def _sleep(self, delay_s: float) -> None:
        self._naps.put_nowait(delay_s)
        self._wake.clear()
        await self._wake.wait()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Rig"]:
        async with httpx.AsyncClient(transport=self.wire, trust_env=False) as client:
            registrar = Registrar(
                url=URL + "/",
                node=NODE,
                can_serve=lambda: self.can_serve,
                client=client,
                limits=self._limits,
                sleep=self._sleep,
            )
            self.task = asyncio.create_task(registrar.run())
            try:
                yield self
            finally:
                await self.cancel()

    async def nap(self) -> float:
        """Until it waits; how long it means to."""
        assert self.task is not None
        napping = asyncio.create_task(self._naps.get())
        await asyncio.wait({napping, self.task}, return_when=asyncio.FIRST_COMPLETED)
        assert napping.done(), f"it ended: {self.task}"
        return napping.result()

    async def look(self) -> float:
        """End the wait; how long the next one is."""
        self._wake.set()
        return await self.nap()

    async def cancel(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait({self.task})
        assert self.task.cancelled(), self.task


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, logger="http_compat.registry")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "http_compat.registry"]


# --- the pure part


@pytest.mark.parametrize(
    ("is_listed", "can_serve", "step"),
    [
        (True, True, Step.KEEP),
        (True, False, Step.KEEP),
        (False, True, Step.REGISTER),
        (False, False, Step.WAIT),
    ],
)
def test_the_decision(is_listed: bool, can_serve: bool, step: Step) -> None:
    assert decide(is_listed=is_listed, can_serve=can_serve) is step


@pytest.mark.parametrize(
    ("content", "services"),
    [
        (NOBODY, {}),
        (b'{"services": []}', {}),
        (LISTED, {ID: "available"}),
        (b'{"services": [{"service_id": "a:1"}, {"service_id": "b:2", "x": 1}]}', {"a:1": "", "b:2": ""}),
        (b'{"services": [{"service_id": "a:1", "status": null}]}', {"a:1": ""}),
    ],
)
def test_a_list_is_read(content: bytes, services: dict[str, str]) -> None:
    assert parse_services(content) == services


NO_LISTS = [
    b"",
    b"<html>bad gateway</html>",
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b'"services"',
    b"{}",
    b'{"services": null}',
    b'{"services": {}}',
    b'{"services": ["10.0.0.7:9060"]}',
    b'{"services": [{}]}',
    b'{"services": [{"service_id": null}]}',
    b'{"services": [{"service_id": "a:1"}, {"id": "10.0.0.7:9060"}]}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("content", NO_LISTS, ids=lambda content: content[:40].decode(errors="replace"))
def test_half_a_list_is_none(content: bytes) -> None:
    with pytest.raises(BackendFailed):
        parse_services(content)


@given(
    st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_no_answer_breaks_the_parsing(content: bytes) -> None:
    for parse in (parse_services, parse_registration):
        with contextlib.suppress(BackendFailed):
            parse(content)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"service_id": 7}', b'{"service_id": ""}'])
def test_a_registration_without_an_id_is_none(content: bytes) -> None:
    with pytest.raises(BackendFailed):
        parse_registration(content)


def test_the_node_says_what_the_backend_requires() -> None:
    assert NODE.service_id == ID
    assert NODE.body() == {
        "ip": "10.0.0.7",
        "port": 9060,
        "model_port": 9060,
        "service_name": "o45-cpp",
        "model_type": "simplex",
        "session_type": "release",
    }
    assert Node(ip="10.0.0.7", port=9060, model_type=Mode.DUPLEX).body()["model_type"] == "duplex"


# --- the address


@pytest.mark.parametrize("url", ["http://127.0.0.1:8025", "http://localhost:8025", "https://127.0.0.1"])
def test_a_backend_on_this_machine_gets_the_loopback_address(url: str) -> None:
    assert advertised_ip(url, None) == "127.0.0.1"
    assert advertised_ip(url, "") == "127.0.0.1"


def test_the_chosen_address_is_not_doubted() -> None:
    assert advertised_ip("http://127.0.0.1:8025", "192.0.2.7") == "192.0.2.7"
    assert advertised_ip("no url at all", "192.0.2.7") == "192.0.2.7"


@pytest.mark.parametrize(
    "url", ["", "backend", "http://", "http://[::1]:8025", "http://[::1", "http://255.255.255.255"]
)
def test_without_an_address_the_error_says_what_to_do(url: str) -> None:
    with pytest.raises(OSError, match=r"No IPv4 address.*--advertise-ip"):
        advertised_ip(url, None)


# --- registering


async def test_it_registers_once(backend: Backend, said: Callable[[], list[str]]) -> None:
    async with Rig(backend).running() as rig:
        assert await rig.nap() == LOOK_S
        assert backend.registered == [NODE.body()]
        assert [await rig.look() for _ in range(5)] == [LOOK_S] * 5
        assert len(backend.registered) == 1
        assert backend.looks == 6
        assert rig.wire.requests[:2] == [("GET", "/api/inference/services"), ("POST", "/api/inference/register")]
        assert said() == [f"registered as {ID} (simplex) with {URL}"]


async def test_it_does_not_register_over_a_record_that_is_there_already(backend: Backend) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=backend.app), base_url=URL) as earlier:
        await earlier.post("/api/inference/register", json=NODE.body())
    backend.lock(ID, "ada")
    async with Rig(backend).running() as rig:
        await rig.nap()
        await rig.look()
        assert len(backend.registered) == 1
        assert backend.records[ID].locked_by == "ada"
    assert backend.records == {}


@pytest.mark.parametrize("status", ["available", "busy", "offline", "something new"])
@pytest.mark.parametrize("can_serve", [True, False])
async def test_a_record_is_left_alone_whatever_it_says(backend: Backend, status: str, can_serve: bool) -> None:
    async with Rig(backend).running() as rig:
        await rig.nap()
        backend.lock(ID, "ada")
        record = backend.records[ID]
        record.status = status
        rig.can_serve = can_serve
        for _ in range(3):
            await rig.look()
        assert len(backend.registered) == 1
        assert backend.records[ID] is record
        assert (record.locked_by, record.status) == ("ada", status)


async def test_it_comes_back_after_the_backend_restarted(backend: Backend, said: Callable[[], list[str]]) -> None:
    async with Rig(backend).running() as rig:
        await rig.nap()
        backend.forget()
        await rig.look()
        assert list(backend.records) == [ID]
        await rig.look()
        assert len(backend.registered) == 2
        first, again = said()
        assert first.startswith("registered as")
        assert "did not list 10.0.0.7:9060 any more" in again
        assert "9061" in again


async def test_it_comes_back_after_two_missed_health_checks() -> None:
    backend = Backend(node_transport=httpx.MockTransport(lambda _: httpx.Response(503)))
    async with Rig(backend).running() as rig:
        await rig.nap()
        await backend.check_health()
        await rig.look()
        assert len(backend.registered) == 1
        await backend.check_health()
        assert backend.records == {}
        rig.can_serve = False
        await rig.look()
        assert backend.records == {}
        rig.can_serve = True
        await rig.look()
        assert list(backend.records) == [ID]


async def test_being_offline_is_said_once(backend: Backend, said: Callable[[], list[str]]) -> None:
    async with Rig(backend).running() as rig:
        await rig.nap()
        backend.records[ID].status = "offline"
        await rig.look()
        await rig.look()
        backend.records[ID].status = "available"
        await rig.look()
        await rig.look()
        _, offline, back = said()
        assert "as offline" in offline
        assert back == f"The backend at {URL} lists {ID}."


async def test_it_keeps_trying_while_the_backend_is_down(backend: Backend, said: Callable[[], list[str]]) -> None:
    rig = Rig(backend)
    rig.wire.is_down = True
    async with rig.running():
        assert [await rig.nap(), *[await rig.look() for _ in range(6)]] == [1, 2, 4, 8, 10, 10, 10]
        assert len(said()) == 1
        rig.wire.is_down = False
        assert await rig.look() == LOOK_S
        assert list(backend.records) == [ID]
        rig.wire.is_down = True
        assert await rig.look() == 1, "the waits begin small again"
        assert len(said()) == 3


async def test_it_waits_for_the_engine_and_asks_nobody_meanwhile(
    backend: Backend, said: Callable[[], list[str]]
) -> None:
    async with Rig(backend, can_serve=False).running() as rig:
        assert [await rig.nap(), *[await rig.look() for _ in range(4)]] == [1.0] * 5
        assert rig.wire.requests == []
        assert len(said()) == 1
        rig.can_serve = True
        assert await rig.look() == LOOK_S
        assert list(backend.records) == [ID]


async def test_an_engine_that_fails_during_the_look_is_not_offered(backend: Backend) -> None:
    rig = Rig(backend)

    def fail_meanwhile() -> httpx.Response:
        rig.can_serve = False
        return httpx.Response(200, content=NOBODY)

    rig.wire.answers["GET"] = fail_meanwhile
    async with rig.running():
        assert await rig.nap() == 1.0
    assert rig.wire.count("POST") == 0


# --- a backend that misbehaves


BAD_ANSWERS = [
    *(httpx.Response(200, content=content) for content in NO_LISTS),
    httpx.Response(422, json={"detail": [{"loc": ["body", "ip"], "type": "missing"}]}),
    httpx.Response(500, content=b"\xff\x00 Bad\r\nthings", headers={"content-type": "text/plain; charset=hex"}),
    httpx.Response(307, headers={"location": "/elsewhere"}),
    httpx.Response(404),
    httpx.ReadError("reset"),
    httpx.RemoteProtocolError("peer closed connection"),
    httpx.DecodingError("not gzip"),
    httpx.InvalidURL("no"),
]


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=lambda answer: repr(answer)[:40])
async def test_a_look_that_fails_changes_nothing(
    backend: Backend, answer: Answer, said: Callable[[], list[str]]
) -> None:
    rig = Rig(backend)
    rig.wire.answers["GET"] = answer
    async with rig.running():
        assert [await rig.nap(), await rig.look(), await rig.look()] == [1, 2, 4]
        assert backend.registered == []
        (sentence,) = said()
        assert sentence.startswith(f"The backend at {URL} failed: ")
        assert sentence.isprintable()
        del rig.wire.answers["GET"]
        assert await rig.look() == LOOK_S
        assert list(backend.records) == [ID]


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"fine"),
        httpx.Response(200, json={"message": "fine"}),
        httpx.Response(422, json={"detail": []}),
        httpx.Response(500),
        httpx.ReadError(""),
    ],
    ids=repr,
)
async def test_a_registration_that_fails_is_tried_again(backend: Backend, answer: Answer) -> None:
    rig = Rig(backend)
    rig.wire.answers["POST"] = answer
    async with rig.running():
        assert [await rig.nap(), await rig.look(), await rig.look()] == [1, 2, 4]
        del rig.wire.answers["POST"]
        assert await rig.look() == LOOK_S
        assert list(backend.records) == [ID]


async def test_a_registration_whose_answer_was_lost_is_not_repeated(backend: Backend) -> None:
    rig = Rig(backend)

    async with rig.running():
        rig.wire.answers["GET"] = httpx.Response(200, content=NOBODY)
        rig.wire.loses_answers = True
        assert await rig.nap() == 1
        del rig.wire.answers["GET"]
        rig.wire.loses_answers = False
        backend.lock(ID, "ada")
        assert await rig.look() == LOOK_S
        assert len(backend.registered) == 1
        assert backend.records[ID].locked_by == "ada"


async def test_the_reason_is_told_again_only_when_it_changes(backend: Backend, said: Callable[[], list[str]]) -> None:
    rig = Rig(backend)
    bodies = iter(("trace 1", "trace 2", "trace 3"))
    rig.wire.answers["GET"] = lambda: httpx.Response(500, text=next(bodies))
    async with rig.running():
        await rig.nap()
        await rig.look()
        await rig.look()
        rig.wire.is_down = True
        await rig.look()
        refused, down = said()
        assert refused.endswith("with 500. trace 1")
        assert "ConnectError" in down


async def test_a_backend_that_never_answers_is_given_up_each_time(backend: Backend) -> None:
    rig = Rig(backend, limits=RegistrarLimits(request_s=0.01))
    rig.wire.is_silent = True
    async with rig.running():
        assert [await rig.nap(), await rig.look()] == [1, 2]


async def test_a_node_is_known_by_the_name_the_backend_gave_it(backend: Backend) -> None:
    """Looking for another name would find nothing, and register over the lock of every call."""
    rig = Rig(backend)
    rig.wire.answers["POST"] = httpx.Response(200, json={"service_id": "gate 7/9060"})
    async with rig.running():
        await rig.nap()
        rig.wire.answers["GET"] = httpx.Response(200, json={"services": [{"service_id": "gate 7/9060"}]})
        await rig.look()
        await rig.look()
        assert rig.wire.count("POST") == 1
    assert rig.wire.requests[-1] == ("DELETE", "/api/inference/unregister/gate%207%2F9060")


# --- leaving


async def test_it_unregisters_when_it_is_cancelled(backend: Backend, said: Callable[[], list[str]]) -> None:
    async with Rig(backend).running() as rig:
        await rig.nap()
    assert backend.records == {}
    assert backend.unregistered == [ID]
    assert said()[-1] == f"unregistered {ID} from {URL}"


async def test_it_does_not_unregister_what_it_never_registered(backend: Backend) -> None:
    async with Rig(backend, can_serve=False).running() as rig:
        await rig.nap()
    assert rig.wire.requests == []


async def test_it_unregisters_when_it_is_cancelled_while_registering(backend: Backend) -> None:
    rig = Rig(backend)
    rig.wire.holds = "POST"
    async with rig.running():
        await rig.wire.held.wait()
        assert rig.task is not None
        rig.task.cancel()
        rig.wire.may_answer.set()
    assert backend.unregistered == [ID]


async def test_a_second_cancellation_does_not_stop_the_goodbye(backend: Backend) -> None:
    async with Rig(backend).running() as rig:
        await rig.nap()
        rig.wire.holds = "DELETE"
        assert rig.task is not None
        rig.task.cancel()
        await rig.wire.held.wait()
        for _ in range(3):
            rig.task.cancel()
            await asyncio.sleep(0)
            assert not rig.task.done()
        rig.wire.may_answer.set()
    assert backend.records == {}


@pytest.mark.parametrize("status", [200, 204, 404])
async def test_a_node_that_is_gone_already_is_fine(
    backend: Backend, status: int, said: Callable[[], list[str]]
) -> None:
    rig = Rig(backend)
    rig.wire.answers["DELETE"] = httpx.Response(status)
    async with rig.running():
        await rig.nap()
    assert said()[-1].startswith("unregistered")


@pytest.mark.parametrize("answer", [httpx.Response(500, text="no"), httpx.ConnectError("refused")], ids=repr)
async def test_a_goodbye_that_fails_is_only_logged(
    backend: Backend, answer: Answer, said: Callable[[], list[str]]
) -> None:
    rig = Rig(backend)
    rig.wire.answers["DELETE"] = answer
    async with rig.running():
        await rig.nap()
    assert said()[-1].startswith(f"Unregistering {ID} failed: ")


async def test_a_goodbye_nobody_answers_ends(backend: Backend, said: Callable[[], list[str]]) -> None:
    rig = Rig(backend, limits=RegistrarLimits(unregister_s=0.01))
    async with rig.running():
        await rig.nap()
        rig.wire.is_silent = True
    assert "within 0.01 s" in said()[-1]
