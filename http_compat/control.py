"""The control port: health, break and stop, one number above the main port, open before the model loads.

The LiveKit-backed backend breaks and stops here and nowhere else, and takes a node for dead that does not answer within
5 s. It is served by the same loop as everything else, which nothing may block, and needs no session to answer.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from duplex.errors import OmniDuplexError
from http_compat.errors import refuse
from http_compat.routes import HttpService, break_answer, peer_of, stop_answer

__all__ = ["PortSwitch", "make_control_app"]

_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*", "Connection": "close"}
_PREFLIGHT = {**_ANY_ORIGIN, "Access-Control-Allow-Methods": "GET, POST, OPTIONS", "Access-Control-Allow-Headers": "*"}


class PortSwitch:
    """One server on two listeners: requests that came to `control_port` go to `control`, everything else to `main`."""

    def __init__(self, main: ASGIApp, control: ASGIApp, control_port: int) -> None:
        self._main = main
        self._control = control
        self._control_port = control_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one connection on by the port it came to."""
        server = scope.get("server")
        is_control = server is not None and server[1] == self._control_port
        await (self._control if is_control else self._main)(scope, receive, send)


def make_control_app(service: HttpService) -> ASGIApp:
    """The app behind the control port. Bodies are never read; nothing is answered before it is done."""

    async def health(request: Request) -> Response:
        judged = service.health_for(_without_origin(request))
        return _answer(judged.body(), judged.code)

    async def break_off(request: Request) -> Response:
        service.check_access(_without_origin(request))
        session = service.sessions.find_any(peer_of(request), request.query_params.get("session_id"))
        return _answer(break_answer(cpp_break=session is not None and session.break_off()))

    async def stop(request: Request) -> Response:
        service.check_access(_without_origin(request))
        session = service.sessions.find_any(peer_of(request), request.query_params.get("session_id"))
        return _answer(stop_answer(cpp_break=session is not None and session.stop()))

    async def refused(request: Request, error: Exception) -> Response:
        if isinstance(error, OmniDuplexError):
            service.sessions.metrics.refused("control", error)
        answer = await refuse(request, error)
        answer.headers.update(_ANY_ORIGIN)
        return answer

    app = Starlette(
        routes=[
            Route("/", health, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/omni/break", break_off, methods=["POST"]),
            Route("/omni/stop", stop, methods=["POST"]),
        ],
        exception_handlers={OmniDuplexError: refused, 404: _not_found, 405: _not_allowed},
    )
    return _Preflights(app)


class _Preflights:
    """Answers OPTIONS on any path, as the documented port does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            await Response(headers=_PREFLIGHT)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _without_origin(request: Request) -> dict[str, str]:
    # Pages of any site may break and stop, as documented; where there are keys, they need one.
    return {name: value for name, value in request.headers.items() if name != "origin"}


def _answer(body: dict[str, object], code: int = 200) -> Response:
    return JSONResponse(body, code, _ANY_ORIGIN)


async def _not_found(_: Request, error: Exception) -> Response:
    del error
    return Response(status_code=404, headers=_ANY_ORIGIN)


async def _not_allowed(_: Request, error: Exception) -> Response:
    return Response(status_code=405, headers={**_ANY_ORIGIN, **(getattr(error, "headers", None) or {})})
