"""Our types against llama-server's JSON: what each request says, and what each answer must look like.

Bodies are plain dicts ready for a JSON encoder. Answers are read strictly: a shape we do not know is `EngineRefused`,
because guessing at it would turn a changed engine into unexplained silence.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from duplex.engine.base import Mode
from duplex.errors import EngineRefused

__all__ = [
    "DEFAULT_VOICE",
    "DecodeDone",
    "DecodeEvent",
    "DecodeListen",
    "DecodeOver",
    "DecodeText",
    "JsonObject",
    "OmniInit",
    "check_success",
    "decode_body",
    "image_suffix",
    "init_body",
    "is_not_initialised",
    "parse_decode_event",
    "prefill_body",
    "update_body",
]

JsonObject = dict[str, object]

AUDIO_MEDIA_TYPE = 1
"""Audio alone. It chooses the prompt and refuses pictures; the vision model stays loaded."""

OMNI_MEDIA_TYPE = 2
"""Audio and vision. A later change from 1 to 2 does not load the vision model, so `omni_init` always asks for it."""

DEFAULT_VOICE = "tools/omni/assets/default_ref_audio/default_ref_audio.wav"
"""The engine's own voice reference, relative to its working directory.

It must be named: without a voice the engine leaves its prompt thread unstarted and the second decode hangs for ever.
"""


@dataclass(frozen=True, slots=True)
class OmniInit:
    """What the engine is told once about its model files and devices."""

    model_dir: Path
    """Directory of the model; its `audio`, `vision` and `tts` folders hold the sub-models."""
    tts_bin_dir: Path
    """Directory of the TTS model and projector, normally `<model_dir>/tts`; `token2wav-gguf` lies beside it."""
    token2wav_device: str = "gpu"
    """`gpu`, `gpu:N` or `cpu`."""
    vision_backend: str = "metal"
    """`metal` (the engine's name for its ordinary backend) or `coreml`."""
    n_predict: int = 2048
    """Token limit of one decode."""
    voice: Path | None = None
    """Default voice reference WAV; None means the engine's own."""
    tts_gpu_layers: int = 100
    """TTS layers on the GPU; 0 for a CPU build."""
    ctx_size: int = 8192
    """Tokens of context the process was started with."""
    is_child: bool = False
    """Whether the process is ours, so that its end is known. Somebody else's may be a new one at any time."""


@dataclass(frozen=True, slots=True)
class DecodeText:
    """A fragment of up to ten tokens. Characters cut at its ends appear as U+FFFD."""

    text: str


@dataclass(frozen=True, slots=True)
class DecodeListen:
    """The model chose to listen. May come before the text of the same step."""


@dataclass(frozen=True, slots=True)
class DecodeOver:
    """This decode generates no more. In duplex it says nothing about the turn."""


@dataclass(frozen=True, slots=True)
class DecodeDone:
    """The last event: the engine's lock is free again."""


DecodeEvent = DecodeText | DecodeListen | DecodeOver | DecodeDone


def init_body(init: OmniInit, *, mode: Mode, output_dir: Path, voice: Path | None) -> JsonObject:
    """Body of `omni_init`. The model directory ends in a slash and the TTS directory must not: the engine appends."""
    return {
        "media_type": OMNI_MEDIA_TYPE,
        "use_tts": True,
        "duplex_mode": mode is Mode.DUPLEX,
        "model_dir": f"{init.model_dir}/",
        "tts_bin_dir": str(init.tts_bin_dir),
        "tts_gpu_layers": init.tts_gpu_layers,
        "token2wav_device": init.token2wav_device,
        "output_dir": str(output_dir),
        "n_predict": init.n_predict,
        "vision_backend": init.vision_backend,
        "voice_audio": _voice(init, voice),
    }


def update_body(init: OmniInit, *, mode: Mode, vision: bool, voice: Path | None) -> JsonObject:
    """Body of `update_session_config`: the same mode with an empty context. Without a voice the engine would build its
    prompt from the user's first words."""
    return {
        "media_type": OMNI_MEDIA_TYPE if vision else AUDIO_MEDIA_TYPE,
        "duplex_mode": mode is Mode.DUPLEX,
        "voice_audio": _voice(init, voice),
    }


def prefill_body(*, audio: Path | None, image: Path | None, slices: int, cnt: int) -> JsonObject:
    """Body of `prefill`. `cnt` 0 opens a simplex round; any other number goes on with it.

    The engine keeps the number of slices until it is told another one, so every picture states its own.
    """
    body: JsonObject = {
        "audio_path_prefix": "" if audio is None else str(audio),
        "img_path_prefix": "" if image is None else str(image),
        "cnt": cnt,
    }
    if image is not None:
        body["max_slice_nums"] = slices
    return body


def decode_body(*, round_idx: int | None) -> JsonObject:
    """Body of `decode`. `round_idx` names the round's directory in simplex; duplex has none."""
    body: JsonObject = {"stream": True}
    if round_idx is not None:
        body["round_idx"] = round_idx
    return body


def parse_decode_event(payload: str) -> DecodeEvent:
    """One SSE payload of `decode`. Raises EngineRefused for any shape the contract does not list."""
    if payload == "[DONE]":
        return DecodeDone()
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        raise EngineRefused("an event of the engine's answer is not JSON") from None
    if not isinstance(event, dict):
        raise EngineRefused("an event of the engine's answer is not an object")
    match [event.get(key) for key in ("content", "stop", "is_listen", "end_of_turn")] if len(event) == 4 else []:
        case [str(text), False, False, False] if text:
            return DecodeText(text)
        case ["", False, True, True]:
            return DecodeListen()
        case ["", True, False, True]:
            return DecodeOver()
    shape = {key: value if isinstance(value, bool) else type(value).__name__ for key, value in event.items()}
    raise EngineRefused(f"the engine's answer has an event of unknown shape: {shape}")


def check_success(call: str, status: int, content: bytes) -> None:
    """Accept the answer of a plain call, or raise EngineRefused with what the engine said."""
    body = _object(content)
    if status == 200 and body is not None and body.get("success") is True:
        return
    raise EngineRefused(f"the engine answered {call} with {status}: {_reason(body)}")


def is_not_initialised(status: int, content: bytes) -> bool:
    """Whether this answer says that `omni_init` has not happened in this process."""
    return status == 400 and "not initialized" in _reason(_object(content))


def image_suffix(image: bytes) -> str | None:
    """The file suffix of a JPEG or PNG, None for anything else."""
    if image.startswith(b"\xff\xd8\xff"):
        return ".jpg"
    if image.startswith(b"\x89PNG\r\n\x1a\n"):
        return ".png"
    return None


def _voice(init: OmniInit, voice: Path | None) -> str:
    chosen = voice or init.voice
    return DEFAULT_VOICE if chosen is None else str(chosen)


def _object(content: bytes) -> JsonObject | None:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _reason(body: JsonObject | None) -> str:
    error = None if body is None else body.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else "no reason given"
