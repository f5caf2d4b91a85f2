import sys
from dataclasses import replace
from pathlib import Path

import pytest

from duplex.engine.spec import EngineKind, EngineSpec, engine_command, scrubbed_environment

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


def test_proxies_keys_and_our_settings_stay_with_us() -> None:
    inherited = {
        "http_proxy": "x",
        "HTTPS_PROXY": "x",
        "no_proxy": "x",
        "All_Proxy": "x",
        "LLAMA_API_KEY": "x",
        "OMNI_DUPLEX_API_KEY": "x",
        "OMNI_PARROT_FAULTS": "kept",
        "OMP_THREAD_LIMIT": "kept",
    }
    assert scrubbed_environment(inherited) == {"OMNI_PARROT_FAULTS": "kept", "OMP_THREAD_LIMIT": "kept"}


def test_a_real_engine_needs_its_files() -> None:
    with pytest.raises(ValueError, match="binary"):
        engine_command(EngineSpec(kind=EngineKind.LLAMA_SERVER), port=1, placeholder=PLACEHOLDER)
