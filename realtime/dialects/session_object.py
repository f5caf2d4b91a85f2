"""The `session` object of OpenAI's protocol: its first form, its merge, and the settings it stands for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from duplex.audio import PcmFormat
from duplex.barge_in import BargeIn
from duplex.conversation_settings import ConversationSettings
from duplex.errors import InvalidAudio
from realtime.events import SessionShape, parse_session

__all__ = ["first_session", "merge", "settings_of"]


def first_session(session_id: str, model: str, settings: ConversationSettings) -> dict[str, Any]:
    """The session as it is when the client has asked for nothing."""
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": settings.input_rate_hz},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": _turn_detection(settings),
            },
            "output": {
                "format": {"type": "audio/pcm", "rate": settings.output_rate_hz},
                "voice": "default",
                "speed": 1.0,
            },
        },
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
    }


def _turn_detection(settings: ConversationSettings) -> dict[str, Any] | None:
    if not settings.detect_turns:
        return None
    return {
        "type": "server_vad",
        "threshold": settings.threshold,
        "prefix_padding_ms": settings.prefix_padding_ms,
        "silence_duration_ms": settings.vad.hangover_ms,
        "create_response": settings.create_response,
        "interrupt_response": settings.interrupt_response,
        "idle_timeout_ms": None,
    }


def merge(session: Mapping[str, Any], update: Mapping[str, Any]) -> dict[str, Any]:
    """Objects are merged key by key, everything else is replaced; neither argument is changed."""
    merged = dict(session)
    for key, value in update.items():
        known = merged.get(key)
        merged[key] = merge(known, value) if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return merged


def settings_of(session: Mapping[str, Any], settings: ConversationSettings) -> ConversationSettings:
    """What `session` asks for, on top of `settings`. Raises `InvalidEvent` or `InvalidAudio` naming the field."""
    shape: SessionShape = parse_session(session)
    for path, audio_format in (("input", shape.audio.input.format), ("output", shape.audio.output.format)):
        try:
            PcmFormat(audio_format.rate)
        except InvalidAudio as error:
            raise InvalidAudio(str(error), param=f"session.audio.{path}.format.rate") from None
    turns = shape.audio.input.turn_detection
    changed = replace(
        settings,
        input_rate_hz=shape.audio.input.format.rate,
        output_rate_hz=shape.audio.output.format.rate,
        detect_turns=turns is not None,
    )
    if turns is None:
        return changed
    barge_in = settings.barge_in if turns.barge_in is None else BargeIn(turns.barge_in)
    changed = changed.weighing(barge_in, turns.interrupt_min_ms, turns.threshold)
    return replace(
        changed,
        create_response=turns.create_response,
        interrupt_response=turns.interrupt_response,
        prefix_padding_ms=turns.prefix_padding_ms,
        vad=replace(changed.vad, hangover_ms=turns.hangover_ms),
    )
