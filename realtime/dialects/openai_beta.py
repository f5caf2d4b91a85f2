"""The names of OpenAI's Realtime protocol before its general availability. Nothing else differs.

Everything inside is kept in the newer form; here it is put into the older words on the way out, and back on the way in.
"""

import enum
from collections.abc import Mapping
from typing import Any

from realtime.dialects.lifecycle import Event

__all__ = ["BETA_EVENTS", "Names", "beta_event", "beta_param", "ga_session", "is_flat"]


class Names(enum.StrEnum):
    """Which words a connection uses; one of them, never both."""

    GA = "openai"
    BETA = "openai-beta"


BETA_EVENTS: Mapping[str, str | None] = {
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
    "conversation.item.added": "conversation.item.created",
    # No word for it: an item was there, whole or not, once it was created.
    "conversation.item.done": None,
    "input_audio_buffer.timeout_triggered": None,
}
_CONTENT = {"output_audio": "audio", "output_text": "text"}
_FORMATS = {"audio/pcm": "pcm16", "audio/pcmu": "g711_ulaw", "audio/pcma": "g711_alaw"}
_GA_FORMATS = {name: kind for kind, name in _FORMATS.items()}

_PATHS: Mapping[str, tuple[str, ...]] = {
    "modalities": ("output_modalities",),
    "max_response_output_tokens": ("max_output_tokens",),
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
    "input_audio_format": ("audio", "input", "format"),
    "output_audio_format": ("audio", "output", "format"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
}
"""Where each key of the flat session lies in the newer one."""


def is_flat(update: Mapping[str, Any]) -> bool:
    """Is this session an old one? A new one says its type, or has a key that the old did not."""
    return not {"type", "audio", "output_modalities"} & update.keys() and bool(_PATHS.keys() & update.keys())


def ga_session(update: Mapping[str, Any]) -> dict[str, Any]:
    """A flat session in the newer form. What has no place of its own stays where it is."""
    session: dict[str, Any] = {}
    for key, value in update.items():
        path = _PATHS.get(key, (key,))
        here = session
        for part in path[:-1]:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                # It will be refused by its own name.
                return session
        here[path[-1]] = _ga_format(value) if key.endswith("_audio_format") else value
    return session


def beta_param(param: str) -> str:
    """The field of the flat session that `param`, a path in the newer one, stands for."""
    for key, path in _PATHS.items():
        place = ".".join(("session", *path))
        if param == place or param.startswith((f"{place}.", f"{place}[")):
            # A format is one word here, whatever is wrong with it.
            rest = "" if path[-1] == "format" else param.removeprefix(place)
            return f"session.{key}{rest}"
    return param


def beta_event(event: Event) -> Event | None:
    """A server event in the older words, or None where they have none for it."""
    kind = BETA_EVENTS.get(event["type"], event["type"])
    if kind is None:
        return None
    renamed = {**event, "type": kind}
    if "session" in event:
        renamed["session"] = _flat(event["session"])
    if "response" in event:
        renamed["response"] = _response(event["response"])
    if "item" in event:
        renamed["item"] = _item(event["item"])
    return renamed


def _ga_format(value: Any) -> Any:
    # What is no word keeps its form, and is found wanting like any other.
    return {"type": _GA_FORMATS.get(value, value)} if isinstance(value, str) else value


def _flat(session: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in session.items() if key not in {"audio", "type", "truncation"}}
    for key, path in _PATHS.items():
        here: Any = session
        for part in path:
            here = here.get(part) if isinstance(here, Mapping) else None
        flat.pop(path[0], None)
        flat[key] = _FORMATS[here["type"]] if path[-1] == "format" else here
    return {**flat, "temperature": session.get("temperature", 0.8)}


def _response(response: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {key: value for key, value in response.items() if key not in {"audio", "output_modalities"}}
    output = response["audio"]["output"]
    return {
        **renamed,
        "output": list(map(_item, response["output"])),
        "modalities": ["text", "audio"],
        "voice": output["voice"],
        "output_audio_format": _FORMATS[output["format"]["type"]],
        "temperature": 0.8,
    }


def _item(item: Mapping[str, Any]) -> dict[str, Any]:
    if "content" not in item:
        return dict(item)
    content = [{**part, "type": _CONTENT.get(part["type"], part["type"])} for part in item["content"]]
    return {**item, "content": content}
