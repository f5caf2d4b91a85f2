"""What must be on disk before a real engine starts, found and checked in one go.

llama-server notices most of this late or never: a missing vision model lets the initialisation succeed and kills the
process at the first image, a missing vocoder gives answers without sound. So everything is checked here, and one
message names every file that is missing. All functions read the file system and block.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from duplex.errors import EngineStartFailed

__all__ = [
    "SUB_MODELS",
    "ModelFiles",
    "find_llama_server",
    "find_llm",
    "find_model_files",
    "find_voice_reference",
    "pick_vision_backend",
]

SUB_MODELS = (
    "audio/MiniCPM-o-4_5-audio-F16.gguf",
    "vision/MiniCPM-o-4_5-vision-F16.gguf",
    "tts/MiniCPM-o-4_5-tts-F16.gguf",
    "tts/MiniCPM-o-4_5-projector-F16.gguf",
    "token2wav-gguf/encoder.gguf",
    "token2wav-gguf/flow_matching.gguf",
    "token2wav-gguf/flow_extra.gguf",
    "token2wav-gguf/hifigan2.gguf",
    "token2wav-gguf/prompt_cache.gguf",
)
"""What a model directory holds beside the language model."""
_LLM_PREFERENCE = ("*q4_k_m*", "*q4_k_s*", "*q8_0*", "*q5_k_m*", "*f16*", "*")
_NOT_AN_LLM = ("audio", "vision", "tts", "projector")
_COREML_VISION = "vision/coreml_minicpmo45_vit_all_f16.mlmodelc"
_BINARIES = (
    "build/bin/llama-server",
    "build/bin/Release/llama-server.exe",
    "build/bin/llama-server.exe",
    "build-arm64-apple-clang-release/bin/llama-server",
    "build-x64-linux-cuda-release/bin/llama-server",
)
_VOICE_REFERENCES = (
    "tools/omni/assets/default_ref_audio.wav",
    "tools/omni/assets/default_ref_audio/default_ref_audio.wav",
)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A complete model directory; all paths absolute."""

    model_dir: Path
    llm: Path
    """The language model, the only one given on the command line of llama-server."""

    @property
    def tts_bin_dir(self) -> Path:
        """Where TTS model and projector lie; the engine looks for the vocoder in `token2wav-gguf` beside it."""
        return self.model_dir / "tts"


def find_model_files(model_dir: Path, llm_name: str | None = None) -> ModelFiles:
    """Check the whole model directory. Raises `EngineStartFailed` that names every file that is missing.

    `llm_name` is a file name inside the directory (or an absolute path); None detects the language model.
    """
    directory = model_dir.expanduser().resolve()
    if not directory.is_dir():
        raise EngineStartFailed(f"The model directory {directory} does not exist. Give the right one with --model-dir.")
    missing = [name for name in SUB_MODELS if not (directory / name).is_file()]
    llm = directory / llm_name if llm_name else find_llm(directory)
    if llm is None:
        missing.insert(0, "a language model such as MiniCPM-o-4_5-Q4_K_M.gguf")
    elif not llm.is_file():
        missing.insert(0, str(llm_name))
    if llm is None or missing:
        raise EngineStartFailed(f"The model directory {directory} is not complete. Missing:{_bullets(missing)}")
    return ModelFiles(model_dir=directory, llm=llm)


def find_llm(model_dir: Path) -> Path | None:
    """The language model right inside `model_dir`, by quantisation: Q4_K_M, Q4_K_S, Q8_0, Q5_K_M, F16, any other.

    Several of one kind: the first by name. Files of the other sub-models never count. None when there is none.
    """
    candidates = sorted(
        (
            path
            for path in model_dir.iterdir()
            if path.suffix.lower() == ".gguf"
            and path.is_file()
            and not any(word in path.name.lower() for word in _NOT_AN_LLM)
        ),
        key=lambda path: path.name,
    )
    for pattern in _LLM_PREFERENCE:
        for path in candidates:
            if fnmatchcase(path.name.lower(), pattern):
                return path
    return None


def find_llama_server(root: Path) -> Path:
    """The llama-server binary of a llama.cpp-omni checkout. Raises `EngineStartFailed` that names every place tried."""
    directory = root.expanduser().resolve()
    if not directory.is_dir():
        raise EngineStartFailed(
            f"The llama.cpp-omni directory {directory} does not exist. Give the right one with --llamacpp-root."
        )
    for name in _BINARIES:
        if (directory / name).is_file():
            return directory / name
    raise EngineStartFailed(
        f"No llama-server under {directory}. Build it there with `cmake -B build -DCMAKE_BUILD_TYPE=Release && "
        f"cmake --build build --target llama-server -j`. Looked for:{_bullets(_BINARIES)}"
    )


def find_voice_reference(root: Path | None, wanted: Path | None) -> Path | None:
    """The WAV whose voice the model imitates: `wanted`, else the default of the checkout, else None.

    Raises `EngineStartFailed` when `wanted` is given and not there: a silent default would be the wrong voice.
    """
    if wanted is not None:
        path = wanted.expanduser().resolve()
        if not path.is_file():
            raise EngineStartFailed(f"The voice reference {path} does not exist. Give a WAV file with REF_AUDIO.")
        return path
    if root is None:
        return None
    directory = root.expanduser().resolve()
    return next((directory / name for name in _VOICE_REFERENCES if (directory / name).is_file()), None)


def pick_vision_backend(model_dir: Path, wanted: str) -> str:
    """`coreml` only where its model is installed, else `metal`, the engine's name for its ordinary backend."""
    if wanted == "coreml" and (model_dir.expanduser().resolve() / _COREML_VISION).exists():
        return "coreml"
    return "metal"


def _bullets(names: Iterable[str]) -> str:
    return "".join(f"\n  - {name}" for name in names)
