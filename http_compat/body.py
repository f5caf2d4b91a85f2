"""Request bodies: read up to a limit and within a time, then understood or refused in FastAPI's own words.

They are read here and not by FastAPI, because a request takes its place in the line of its session before its body is
there, and because nothing may be parsed that is too long.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from duplex.errors import ClientStalled, MessageTooBig

__all__ = ["LARGEST_BODY_BYTES", "read_body", "read_model", "read_object"]

LARGEST_BODY_BYTES = 32 * 1024 * 1024
"""Two minutes of 48 kHz stereo sound in base64, or a large photo and a second of sound. Beyond it: 413."""

_READ_WITHIN_S = 30.0

Model = TypeVar("Model", bound=BaseModel)


async def read_body(request: Request) -> bytes:
    """The whole body. Raises `MessageTooBig` as soon as that is known, `ClientStalled` when it does not come."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > LARGEST_BODY_BYTES:
        raise _too_big()
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_WITHIN_S):
            async for piece in request.stream():
                body += piece
                if len(body) > LARGEST_BODY_BYTES:
                    raise _too_big()
    except TimeoutError:
        raise ClientStalled(f"The body of the request did not arrive within {_READ_WITHIN_S:.0f} s.") from None
    return bytes(body)


async def read_model(request: Request, model: type[Model]) -> Model:
    """The body as `model`. Raises `RequestValidationError` as FastAPI would, and what `read_body` raises."""
    body = await read_body(request)
    if not body:
        raise _refused([{"type": "missing", "loc": (), "msg": "Field required", "input": None}])
    if not _is_json(request.headers):
        raise _refused([_no_object(body.decode("utf-8", "replace")[:200])])
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        position = error.pos if isinstance(error, json.JSONDecodeError) else 0
        said = error.msg if isinstance(error, json.JSONDecodeError) else "not JSON"
        fault = {"type": "json_invalid", "loc": (position,), "msg": "JSON decode error", "input": {}}
        raise _refused([{**fault, "ctx": {"error": said}}]) from None
    if not isinstance(value, dict):
        raise _refused([_no_object(value)])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _refused([dict(fault) for fault in error.errors(include_url=False)]) from None


async def read_object(request: Request) -> Mapping[str, object]:
    """The body as an object, empty for anything that is none: some calls never declared a body."""
    body = await read_body(request)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _refused(faults: list[dict[str, object]]) -> RequestValidationError:
    for fault in faults:
        place = fault["loc"]
        assert isinstance(place, tuple)
        fault["loc"] = ("body", *place)
    return RequestValidationError(faults)


def _no_object(value: object) -> dict[str, object]:
    words = "Input should be a valid dictionary or object to extract fields from"
    return {"type": "model_attributes_type", "loc": (), "msg": words, "input": value}


def _is_json(headers: Mapping[str, str]) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _too_big() -> MessageTooBig:
    return MessageTooBig(f"The body of a request may have {LARGEST_BODY_BYTES // 2**20} MiB at most.")
