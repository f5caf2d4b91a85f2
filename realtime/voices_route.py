"""`POST /v1/realtime/voices`: a client leaves a recording whose voice its next conversations are to have."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from duplex.errors import ClientError
from realtime.access import Access
from realtime.json_routes import read_body, refusal
from realtime.voices import Voices, check_voice

__all__ = ["make_voices_router"]

_LARGEST_BODY = 2 * 1024 * 1024


def make_voices_router(access: Access, voices: Voices) -> APIRouter:
    """The route. The body is a WAV as `check_voice` wants it."""
    router = APIRouter()

    @router.post("/v1/realtime/voices")
    async def leave(request: Request) -> JSONResponse:
        try:
            access.check(request.headers)
            wav, seconds = check_voice(await read_body(request, _LARGEST_BODY, param="body"))
        except ClientError as error:
            return refusal(error)
        return JSONResponse({"id": voices.keep(wav), "seconds": round(seconds, 2)})

    return router
