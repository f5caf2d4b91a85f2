import gc
from pathlib import Path

import httpx
import pytest

from duplex.engine.llama_http import LlamaHttp
from duplex.engine.llama_wire import DecodeListen
from duplex.errors import EngineError, EngineExited, EngineStalled
from tests.duplex.engine.fake_llama import FakeLlama, listens


@pytest.mark.parametrize(
    ("fault", "raised", "words"),
    [
        (httpx.ConnectTimeout, EngineStalled, "took no connection for prefill within 5 s"),
        (httpx.ReadTimeout, EngineStalled, "did not answer prefill within 60 s"),
        (httpx.ConnectError, EngineExited, "broke during prefill: ConnectError"),
    ],
)
async def test_a_call_that_fails_says_at_what(
    fault: type[httpx.TransportError], raised: type[EngineError], words: str
) -> None:
    async with _failing(fault) as client:
        with pytest.raises(raised, match=words):
            await LlamaHttp("http://127.0.0.1:1", client).post("prefill", {}, limit_s=60.0)


async def test_a_decode_without_a_connection_says_so() -> None:
    async with _failing(httpx.ConnectTimeout) as client:
        events = LlamaHttp("http://127.0.0.1:1", client).decode({}, on_bytes=lambda: None)
        with pytest.raises(EngineStalled, match="took no connection for decode within 5 s"):
            await anext(events)


async def test_a_call_after_the_end_is_no_bug() -> None:
    client = _failing(httpx.ReadError)
    await client.aclose()
    engine = LlamaHttp("http://127.0.0.1:1", client)
    with pytest.raises(EngineExited, match="has ended, and cannot be asked for omni_init"):
        await engine.call("omni_init", {}, limit_s=60.0)
    with pytest.raises(EngineExited, match="cannot be asked for decode"):
        await anext(engine.decode({}, on_bytes=lambda: None))


@pytest.mark.usefixtures("without_collector")
async def test_nothing_of_a_call_waits_for_the_collector(tmp_path: Path) -> None:
    llama = FakeLlama(tmp_path, is_initialised=True, decodes=[listens])
    before = _responses()
    async with llama.client() as client:
        engine = LlamaHttp("http://127.0.0.1:1", client)
        assert await engine.post("break", {}, limit_s=60.0) == (200, b'{"success":true}')
        events = [event async for event in engine.decode({}, on_bytes=lambda: None)]
    assert events == [DecodeListen()]
    assert _responses() == before


def _responses() -> int:
    return sum(isinstance(one, httpx.Response) for one in gc.get_objects())


def _failing(fault: type[httpx.TransportError]) -> httpx.AsyncClient:
    def fail(request: httpx.Request) -> httpx.Response:
        raise fault("", request=request)

    return httpx.AsyncClient(transport=httpx.MockTransport(fail))
