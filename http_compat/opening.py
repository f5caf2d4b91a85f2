"""From the body of an init to the session it asks for, and to the words it is answered with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from duplex.audio import SAMPLE_BYTES
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, Mode
from duplex.errors import InvalidAudio
from duplex.wav import write_wav
from http_compat.choice import SessionChoice
from http_compat.schemas import InitRequest, parse_media_type

__all__ = ["DecodeSound", "Opening", "choose"]

DecodeSound = Callable[[str], Awaitable[bytes]]
"""From a sound file in base64 to PCM as the engine takes it; raises `InvalidAudio` and `CapacityError`."""

_LONGEST_VOICE_BYTES = 30 * ENGINE_INPUT_RATE_HZ * SAMPLE_BYTES
"""The engine takes at most 30 s of sound at once."""

_ENGINE_LANGUAGE = "zh"
"""The only one llama-server of llama.cpp-omni 0788f99 has prompts for."""


@dataclass(frozen=True, slots=True)
class Opening:
    """One init, understood."""

    choice: SessionChoice
    ignored: tuple[str, ...] = ()
    """Fields that were given and that this engine can do nothing with, each with the reason."""

    def message(self, *, is_new_mode: bool, is_new_media: bool) -> str:
        """The documented words for an engine that was initialised, prompted for other media, or merely emptied.

        What stands in the brackets is what the session has, not what was asked for.
        """
        choice = self.choice
        words = [
            "omni模式" if choice.vision else "audio模式",
            "双工" if choice.mode is Mode.DUPLEX else "单工",
            "高清画质" if choice.high_quality else "普通画质",
            "高刷" if choice.high_fps else "标准帧率",
        ]
        if is_new_mode:
            return f"初始化完成（{'，'.join(words)}）"
        if is_new_media:
            return f"模式切换完成（{'，'.join(words)}）"
        return f"初始化成功（{'，'.join([*words, '快速恢复'])}）"


async def choose(request: InitRequest, default_mode: Mode, decode: DecodeSound) -> Opening:
    """The session that is asked for. Raises `InvalidEvent` for an unknown media type, and `CapacityError` when there is
    no room for its voice to be decoded."""
    vision = parse_media_type(request) == 2
    mode = default_mode
    if request.duplex_mode is not None:
        mode = Mode.DUPLEX if request.duplex_mode else Mode.SIMPLEX
    voice, no_voice = await _voice(request, mode, decode)
    choice = SessionChoice(
        mode=mode, vision=vision, high_quality=request.high_quality, high_fps=request.high_fps, voice=voice
    )
    return Opening(choice, (*no_voice, *_ignored(request)))


async def _voice(request: InitRequest, mode: Mode, decode: DecodeSound) -> tuple[bytes | None, tuple[str, ...]]:
    """The voice reference as a WAV, or why the one that was given is not used. A wrong one costs no call."""
    name, upload = ("timbreBase64", request.timbreBase64) if request.timbreBase64 else ("voice", request.voice)
    if not upload:
        return None, ()
    if mode is Mode.SIMPLEX:
        return None, (f"{name}: the engine imitates a given voice in duplex only",)
    try:
        pcm = await decode(upload.rpartition(",")[2])
    except InvalidAudio as error:
        return None, (f"{name}: {error}",)
    if not pcm:
        return None, (f"{name}: it holds no sound",)
    return write_wav(pcm[:_LONGEST_VOICE_BYTES], rate_hz=ENGINE_INPUT_RATE_HZ), ()


def _ignored(request: InitRequest) -> list[str]:
    ignored = []
    if request.language not in {None, "", _ENGINE_LANGUAGE}:
        ignored.append(f"language: the engine's prompts exist in {_ENGINE_LANGUAGE} only")
    prompts = ("audio_prompt_text", "task_prompt_text", "assistant_prompt")
    ignored += [f"{name}: the engine's prompts are fixed" for name in prompts if getattr(request, name)]
    if request.use_tts is False:
        ignored.append("use_tts: the engine always speaks")
    return ignored
