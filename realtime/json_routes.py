"""What the HTTP routes beside the WebSocket have in common: bodies with a bound, and refusals in OpenAI's form."""

from fastapi import Request
from fastapi.responses import JSONResponse

from duplex.errors import ClientError, InvalidAudio, InvalidEvent, NotAuthorised

__all__ = ["read_body", "refusal"]


async def read_body(request: Request, largest: int, *, param: str | None = None) -> bytes:
    """The whole body. Raises `InvalidEvent`, naming `param`, as soon as it is over `largest` bytes."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > largest:
            raise InvalidEvent(f"The body is over {largest} bytes.", param=param)
    return bytes(body)


def refusal(error: ClientError) -> JSONResponse:
    """400 for what was sent, 401 for a key, 403 for everything else, with an `error` object."""
    wrong = isinstance(error, InvalidEvent | InvalidAudio)
    status = 400 if wrong else 401 if isinstance(error, NotAuthorised) else 403
    fault = {"type": "invalid_request_error", "code": error.code, "message": str(error), "param": error.param}
    return JSONResponse({"error": fault}, status)
