"""`POST /v1/realtime/voices`: a client leaves a recording whose voice its next conversations are to have."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from duplex.errors import ClientError, InvalidAudio, InvalidEvent, NotAuthorised
from realtime.access import Access
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
            wav, seconds = check_voice(await _body(request))
        except ClientError as error:
            wrong = isinstance(error, InvalidEvent | InvalidAudio)
            status = 400 if wrong else 401 if isinstance(error, NotAuthorised) else 403
            fault = {"type": "invalid_request_error", "code": error.code, "message": str(error), "param": error.param}
            return JSONResponse({"error": fault}, status)
        return JSONResponse({"id": voices.keep(wav), "seconds": round(seconds, 2)})

    return router


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_BODY:
            raise InvalidEvent(f"The body is over {_LARGEST_BODY} bytes.", param="body")
    return body
