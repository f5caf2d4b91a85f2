"""What a client chooses in the URL, so that a small device needs no JSON at all."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from duplex.audio import PcmFormat
from duplex.barge_in import BargeIn
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, ENGINE_OUTPUT_RATE_HZ, Mode
from duplex.errors import InvalidAudio, InvalidEvent
from realtime.voices import VOICE_PREFIX

__all__ = ["DEFAULT_MODEL", "ConnectionOptions", "Protocol", "parse_options"]

T = TypeVar("T")

DEFAULT_MODEL = "minicpm-o-4.5"
"""What a client that names no model is told."""


class Protocol(enum.StrEnum):
    """What a connection speaks, from its first byte to its last."""

    OPENAI = "openai"
    OPENAI_BETA = "openai-beta"
    MINICPMO = "minicpmo"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """The dialect's variant and the settings a connection starts with.

    `demo_mode` is for `Protocol.MINICPMO` alone, `marks_speech` for `Protocol.LIVE`.
    """

    model: str
    binary: bool
    extensions: bool
    settings: ConversationSettings
    demo_mode: str = "audio"
    marks_speech: bool = False
    resume: bool = False
    """The first event will be session.resume."""
    voice: str | None = None
    """The name of a voice that was left with the server."""
    session_key: str | None = None
    """By this name another socket of the same client may go on with the session."""
    session: Mapping[str, Any] = field(default_factory=dict)
    """What the key of `Protocol.OPENAI` and its beta begins with, beyond `settings`."""
    waits: bool = True
    """Rather wait for an engine than be refused."""


def parse_options(
    query: Mapping[str, str], defaults: ConversationSettings, protocol: Protocol = Protocol.OPENAI
) -> ConnectionOptions:
    """Read the query. Raises `InvalidEvent` or `InvalidAudio` naming the parameter; unknown parameters are ignored."""
    binary = _choice(query, "audio", {"binary": True, "base64": False}, default=False)
    resume = _choice(query, "resume", _SWITCH, default=False)
    extensions = resume or any(_choice(query, name, _SWITCH, default=False) for name in ("ext", "duplex"))
    modes = {str(mode): mode for mode in Mode}
    # The two are protocols of duplex models, whatever the server's own clients are used to.
    usual = Mode.DUPLEX if protocol in {Protocol.LIVE, Protocol.MINICPMO} else defaults.mode
    presets = {str(preset): preset for preset in BargeIn}
    barge_in = _choice(query, "barge_in", presets, default=defaults.barge_in)
    settings = replace(
        defaults,
        mode=_choice(query, "conversation", modes, default=usual),
        input_rate_hz=_rate(query, "input_rate", defaults.input_rate_hz),
        output_rate_hz=_rate(query, "output_rate", defaults.output_rate_hz),
        # The live stream itself stops while an answer is held, as a client with extensions does.
        client_holds=extensions or binary or protocol is Protocol.LIVE,
        picture_slices=_choice(query, "pictures", {"normal": 1, "high": 2}, default=defaults.picture_slices),
        client_cancels_echo=_choice(query, "echo", {"cancelled": True, "open": False}, default=False),
    ).weighing(barge_in, defaults.interrupt_min_ms, defaults.threshold)
    if protocol is Protocol.MINICPMO:
        settings = replace(
            settings, input_rate_hz=ENGINE_INPUT_RATE_HZ, output_rate_hz=ENGINE_OUTPUT_RATE_HZ, client_holds=False
        )
    goes_on = protocol in {Protocol.OPENAI, Protocol.OPENAI_BETA}
    return ConnectionOptions(
        query.get("model", DEFAULT_MODEL),
        binary,
        extensions,
        settings,
        demo_mode=_choice(query, "mode", {"audio": "audio", "video": "video"}, default="audio"),
        marks_speech=_choice(query, "input_transcript", {"marks": True, "off": False}, default=False),
        # What is paced by the clock is not kept for somebody who was away.
        resume=resume and goes_on,
        voice=_voice(query),
        session_key=_session_key(query) if goes_on else None,
        waits=_choice(query, "queue", _SWITCH, default=True),
    )


_LONGEST_KEY = 128

_SWITCH = {"1": True, "true": True, "0": False, "false": False}


def _choice(query: Mapping[str, str], name: str, choices: Mapping[str, T], *, default: T) -> T:
    value = query.get(name)
    if value is None:
        return default
    if value not in choices:
        raise InvalidEvent(f"Invalid value for '{name}': use one of {', '.join(choices)}.", param=name)
    return choices[value]


def _voice(query: Mapping[str, str]) -> str | None:
    name = query.get("voice", "")
    return name if name.startswith(VOICE_PREFIX) else None


def _session_key(query: Mapping[str, str]) -> str | None:
    key = query.get("session")
    if key is not None and not 1 <= len(key) <= _LONGEST_KEY:
        raise InvalidEvent(f"'session' must be a name of 1 to {_LONGEST_KEY} characters.", param="session")
    return key


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
