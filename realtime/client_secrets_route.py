"""`POST /v1/realtime/client_secrets`: a program that knows a real key gets a short-lived one for its page."""

from dataclasses import replace

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from duplex.conversation_settings import ConversationSettings
from duplex.errors import ClientError
from realtime.access import Access
from realtime.client_secrets import ClientSecrets, parse_wish
from realtime.dialects.session_object import SessionObject
from realtime.json_routes import read_body, refusal
from realtime.options import DEFAULT_MODEL

__all__ = ["make_secrets_router"]

_LARGEST_BODY = 64 * 1024


def make_secrets_router(access: Access, client_secrets: ClientSecrets, defaults: ConversationSettings) -> APIRouter:
    """The route. Its keys count where `client_secrets` is part of the `Access`; they cannot make further ones.

    `defaults` is what sessions begin with where nobody wants anything else.
    """
    router = APIRouter()
    real_keys = replace(access, client_secrets=None)

    @router.post("/v1/realtime/client_secrets")
    async def make(request: Request) -> JSONResponse:
        try:
            real_keys.check(request.headers)
            wish = parse_wish(await read_body(request, _LARGEST_BODY))
            session = SessionObject.begin("", DEFAULT_MODEL, defaults).updated(wish.session)
        except ClientError as error:
            return refusal(error)
        value, ends = client_secrets.make(wish.expires_after.seconds, real_keys.owner(request.headers), wish.session)
        return JSONResponse({"value": value, "expires_at": ends, "session": session.shown})

    return router
