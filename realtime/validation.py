"""What pydantic found wrong, in OpenAI's words."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from duplex.errors import InvalidEvent

__all__ = ["missing", "refusal", "unsupported"]

_TAG_MISSING, _TAG_UNKNOWN = "union_tag_not_found", "union_tag_invalid"


def refusal(error: ValidationError, checked: object, *, prefix: str = "") -> InvalidEvent:
    """The first thing wrong with `checked`, by OpenAI's code and the path of the field below `prefix`."""
    first = error.errors(include_url=False, include_context=False)[0]
    kind = first["type"]
    path = _path(first["loc"], checked, missing=kind == "missing")
    if kind in {_TAG_MISSING, _TAG_UNKNOWN}:
        path = f"{path}.type" if path else "type"
    param = f"{prefix}.{path}".strip(".")
    if kind == "missing" or (kind == _TAG_MISSING and param != "type"):
        return missing(param)
    return InvalidEvent(f"Invalid value for '{param}': {_reason(kind, first['msg'])}.", code=_code(first), param=param)


def missing(param: str) -> InvalidEvent:
    """A field that has to be there is not."""
    return InvalidEvent(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def unsupported(message: str, param: str) -> InvalidEvent:
    """Something that this engine cannot do at all."""
    return InvalidEvent(message, code="unsupported_by_engine", param=param)


def _code(first: Mapping[str, Any]) -> str:
    mistyped = first["type"].endswith("_type")
    if first["type"] == "literal_error":
        # A word that is none of those allowed is a bad value; anything but a word has the wrong type.
        mistyped = not isinstance(first["input"], str)
    elif first["type"] == _TAG_UNKNOWN and first["loc"]:
        mistyped = not isinstance(first["input"]["type"], str)
    return "invalid_type" if mistyped else "invalid_value"


def _reason(kind: str, message: str) -> str:
    reasons = {_TAG_MISSING: "it is missing", _TAG_UNKNOWN: "it is not one this server knows"}
    return reasons.get(kind, message[:1].lower() + message[1:])


def _path(loc: Sequence[int | str], checked: object, *, missing: bool) -> str:
    """`item.content[0].text`. Among a location's parts are names of union members, which are no keys of the value."""
    path, here = "", checked
    for depth, part in enumerate(loc):
        if isinstance(here, Mapping) and (part in here or (missing and depth == len(loc) - 1)):
            path, here = f"{path}.{part}", here.get(part)
        elif isinstance(here, list) and isinstance(part, int):
            path, here = f"{path}[{part}]", here[part]
    return path.removeprefix(".")
