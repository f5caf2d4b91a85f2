"""What a client chooses in the URL, so that a small device needs no JSON at all."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from duplex.audio import PcmFormat
from duplex.barge_in import BargeIn
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import Mode
from duplex.errors import InvalidAudio, InvalidEvent

__all__ = ["ConnectionOptions", "parse_options"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """The dialect's variant and the settings a connection starts with."""

    model: str
    binary: bool
    extensions: bool
    settings: ConversationSettings


def parse_options(query: Mapping[str, str], defaults: ConversationSettings) -> ConnectionOptions:
    """Read the query. Raises `InvalidEvent` or `InvalidAudio` naming the parameter; unknown parameters are ignored."""
    if "mode" in query:
        raise InvalidEvent("This server does not speak the mode=audio|video protocol yet.", param="mode")
    binary = _choice(query, "audio", {"binary": True, "base64": False}, default=False)
    extensions = any(_choice(query, name, _SWITCH, default=False) for name in ("ext", "duplex"))
    modes = {str(mode): mode for mode in Mode}
    presets = {str(preset): preset for preset in BargeIn}
    barge_in = _choice(query, "barge_in", presets, default=defaults.barge_in)
    settings = replace(
        defaults,
        mode=_choice(query, "conversation", modes, default=defaults.mode),
        input_rate_hz=_rate(query, "input_rate", defaults.input_rate_hz),
        output_rate_hz=_rate(query, "output_rate", defaults.output_rate_hz),
        client_holds=extensions or binary,
        client_cancels_echo=_choice(query, "echo", {"cancelled": True, "open": False}, default=False),
    ).weighing(barge_in, defaults.interrupt_min_ms, defaults.threshold)
    return ConnectionOptions(query.get("model", "minicpm-o-4.5"), binary, extensions, settings)


_SWITCH = {"1": True, "true": True, "0": False, "false": False}


def _choice(query: Mapping[str, str], name: str, choices: Mapping[str, T], *, default: T) -> T:
    value = query.get(name)
    if value is None:
        return default
    if value not in choices:
        raise InvalidEvent(f"Invalid value for '{name}': use one of {', '.join(choices)}.", param=name)
    return choices[value]


def _rate(query: Mapping[str, str], name: str, default: int) -> int:
    value = query.get(name)
    if value is None:
        return default
    try:
        return PcmFormat(int(value)).rate_hz
    except InvalidAudio as error:
        raise InvalidAudio(str(error), param=name) from None
    except ValueError:
        raise InvalidAudio(f"'{name}' must be a whole number of Hz.", param=name) from None
