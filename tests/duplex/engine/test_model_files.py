import os
from pathlib import Path

import pytest

from duplex.engine.model_files import (
    find_llama_server,
    find_llm,
    find_model_files,
    find_voice_reference,
    pick_vision_backend,
)
from duplex.errors import EngineStartFailed

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


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "MiniCPM-o-4_5-gguf"
    put(folder, *SUB_MODELS, "MiniCPM-o-4_5-Q4_K_M.gguf")
    return folder


def test_a_complete_directory(model_dir: Path) -> None:
    files = find_model_files(model_dir)
    assert files.llm == model_dir / "MiniCPM-o-4_5-Q4_K_M.gguf"
    assert files.tts_bin_dir == model_dir / "tts"
    assert not str(files.tts_bin_dir).endswith("/")


@pytest.mark.parametrize("missing", SUB_MODELS)
def test_each_missing_file_is_named(model_dir: Path, missing: str) -> None:
    (model_dir / missing).unlink()
    with pytest.raises(EngineStartFailed) as failure:
        find_model_files(model_dir)
    assert f"- {missing}" in str(failure.value)
    assert str(model_dir) in str(failure.value)


def test_one_message_names_all_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(EngineStartFailed) as failure:
        find_model_files(tmp_path)
    assert str(failure.value).count("\n  - ") == len(SUB_MODELS) + 1
    assert all(name in str(failure.value) for name in SUB_MODELS)


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineStartFailed, match="--model-dir"):
        find_model_files(tmp_path / "nowhere")


def test_a_named_model_is_taken_and_must_exist(model_dir: Path) -> None:
    put(model_dir, "other-Q8_0.gguf")
    assert find_model_files(model_dir, "other-Q8_0.gguf").llm == model_dir / "other-Q8_0.gguf"
    with pytest.raises(EngineStartFailed, match=r"- absent\.gguf"):
        find_model_files(model_dir, "absent.gguf")


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        (("m-F16.gguf", "m-Q8_0.gguf", "m-Q4_K_S.gguf", "m-Q5_K_M.gguf", "z-Q4_K_M.gguf"), "z-Q4_K_M.gguf"),
        (("m-F16.gguf", "m-Q8_0.gguf", "m-Q4_K_S.gguf"), "m-Q4_K_S.gguf"),
        (("m-F16.gguf", "m-Q8_0.gguf", "m-Q5_K_M.gguf"), "m-Q8_0.gguf"),
        (("m-F16.gguf", "m-Q5_K_M.gguf"), "m-Q5_K_M.gguf"),
        (("a-Q4_0.gguf", "m-F16.gguf"), "m-F16.gguf"),
        (("m-IQ2.gguf", "b-Q4_0.gguf"), "b-Q4_0.gguf"),
        (("b-Q4_K_M.gguf", "a-Q4_K_M.gguf"), "a-Q4_K_M.gguf"),
        (("m-q4_k_m.gguf", "m-f16.gguf"), "m-q4_k_m.gguf"),
        (("m-audio-Q4_K_M.gguf", "m-Vision-F16.gguf", "tts-Q8_0.gguf", "projector-F16.gguf", "m.gguf"), "m.gguf"),
        (("m-audio-F16.gguf", "readme-Q4_K_M.txt"), None),
    ],
)
def test_the_language_model_is_chosen_by_quantisation(
    tmp_path: Path, present: tuple[str, ...], chosen: str | None
) -> None:
    put(tmp_path, *present)
    found = find_llm(tmp_path)
    assert (found.name if found else None) == chosen


def test_trailing_slash_and_relative_path_find_the_same(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(model_dir, "MiniCPM-o-4_5-F16.gguf")
    monkeypatch.chdir(model_dir.parent)
    asked = [Path(f"{model_dir}{os.sep}"), Path(model_dir.name), Path(f"./{model_dir.name}/")]
    assert {find_model_files(path) for path in asked} == {find_model_files(model_dir)}
    assert find_model_files(asked[1]).llm.is_absolute()


@pytest.mark.parametrize(
    "place",
    ["build/bin/llama-server", "build/bin/Release/llama-server.exe", "build-x64-linux-cuda-release/bin/llama-server"],
)
def test_the_binary_is_found_in_every_known_place(tmp_path: Path, place: str) -> None:
    put(tmp_path, place)
    assert find_llama_server(tmp_path) == tmp_path / place


def test_the_first_known_place_wins(tmp_path: Path) -> None:
    put(tmp_path, "build-x64-linux-cuda-release/bin/llama-server", "build/bin/llama-server")
    assert find_llama_server(tmp_path) == tmp_path / "build/bin/llama-server"


def test_a_missing_binary_names_every_place(tmp_path: Path) -> None:
    with pytest.raises(EngineStartFailed) as failure:
        find_llama_server(tmp_path)
    assert str(failure.value).count("\n  - ") == 5
    assert "cmake" in str(failure.value)
    with pytest.raises(EngineStartFailed, match="--llamacpp-root"):
        find_llama_server(tmp_path / "nowhere")


def test_the_voice_reference(tmp_path: Path) -> None:
    assert find_voice_reference(None, None) is None
    assert find_voice_reference(tmp_path, None) is None
    inner = "tools/omni/assets/default_ref_audio/default_ref_audio.wav"
    put(tmp_path, inner)
    assert find_voice_reference(tmp_path, None) == tmp_path / inner
    put(tmp_path, "tools/omni/assets/default_ref_audio.wav", "mine.wav")
    assert find_voice_reference(tmp_path, None) == tmp_path / "tools/omni/assets/default_ref_audio.wav"
    assert find_voice_reference(tmp_path, tmp_path / "mine.wav") == tmp_path / "mine.wav"
    with pytest.raises(EngineStartFailed, match="REF_AUDIO"):
        find_voice_reference(tmp_path, tmp_path / "absent.wav")


def test_coreml_needs_its_model(tmp_path: Path) -> None:
    assert pick_vision_backend(tmp_path, "coreml") == "metal"
    (tmp_path / "vision/coreml_minicpmo45_vit_all_f16.mlmodelc").mkdir(parents=True)
    assert pick_vision_backend(tmp_path, "coreml") == "coreml"
    assert pick_vision_backend(tmp_path, "metal") == "metal"
