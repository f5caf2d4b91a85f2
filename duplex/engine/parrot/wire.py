"""JSON bodies, errors and SSE events, byte for byte as llama-server writes them."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

__all__ = [
    "DONE",
    "IS_LISTEN",
    "OVER",
    "Refusal",
    "compact",
    "event",
    "field",
    "hard",
    "integer_field",
    "invalid",
    "json_type",
    "not_initialised",
    "parse",
    "server_error",
    "soft",
]

T = TypeVar("T", bool, int, str)

DONE = b"data: [DONE]\n\n"
IS_LISTEN = {"content": "", "stop": False, "is_listen": True, "end_of_turn": True}
OVER = {"content": "", "stop": True, "is_listen": False, "end_of_turn": True}

_ERROR_TYPES = {
    400: "invalid_request_error",
    404: "not_found_error",
    500: "server_error",
    501: "not_supported_error",
    503: "unavailable_error",
}


class Refusal(Exception):
    """A request that gets an error body; its status equals the code in the body."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

    def body(self) -> bytes:
        """The error as llama-server words it."""
        error = {"code": self.status, "message": str(self), "type": _ERROR_TYPES[self.status]}
        return compact({"error": error})


def invalid(message: str) -> Refusal:
    """400."""
    return Refusal(400, message)


def server_error(message: str) -> Refusal:
    """500."""
    return Refusal(500, message)


def not_initialised() -> Refusal:
    """400: what every stream call but omni_init says without a context."""
    return invalid("omni context not initialized. call /v1/stream/omni_init first")


def compact(value: object) -> bytes:
    """JSON without spaces, raw UTF-8, keys in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def event(fields: Mapping[str, object]) -> bytes:
    """One SSE event."""
    return b"data: " + compact(fields) + b"\n\n"


def parse(body: bytes, *, may_be_empty: bool = False) -> Any:
    """A request body. Malformed JSON is a 500 here, as nlohmann's exception reaches the generic handler."""
    if not body:
        if may_be_empty:
            return {}
        raise server_error(
            "[json.exception.parse_error.101] parse error at line 1, column 1: attempting to parse an empty input; "
            "check that your input string or stream contains the expected JSON"
        )
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        line, column, reason = 1, error.start + 1, "invalid string: ill-formed UTF-8 byte"
    except json.JSONDecodeError as error:
        line, column, reason = error.lineno, error.colno + 1, "invalid literal"
        if error.pos >= len(error.doc):
            column, reason = error.colno, "unexpected end of input; expected '[', '{', or a literal"
    # The real text names more cases; clients can rely on its beginning only.
    raise server_error(
        f"[json.exception.parse_error.101] parse error at line {line}, column {column}: "
        f"syntax error while parsing value - {reason}"
    )


def _no_constant(name: str) -> None:
    raise json.JSONDecodeError("no such literal", name, 0)


def json_type(value: object) -> str:
    """nlohmann's name of a value's type."""
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def field(body: Any, name: str) -> Any:
    """A field's value, or None where there is none or the body is no object."""
    return body.get(name) if isinstance(body, dict) else None


def integer_field(body: Any, name: str) -> int | None:
    """A field that is an integer and nothing like one (1.0 and true are not)."""
    value = field(body, name)
    return value if type(value) is int else None


def _fits(value: object, kind: type) -> bool:
    if kind is int:
        return isinstance(value, int | float)
    return isinstance(value, kind)


def soft(body: Any, name: str, default: T) -> T:
    """A field that falls back to its default when it is absent, null or of another type."""
    value = field(body, name)
    kind = type(default)
    return kind(value) if _fits(value, kind) else default


def hard(body: Any, name: str, kind: type) -> Any:
    """A field that must be of its type when it is there; None when it is not. Raises nlohmann's 500."""
    if not isinstance(body, dict) or name not in body:
        return None
    value = body[name]
    if not _fits(value, kind):
        wanted = {bool: "boolean", int: "number", str: "string"}[kind]
        raise server_error(f"[json.exception.type_error.302] type must be {wanted}, but is {json_type(value)}")
    return kind(value)
