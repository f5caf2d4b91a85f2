"""The stand-in of the backend: what the tests that use it rely on."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from duplex.engine.base import Mode
from duplex.engine.ports import free_port
from duplex.wav import read_wav
from tests.http_compat.backend import Backend, Call, PieceReader, init_body
from tests.realtime.server import serving
from tests.speech import silence

BODY = {
    "ip": "10.0.0.7",
    "port": 9060,
    "model_port": 9060,
    "service_name": "o45-cpp",
    "model_type": "simplex",
    "session_type": "release",
}
ID = "10.0.0.7:9060"
SECOND = silence(1)


def client_of(backend: Backend) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=backend.app), base_url="http://backend.test/api/inference", trust_env=False
    )


# --- the registry


async def test_a_registration_is_listed_and_can_be_taken_back() -> None:
    backend = Backend()
    async with client_of(backend) as client:
        answer = await client.post("/register", json=BODY)
        assert answer.json()["service_id"] == ID
        listed = (await client.get("/services")).json()
        assert listed["total"] == 1
        (row,) = listed["services"]
        assert row.keys() == {"service_id", *BODY, "status", "heartbeat_time", "locked_by", "lock_time"}
        assert row == row | {"service_id": ID, **BODY, "status": "available", "locked_by": None, "lock_time": None}
        assert (await client.delete(f"/unregister/{ID}")).status_code == 200
        assert (await client.delete(f"/unregister/{ID}")).status_code == 404
        assert (await client.get("/services")).json() == {"services": [], "total": 0}


@pytest.mark.parametrize("missing", BODY)
async def test_each_field_is_required(missing: str) -> None:
    backend = Backend()
    async with client_of(backend) as client:
        body = {name: value for name, value in BODY.items() if name != missing}
        assert (await client.post("/register", json=body)).status_code == 422
    assert backend.records == {}
    assert backend.registered == []


async def test_registering_again_loses_the_lock() -> None:
    backend = Backend()
    async with client_of(backend) as client:
        await client.post("/register", json=BODY)
        backend.lock(ID, "ada")
        assert (await client.get("/services", params={"available_only": True})).json()["total"] == 0
        (row,) = (await client.get("/services")).json()["services"]
        assert (row["status"], row["locked_by"]) == ("busy", "ada")
        await client.post("/register", json=BODY)
        (row,) = (await client.get("/services", params={"available_only": True})).json()["services"]
        assert (row["status"], row["locked_by"]) == ("available", None)


async def test_the_second_missed_health_check_in_a_row_deletes_a_node() -> None:
    asked: list[str] = []
    statuses = [503, 200, 204, 500]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(statuses.pop(0))

    backend = Backend(node_transport=httpx.MockTransport(answer))
    async with client_of(backend) as client:
        await client.post("/register", json=BODY)
    backend.lock(ID, "ada")
    for expected in ("offline", "busy", "offline"):
        await backend.check_health()
        assert backend.records[ID].status == expected
    await backend.check_health()
    assert backend.records == {}
    assert set(asked) == {"http://10.0.0.7:9061/health"}


async def test_a_node_that_cannot_be_reached_misses_its_check() -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    backend = Backend(node_transport=httpx.MockTransport(refuse))
    async with client_of(backend) as client:
        await client.post("/register", json=BODY)
    await backend.check_health()
    assert backend.records[ID].status == "offline"


# --- messages


@pytest.mark.parametrize(
    ("pieces", "messages"),
    [
        ([b"data: 1\n\ndata: 2\n\n"], ["data: 1", "data: 2"]),
        ([b"data: 1\n", b"\nda", b"ta: 2\n\n"], ["data: 1", "data: 2"]),
        ([b"data: 1"], []),
        ([b"\n\n\n\n"], []),
        ([b": ping\n\n"], [": ping"]),
        (["data: 好\n\n".encode()], ["data: 好"]),
        (["data: 好\n\n".encode()[:7], "data: 好\n\n".encode()[7:]], ["data: "]),
    ],
)
def test_messages_of_pieces(pieces: list[bytes], messages: list[str]) -> None:
    reader = PieceReader()
    assert [message for piece in pieces for message in reader.push(piece)] == messages


# --- calls


def chunk(index: int, pcm: bytes, text: str = "") -> bytes:
    return event({"chunk_idx": index, "chunk_data": {"wav": base64.b64encode(pcm).decode(), "text": text}})


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE = event({"done": True})


class ScriptedNode:
    """A node whose streams are scripts, one for each generate; the last one serves all that follow."""

    def __init__(self, *scripts: list[bytes | asyncio.Event | None]) -> None:
        self.scripts = list(scripts)
        self.bodies: dict[str, list[dict[str, Any]]] = {}
        self.raw: dict[str, bytes] = {}
        self.heard = asyncio.Event()
        """A prefill arrived."""
        self.waits_for_generate = False
        self.generating = asyncio.Event()
        self.left = asyncio.Event()
        """A stream was not read to its end."""
        self.app = FastAPI()
        self.app.post("/omni/{name}")(self._answer)

    async def _answer(self, name: str, request: Request) -> Any:
        self.raw[name] = await request.body()
        self.bodies.setdefault(name, []).append(json.loads(self.raw[name] or b"{}"))
        if name == "streaming_generate":
            self.generating.set()
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            return StreamingResponse(self._play(script), media_type="text/event-stream")
        if name == "streaming_prefill":
            self.heard.set()
            if self.waits_for_generate:
                await self.generating.wait()
        return JSONResponse({"success": True})

    async def _play(self, script: list[bytes | asyncio.Event | None]) -> AsyncIterator[bytes]:
        """None breaks the connection."""
        try:
            for step in script:
                if step is None:
                    raise ConnectionAbortedError
                if isinstance(step, bytes):
                    yield step
                else:
                    await step.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise


@contextlib.asynccontextmanager
async def called(node: ScriptedNode, mode: Mode, delays: list[float] | None = None) -> AsyncIterator[Call]:
    async def sleep(delay_s: float) -> None:
        assert delays is not None
        delays.append(delay_s)

    async with serving(node.app) as address:
        url = f"http://{address}"
        async with Call(base_url=url, control_url=url, mode=mode, sleep=sleep) as call:
            yield call


def test_the_control_port_is_the_next_one() -> None:
    assert Call(base_url="http://127.0.0.1:9060/", mode=Mode.DUPLEX)._control_url == "http://127.0.0.1:9061"


async def test_a_simplex_call() -> None:
    node = ScriptedNode([chunk(0, b"\x01\x00", "好"), chunk(1, b"\x02\x00"), DONE])
    async with called(node, Mode.SIMPLEX) as call:
        assert await call.begin(highImage=True) == 200
        await call.say(SECOND)
        call.finish(silence(0.3))
        await call.settle()
        assert await call.break_off() is None
        assert await call.end() == 200
    assert node.bodies["init_sys_prompt"] == [init_body(highImage=True)]
    whole, tail = node.bodies["streaming_prefill"]
    assert read_wav(base64.b64decode(whole["audio"])).pcm == SECOND
    assert whole == whole | {"session_id": call.session_id, "image": None, "image_audio_id": 0, "last_chunk": False}
    assert tail == tail | {"image_audio_id": 1, "round": 0, "last_chunk": True}
    assert node.bodies["streaming_generate"] == [{"session_id": call.session_id, "mode": "simplex", "stream": True}]
    assert node.raw["stop"] == b""
    assert [(part.pcm, part.text, part.chunk_idx, part.stream, part.sample_rate) for part in call.chunks] == [
        (b"\x01\x00", "好", 0, 0, 24_000),
        (b"\x02\x00", "", 1, 0, 24_000),
    ]
    assert (call.pcm, call.text, call.done_events) == (b"\x01\x00\x02\x00", "好", [{"done": True}])
    assert sorted({route for route, _ in call.statuses}) == [
        "/omni/init_sys_prompt",
        "/omni/stop",
        "/omni/streaming_generate",
        "/omni/streaming_prefill",
    ]
    assert call.failures == []


@pytest.mark.parametrize("generate_first", [False, True])
async def test_the_tail_and_the_generate_are_under_way_together(generate_first: bool) -> None:
    node = ScriptedNode([])
    node.scripts = [[node.heard, DONE]]
    node.waits_for_generate = True
    async with called(node, Mode.SIMPLEX) as call:
        fired = call.finish(SECOND, generate_first=generate_first)
        await call.settle()
        assert fired.prefill is not None
        assert fired.generate is not None
        assert fired.prefill.result() == 200
        assert fired.generate.result().done == {"done": True}


async def test_an_empty_round_is_a_generate_alone() -> None:
    node = ScriptedNode([DONE])
    async with called(node, Mode.SIMPLEX) as call:
        assert call.finish(None).prefill is None
        await call.settle()
    assert list(node.bodies) == ["streaming_generate"]


async def test_duplex_streams_overlap() -> None:
    last = asyncio.Event()
    node = ScriptedNode([chunk(0, b"\x01\x00"), last, DONE], [chunk(1, b"\x02\x00"), DONE])
    async with called(node, Mode.DUPLEX) as call:
        first = await call.say(SECOND)
        await call.until(lambda: len(call.chunks) == 1)
        call.show(b"jpeg")
        second = await call.say(SECOND, jpeg=b"jpeg")
        assert second.generate is not None
        assert (await second.generate).number == 1
        assert call.generates
        last.set()
        await call.settle()
        assert first.generate is not None
        assert first.generate.result().number == 0
        assert not call.generates
    assert sorted((body["image_audio_id"], body["audio"] is None) for body in node.bodies["streaming_prefill"]) == [
        (0, False),
        (1, False),
        (1, True),
    ]
    assert [part.stream for part in call.chunks] == [0, 1]


@pytest.mark.parametrize("done", [b'data: {"done":true}\n\n', event({"break": True, "done": True}), DONE])
async def test_nothing_is_read_after_the_first_done_event(done: bytes) -> None:
    node = ScriptedNode([b": comment\n\n", done, asyncio.Event(), chunk(0, b"\x01\x00"), DONE])
    async with called(node, Mode.SIMPLEX) as call:
        call.finish(None)
        await call.settle()
        (stream,) = call.streams
        assert len(stream.messages) == 2
        assert [event["done"] for event in stream.events] == [True]
        assert call.chunks == []
        async with asyncio.timeout(20):
            await node.left.wait()


async def test_a_stream_that_breaks_is_asked_for_again() -> None:
    node = ScriptedNode([chunk(0, b"\x01\x00"), None], [None], [chunk(0, b"\x02\x00"), DONE])
    delays: list[float] = []
    async with called(node, Mode.SIMPLEX, delays) as call:
        fired = call.finish(None)
        await call.settle()
        assert fired.generate is not None
        assert fired.generate.result().number == 2
    assert delays == [1, 2]
    assert [stream.done for stream in call.streams] == [None, None, {"done": True}]
    assert call.pcm == b"\x01\x00\x02\x00"
    assert len(call.failures) == 2


async def test_a_request_is_given_up_after_three_repetitions() -> None:
    delays: list[float] = []

    async def sleep(delay_s: float) -> None:
        delays.append(delay_s)

    async with Call(base_url=f"http://127.0.0.1:{free_port()}", mode=Mode.DUPLEX, sleep=sleep) as call:
        fired = await call.say(SECOND)
        await call.settle()
        assert await call.begin() is None
        assert fired.generate is not None
        assert fired.generate.result().status is None
    assert delays.count(4) == 3
    assert len(call.failures) == 12


async def test_a_refusal_is_kept() -> None:
    async with serving(FastAPI()) as address:
        url = f"http://{address}"
        async with Call(base_url=url, mode=Mode.SIMPLEX, control_url=url) as call:
            call.finish(SECOND)
            await call.settle()
            assert await call.end() == 404
            (stream,) = call.streams
            assert (stream.status, stream.refusal) == (404, '{"detail":"Not Found"}')


@pytest.mark.parametrize("abandon", [False, True])
async def test_a_break_while_a_generate_runs(abandon: bool) -> None:
    last = asyncio.Event()
    node = ScriptedNode([chunk(0, b"\x01\x00"), last, DONE])
    async with called(node, Mode.DUPLEX) as call:
        await call.say(SECOND)
        await call.until(lambda: bool(call.chunks))
        assert await call.break_off(abandon=abandon) == 200
        assert node.raw["break"] == b""
        assert call.generates is not abandon
        if abandon:
            async with asyncio.timeout(20):
                await node.left.wait()
        last.set()
        await call.settle()
    assert call.done_events == ([] if abandon else [{"done": True}])
    assert call.failures == []
