"""A generate stream as an HTTP response: each event leaves at once, and a client that goes is noticed."""

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from duplex.tasks import beside
from http_compat.reply import Reply
from http_compat.session import HttpSession

__all__ = ["EventStream"]


class EventStream(StreamingResponse):
    """Sends a reply. When its client has gone, the reply is abandoned at once, and nothing of it reaches the next."""

    # Starlette names the charset beside it; callers that decode as they read rely on that.
    media_type = "text/event-stream"

    def __init__(self, session: HttpSession, reply: Reply) -> None:
        headers = {"Cache-Control": "no-cache", "Connection": "keep-alive", "X-Accel-Buffering": "no"}
        super().__init__(reply.events(), headers=headers)
        self._session = session
        self._reply = reply

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the reply is over or the client has gone."""
        del scope
        try:
            async with beside(client_gone=self._watch(receive)):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                async for event in self.body_iterator:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._session.abandon(self._reply)

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._session.abandon(self._reply)
