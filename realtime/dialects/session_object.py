"""The `session` object of OpenAI's protocol: its first form, its merge, and the settings it stands for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from duplex.barge_in import BargeIn
from duplex.conversation_settings import ConversationSettings
from duplex.errors import InvalidEvent
from realtime.dialects.wire_format import WireFormat, wire_format
from realtime.session_shape import Audio, Input, Output, TurnDetection, parse_session

__all__ = ["LARGEST_SESSION_BYTES", "SessionObject", "demands_tools"]

LARGEST_SESSION_BYTES = 256 * 1024
"""Of its JSON. Unknown keys are kept, and a client must not be able to make us keep everything."""

_SEMANTIC = {"type": "semantic_vad", "eagerness": "auto", "create_response": True, "interrupt_response": True}
_FIXED = ("id", "object")


@dataclass(frozen=True, slots=True)
class SessionObject:
    """One state of a session: what the client sees, and what it means."""

    first: Mapping[str, Any]
    """What every null goes back to."""
    shown: Mapping[str, Any]
    settings: ConversationSettings
    input: WireFormat
    output: WireFormat

    @classmethod
    def begin(cls, session_id: str, model: str, settings: ConversationSettings) -> "SessionObject":
        """The session as it is when the client has asked for nothing."""
        first = _first(session_id, model, settings)
        return cls(first, first, settings, WireFormat(settings.input_rate_hz), WireFormat(settings.output_rate_hz))

    def updated(self, update: Mapping[str, Any]) -> "SessionObject":
        """With `update` merged into it. Raises `InvalidEvent` or `InvalidAudio` naming the field; nothing changes."""
        parse_session(update)
        shown = {**_merge(self.shown, update, self.first), **{key: self.first[key] for key in _FIXED}}
        shape = parse_session(shown)
        # The check is worth its time only where something was added.
        if len(json.dumps(shown)) > LARGEST_SESSION_BYTES:
            raise InvalidEvent(f"A session may hold {LARGEST_SESSION_BYTES // 1024} KiB at most.", param="session")
        audio = shape.audio or Audio()
        heard, said = audio.input or Input(), audio.output or Output()
        first = self.first["audio"]
        input_format = wire_format(heard.format, first["input"]["format"], "session.audio.input.format")
        output_format = wire_format(said.format, first["output"]["format"], "session.audio.output.format")
        shown["audio"]["input"]["format"] = input_format.described
        shown["audio"]["output"]["format"] = output_format.described
        settings = replace(
            _hearing(self.settings, heard.turn_detection),
            input_rate_hz=input_format.rate_hz,
            output_rate_hz=output_format.rate_hz,
        )
        return SessionObject(self.first, shown, settings, input_format, output_format)

    @property
    def voice(self) -> str:
        """The voice asked for, by name."""
        voice = self.shown["audio"]["output"].get("voice")
        return str(voice.get("id")) if isinstance(voice, Mapping) else str(voice)

    @property
    def demands_tools(self) -> bool:
        """Must an answer be a call of a tool?"""
        return demands_tools(self.shown)


def demands_tools(wish: Mapping[str, Any]) -> bool:
    """Does `wish`, a session or a `response`, leave the model no way but to call a tool?"""
    choice = wish.get("tool_choice")
    return bool(wish.get("tools")) and (choice == "required" or isinstance(choice, Mapping))


def _first(session_id: str, model: str, settings: ConversationSettings) -> dict[str, Any]:
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "",
        "audio": {
            "input": {
                "format": WireFormat(settings.input_rate_hz).described,
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": _turn_detection(settings) if settings.detect_turns else None,
            },
            "output": {
                "format": WireFormat(settings.output_rate_hz).described,
                "voice": "default",
                "speed": 1.0,
            },
        },
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
    }


def _turn_detection(settings: ConversationSettings) -> dict[str, Any]:
    return {
        "type": "server_vad",
        "threshold": settings.threshold,
        "prefix_padding_ms": settings.prefix_padding_ms,
        "silence_duration_ms": settings.vad.hangover_ms,
        "create_response": settings.create_response,
        "interrupt_response": settings.interrupt_response,
        "idle_timeout_ms": settings.idle_timeout_ms,
    }


def _merge(known: Mapping[str, Any], update: Mapping[str, Any], first: Mapping[str, Any]) -> dict[str, Any]:
    """Objects are merged key by key, everything else is replaced, null by what was there first."""
    merged = dict(known)
    for key, value in update.items():
        if key == "turn_detection":
            merged[key] = _merged_turns(known.get(key), value, first.get(key))
        elif value is None:
            merged[key] = first.get(key)
        elif isinstance(value, Mapping) and isinstance(known.get(key), Mapping) and key != "format":
            inner = first.get(key)
            merged[key] = _merge(known[key], value, inner if isinstance(inner, Mapping) else {})
        else:
            merged[key] = value
    return merged


def _merged_turns(known: Any, update: Any, first: Any) -> Any:
    """Another type brings its own defaults: what was said of one means nothing to the other."""
    if not isinstance(update, Mapping):
        return update
    kind = update.get("type") or (known or {}).get("type", "server_vad")
    defaults = _SEMANTIC if kind == "semantic_vad" else (first or _turn_detection(ConversationSettings()))
    base = known if known is not None and known.get("type") == kind else defaults
    given = {key: defaults.get(key) if value is None else value for key, value in update.items()}
    return {**base, **given, "type": kind}


def _hearing(settings: ConversationSettings, turns: TurnDetection | None) -> ConversationSettings:
    if turns is None:
        return replace(settings, detect_turns=False)
    barge_in = settings.barge_in if turns.barge_in is None else BargeIn(turns.barge_in)
    weighed = settings.weighing(barge_in, turns.interrupt_min_ms, turns.threshold)
    return replace(
        weighed,
        detect_turns=True,
        create_response=turns.create_response,
        interrupt_response=turns.interrupt_response,
        idle_timeout_ms=turns.idle_timeout_ms if turns.type == "server_vad" else None,
        prefix_padding_ms=turns.prefix_padding_ms,
        vad=replace(weighed.vad, hangover_ms=turns.hangover_ms),
    )
