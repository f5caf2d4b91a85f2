"""Request bodies: read up to a limit and within a time, then understood or refused in FastAPI's own words.

They are read here and not by FastAPI, because a request takes its place in the line of its session before its body is
there, and because nothing may be parsed that is too long.
"""

import asyncio
import json
import reprlib
from collections.abc import Mapping
from itertools import islice
from typing import TypeVar

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from duplex.errors import ClientStalled, MessageTooBig

__all__ = ["LARGEST_BODY_BYTES", "read_body", "read_model", "read_object"]

LARGEST_BODY_BYTES = 32 * 1024 * 1024
"""Two minutes of 48 kHz stereo sound in base64, or a large photo and a second of sound. Beyond it: 413."""

_READ_WITHIN_S = 30.0

_MOST_PIECES_SHOWN, _LONGEST_SHOWN = 100, 1000
"""Of what is wrong in a body, in the answer: numbers, texts and brackets, and characters."""

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
    except ClientDisconnect:
        raise ClientStalled("The client went away before the body of its request had arrived.") from None
    return bytes(body)


async def read_model(request: Request, model: type[Model]) -> Model:
    """The body as `model`. Raises `RequestValidationError` and `HTTPException` as FastAPI would, and what `read_body`
    raises."""
    body = await read_body(request)
    if not body:
        raise _refused([{"type": "missing", "loc": (), "msg": "Field required", "input": None}])
    if not _is_json(request.headers):
        raise _refused([_no_object(body.decode("utf-8", "replace"))])
    try:
        # Not strict: base64 on Linux breaks its lines, and shells put them into the text as they are.
        value = json.loads(body, strict=False)
    except json.JSONDecodeError as error:
        fault = {"type": "json_invalid", "loc": (error.pos,), "msg": "JSON decode error", "input": {}}
        raise _refused([{**fault, "ctx": {"error": error.msg}}]) from None
    except (ValueError, RecursionError):
        raise HTTPException(400, "There was an error parsing the body") from None
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
        fault["input"] = _shown(fault["input"])
    return RequestValidationError(faults)


def _shown(value: object) -> object:
    """What was sent, as an answer can hold it. JSON has no words for the numbers without end that Python reads, and
    megabytes sent back would keep everybody waiting."""
    try:
        pieces = list(islice(json.JSONEncoder(allow_nan=False).iterencode(value), _MOST_PIECES_SHOWN))
    except (ValueError, RecursionError):
        return reprlib.repr(value)
    is_short = len(pieces) < _MOST_PIECES_SHOWN and sum(map(len, pieces)) <= _LONGEST_SHOWN
    return value if is_short else reprlib.repr(value)


def _no_object(value: object) -> dict[str, object]:
    words = "Input should be a valid dictionary or object to extract fields from"
    return {"type": "model_attributes_type", "loc": (), "msg": words, "input": value}


def _is_json(headers: Mapping[str, str]) -> bool:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _too_big() -> MessageTooBig:
    return MessageTooBig(f"The body of a request may have {LARGEST_BODY_BYTES // 2**20} MiB at most.")
