"""llama-server's calls over HTTP: one at a time, every failure an `EngineError`."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import httpx

from duplex.engine.llama_wire import DecodeDone, DecodeEvent, JsonObject, check_success, parse_decode_event
from duplex.engine.sse import SseDecoder
from duplex.errors import EngineExited, EngineRefused, EngineStalled

__all__ = ["LlamaHttp"]

_CONNECT_S = 5.0


class LlamaHttp:
    """The `/v1/stream` calls. The caller sees to it that `decode` never overlaps another decode."""

    def __init__(self, base_url: str, client: httpx.AsyncClient) -> None:
        self._base_url = base_url.rstrip("/")
        self._client = client
        # The engine has one lock, and it is not fair: two waiting calls may run in either order. So none ever waits.
        self._one_at_a_time = asyncio.Lock()

    async def post(self, call: str, body: JsonObject, *, limit_s: float) -> tuple[int, bytes]:
        """Status and body of the answer. Raises EngineStalled after `limit_s`, or after 5 s without a connection, and
        EngineExited when the line breaks."""
        async with self._ask(call, body, httpx.Timeout(limit_s, connect=_CONNECT_S)) as response:
            return response.status_code, await response.aread()

    async def call(self, call: str, body: JsonObject, *, limit_s: float) -> None:
        """Make a call that must succeed. Raises EngineRefused with the engine's words when it does not."""
        status, content = await self.post(call, body, limit_s=limit_s)
        check_success(call, status, content)

    async def decode(self, body: JsonObject, *, on_bytes: Callable[[], None]) -> AsyncGenerator[DecodeEvent, None]:
        """The events of one decode, read to the end of the answer. There is no time limit: the caller watches.

        `on_bytes` is called for every piece that arrives. The last event is not passed on; an answer without it is
        EngineRefused. Raises EngineStalled after 5 s without a connection, EngineExited when the line breaks.
        """
        decoder = SseDecoder()
        is_done = False
        async with self._ask("decode", body, httpx.Timeout(_CONNECT_S, read=None)) as response:
            if response.status_code != 200:
                check_success("decode", response.status_code, await response.aread())
                raise EngineRefused(f"the engine answered decode with {response.status_code}")
            async for piece in response.aiter_raw():
                on_bytes()
                for payload in decoder.feed(piece):
                    event = parse_decode_event(payload)
                    if isinstance(event, DecodeDone):
                        is_done = True
                    elif is_done:
                        raise EngineRefused("the engine's answer goes on after its end")
                    else:
                        yield event
        decoder.close()
        if not is_done:
            raise EngineRefused("the engine's answer ended without its last event")

    @contextlib.asynccontextmanager
    async def _ask(self, call: str, body: JsonObject, patience: httpx.Timeout) -> AsyncIterator[httpx.Response]:
        """The answer, of which the head has come; the rest is read in the body."""
        async with self._one_at_a_time:
            if self._client.is_closed:
                # By whoever watches the process: it died before it was asked.
                raise EngineExited(f"the engine has ended, and cannot be asked for {call}")
            response = None
            try:
                async with self._client.stream("POST", self._url(call), json=body, timeout=patience) as response:
                    yield response
            except httpx.ConnectTimeout:
                raise EngineStalled(f"the engine took no connection for {call} within {_CONNECT_S:g} s") from None
            except httpx.TimeoutException:
                raise EngineStalled(f"the engine did not answer {call} within {patience.write:g} s") from None
            except httpx.TransportError as error:
                raise EngineExited(
                    f"the connection to the engine broke during {call}: {type(error).__name__}"
                ) from error
            finally:
                if response is not None:
                    # In httpx a response and its stream know each other: forty objects for the collector, twice a
                    # second in each call.
                    response.stream = httpx.ByteStream(b"")

    def _url(self, call: str) -> str:
        return f"{self._base_url}/v1/stream/{call}"
