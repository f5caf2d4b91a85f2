import sys
from dataclasses import replace
from pathlib import Path

import pytest

from duplex.engine.spec import EngineKind, EngineSpec, engine_command, engine_environment

REAL = EngineSpec(
    kind=EngineKind.LLAMA_SERVER, binary=Path("/r/build/bin/llama-server"), root=Path("/r"), llm=Path("/m/l.gguf")
)
PLACEHOLDER = Path("/work/parrot.gguf")


def test_the_command_of_a_real_engine() -> None:
    command = engine_command(REAL, port=19060, placeholder=PLACEHOLDER, inherited={"HOME": "/h"})
    assert " ".join(command.argv) == (
        "/r/build/bin/llama-server --host 127.0.0.1 --port 19060 --model /m/l.gguf --ctx-size 8192 --n-gpu-layers 99 "
        "--repeat-penalty 1.05 --temp 0.7"
    )
    assert command.cwd == Path("/r")
    assert command.port == 19060
    assert command.environment["HOME"] == "/h"
    assert "CUDA_VISIBLE_DEVICES" not in command.environment


def test_the_command_of_the_parrot() -> None:
    spec = EngineSpec(kind=EngineKind.PARROT, parrot_faults=("slow_tts=4", "no_flag"))
    command = engine_command(spec, port=5, placeholder=PLACEHOLDER, inherited={"PYTHONPATH": "/old"})
    assert command.argv[:3] == (sys.executable, "-m", "duplex.engine.parrot")
    assert command.argv[-4:] == ("--fault", "slow_tts=4", "--fault", "no_flag")
    assert command.argv[command.argv.index("--model") + 1] == str(PLACEHOLDER)
    assert command.environment["PYTHONPATH"] == f"{Path(__file__).parents[3]}:/old"


@pytest.mark.parametrize("devices", ["0,1", ""])
def test_gpu_devices_are_set_only_when_given(devices: str) -> None:
    inherited = {"CUDA_VISIBLE_DEVICES": "7"}
    kept = engine_command(REAL, port=1, placeholder=PLACEHOLDER, inherited=inherited)
    assert kept.environment["CUDA_VISIBLE_DEVICES"] == "7"
    given = engine_command(replace(REAL, gpu_devices=devices), port=1, placeholder=PLACEHOLDER, inherited=inherited)
    assert given.environment["CUDA_VISIBLE_DEVICES"] == devices


@pytest.mark.parametrize(
    ("platform", "variable", "path"),
    [
        ("linux", "LD_LIBRARY_PATH", "/cuda:/r/build/bin:/usr/lib/x86_64-linux-gnu:/old"),
        ("darwin", "DYLD_LIBRARY_PATH", "/r/build/bin:/old"),
    ],
)
def test_library_paths(monkeypatch: pytest.MonkeyPatch, platform: str, variable: str, path: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    spec = replace(REAL, cuda_lib_path="/cuda")
    command = engine_command(spec, port=1, placeholder=PLACEHOLDER, inherited={variable: "/old"})
    assert command.environment[variable] == path


def test_an_engine_is_told_what_it_computes_with() -> None:
    inherited = {"PATH": "/bin", "CUDA_DEVICE_ORDER": "x", "GGML_CUDA_FORCE_MMQ": "1", "OMNI_PARROT_FAULTS": "no_flag"}
    inherited |= {"LLAMA_ARG_THREADS": "4", "OMP_THREAD_LIMIT": "2", "LC_ALL": "C", "SystemRoot": "C:"}
    assert engine_environment(inherited) == inherited


@pytest.mark.parametrize(
    "name",
    [
        *("http_proxy", "HTTPS_PROXY", "no_proxy", "All_Proxy", "LLAMA_API_KEY", "LLAMA_ARG_API_PREFIX"),
        *("LLAMA_ARG_SSL_KEY_FILE", "OMNI_DUPLEX_API_KEY", "OMNI_DUPLEX_PORT", "HF_TOKEN", "NVIDIA_API_KEY"),
        *("CUDA_X_SECRET", "AWS_ACCESS_KEY_ID", "SSH_AUTH_SOCK", "LD_PRELOAD", "ANYTHING_ELSE", "PATHS", ""),
    ],
)
def test_proxies_keys_and_our_settings_stay_with_us(name: str) -> None:
    assert engine_environment({name: "x"}) == {}


def test_what_the_operator_names_passes_and_wins() -> None:
    spec = replace(REAL, environment={"HF_TOKEN": "t", "LD_LIBRARY_PATH": "/mine", "PATH": "/p"}, cuda_lib_path="/cuda")
    command = engine_command(spec, port=1, placeholder=PLACEHOLDER, inherited={"PATH": "/bin", "LD_LIBRARY_PATH": "/l"})
    assert (command.environment["HF_TOKEN"], command.environment["PATH"]) == ("t", "/p")
    if sys.platform == "linux":
        assert command.environment["LD_LIBRARY_PATH"].startswith("/cuda:")
        assert command.environment["LD_LIBRARY_PATH"].endswith(":/mine")
    assert "HF_TOKEN" not in repr(spec)


def test_a_real_engine_needs_its_files() -> None:
    with pytest.raises(ValueError, match="binary"):
        engine_command(EngineSpec(kind=EngineKind.LLAMA_SERVER), port=1, placeholder=PLACEHOLDER)
