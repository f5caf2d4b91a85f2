"""The old script as people and scripts run it: a file, its flags, its variables, its lines."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from duplex.engine.base import Mode
from duplex.engine.spec import EngineKind
from http_compat import minicpmo_cpp_http_server as old
from web import cli
from web.banner import Banner, Ports
from web.options import OPTIONS
from web.settings import Settings

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "http_compat" / "minicpmo_cpp_http_server.py"
READY = ["MiniCPMO C++ HTTP 服务器初始化完成", "Application startup complete"]
PORTS = Ports(page=8060, control=8061)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        for name in option.variables:
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """The flags of a checkout and a model directory that look real from outside."""
    (tmp_path / "root" / "tools" / "omni" / "assets").mkdir(parents=True)
    (tmp_path / "root" / "tools" / "omni" / "assets" / "default_ref_audio.wav").touch()
    (tmp_path / "models").mkdir()
    for name in ("m-F16.gguf", "m-Q4_K_M.gguf", "m-audio-Q4_K_M.gguf"):
        (tmp_path / "models" / name).touch()
    return ["--llamacpp-root", str(tmp_path / "root"), "--model-dir", str(tmp_path / "models")]


@contextmanager
def script(cwd: Path, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), *words],
        cwd=cwd,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        encoding="utf-8",
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def refusal(cwd: Path, *words: str, **variables: str) -> str:
    with script(cwd, *words, **variables) as process:
        printed, _ = process.communicate()
        assert process.returncode == 1
    return printed


def settings_of(monkeypatch: pytest.MonkeyPatch, *words: str) -> Settings:
    """What the server would be run with."""
    runs: list[Settings] = []

    def run(settings: Settings, *, banner: Banner) -> int:
        assert banner is old.OLD_BANNER
        runs.append(settings)
        return 0

    monkeypatch.setattr(cli, "run_server", run)
    assert old.main(words) == 0
    (settings,) = runs
    return settings


# --- what cannot be


@pytest.mark.parametrize("wrong", ["unset", "empty"])
def test_both_paths_are_required(tmp_path: Path, wrong: str) -> None:
    variables = {} if wrong == "unset" else {"LLAMACPP_ROOT": "", "MODEL_DIR": ""}
    assert refusal(tmp_path, **variables) == "❌ 错误: 必须指定 --llamacpp-root 或设置 LLAMACPP_ROOT 环境变量\n"
    no_model = refusal(tmp_path, "--llamacpp-root", str(tmp_path), **variables)
    assert no_model == "❌ 错误: 必须指定 --model-dir 或设置 MODEL_DIR 环境变量\n"


def test_both_paths_must_exist(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    assert refusal(tmp_path, LLAMACPP_ROOT=absent) == f"❌ 错误: LLAMACPP_ROOT 目录不存在: {absent}\n"
    no_model = refusal(tmp_path, "--model-dir", absent, LLAMACPP_ROOT=str(tmp_path))
    assert no_model == f"❌ 错误: MODEL_DIR 目录不存在: {absent}\n"


def test_a_language_model_must_be_there(tmp_path: Path, paths: list[str]) -> None:
    models = paths[-1]
    named = refusal(tmp_path, *paths, "--llm-model", "other.gguf")
    assert named == f"❌ 错误: LLM 模型文件不存在: {models}/other.gguf\n"
    for file in Path(models).glob("m-[FQ]*"):
        file.unlink()
    assert refusal(tmp_path, *paths) == f"❌ 错误: 在 {models} 中未找到 LLM GGUF 模型\n"


def test_other_settings_that_cannot_be_are_refused_alike(tmp_path: Path, paths: list[str]) -> None:
    assert "leaves no port for the engine" in refusal(tmp_path, *paths, "--port", "60000")


def test_an_unknown_flag_is_refused_as_by_argparse(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        old.main(["--nonsense"])
    assert error.value.code == 2
    assert "minicpmo_cpp_http_server.py" in capsys.readouterr().err


# --- what the flags come to


def test_the_old_defaults(
    monkeypatch: pytest.MonkeyPatch, paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(monkeypatch, *paths)
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 8060)
    assert (settings.control_port, settings.engine_port) == (8061, 18060)
    assert settings.conversation.mode is Mode.SIMPLEX
    assert settings.engine_kind is EngineKind.LLAMA_SERVER
    assert settings.engine.print_output
    assert settings.engine.gpu_devices is None, "nothing said is every GPU"
    assert settings.engine.output_dir is None
    assert settings.registration.url is None
    assert settings.http.wav_timing_log == SCRIPT.with_name("wav_timing.log")
    assert capsys.readouterr().out == "✅ 自动检测到 LLM 模型: m-Q4_K_M.gguf\n"


def test_no_timing_is_logged_beside_a_script_that_cannot_be_written_to(
    monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert settings_of(monkeypatch, *paths).http.wav_timing_log is None


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        (["--duplex"], Mode.DUPLEX),
        (["--simplex"], Mode.SIMPLEX),
        (["--simplex", "--duplex"], Mode.SIMPLEX),
    ],
)
def test_the_mode(monkeypatch: pytest.MonkeyPatch, paths: list[str], words: list[str], mode: Mode) -> None:
    assert settings_of(monkeypatch, *paths, *words).conversation.mode is mode


def test_every_old_flag_and_our_own_are_understood(
    monkeypatch: pytest.MonkeyPatch, paths: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(
        monkeypatch,
        *paths,
        *("--host", "127.0.0.1", "--port", "9060", "--llm-model", "m-F16.gguf", "--gpu-devices", "0,1"),
        *("--output-dir", "/out", "--vision-backend", "coreml", "--api-key", "k", "--session-policy", "takeover"),
        *("--register-url", "http://b:8025", "--advertise-ip", "10.0.0.1"),
    )
    assert (settings.server.host, settings.server.port, settings.control_port) == ("127.0.0.1", 9060, 9061)
    assert (settings.engine.llm_model, settings.engine.gpu_devices) == ("m-F16.gguf", "0,1")
    assert (settings.engine.output_dir, settings.engine.vision_backend) == (Path("/out"), "coreml")
    assert (settings.registration.url, settings.http.session_policy) == ("http://b:8025", "takeover")
    assert len(settings.server.api_keys) == 1
    assert capsys.readouterr().out == "", "nothing was detected"


def test_the_variables_of_old_are_understood(monkeypatch: pytest.MonkeyPatch, paths: list[str]) -> None:
    monkeypatch.setenv("LLAMACPP_ROOT", paths[1])
    monkeypatch.setenv("MODEL_DIR", f"{paths[3]}/")
    monkeypatch.setenv("REGISTER_URL", "http://b:8025/")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    settings = settings_of(monkeypatch)
    assert (str(settings.engine.llamacpp_root), str(settings.engine.model_dir)) == (paths[1], paths[3])
    assert (settings.registration.url, settings.engine.gpu_devices) == ("http://b:8025", "1")


def test_every_abbreviation_of_old_still_means_the_same(monkeypatch: pytest.MonkeyPatch, paths: list[str]) -> None:
    root, models = paths[1], paths[3]
    settings = settings_of(
        monkeypatch,
        "--lla",
        root,
        f"--m={models}",
        "--p",
        "9060",
        "--ho",
        "127.0.0.1",
        "--d",
        "--g",
        "0",
        "--o",
        "/out",
    )
    assert (str(settings.engine.llamacpp_root), str(settings.engine.model_dir)) == (root, models)
    assert (settings.server.port, settings.server.host) == (9060, "127.0.0.1")
    assert (settings.conversation.mode, settings.engine.gpu_devices) == (Mode.DUPLEX, "0")
    assert settings_of(monkeypatch, *paths, "--s", "--d").conversation.mode is Mode.SIMPLEX


# --- what is printed


def test_the_banner_names_everything(monkeypatch: pytest.MonkeyPatch, paths: list[str]) -> None:
    settings = settings_of(monkeypatch, *paths, "--duplex", "--vision-backend", "coreml")
    text = old.OLD_BANNER.opening(settings, PORTS)
    for line in (
        "  地址: http://0.0.0.0:8060",
        "  模式: 双工",
        f"  LLAMACPP_ROOT: {paths[1]}",
        f"  MODEL_DIR: {paths[3]}",
        "  LLM_MODEL: m-Q4_K_M.gguf",
        f"  REF_AUDIO: {paths[1]}/tools/omni/assets/default_ref_audio.wav",
        "  VISION_BACKEND: metal",  # the model that coreml needs is not there
        "独立健康检查/打断服务器已启动: http://0.0.0.0:8061",
    ):
        assert line in text.splitlines()
    assert "stand-in" not in text


@pytest.mark.parametrize(
    ("words", "warnings"), [([], 1), (["--api-key", "k"], 0), (["--host", "127.0.0.1"], 0), (["--insecure"], 1)]
)
def test_who_listens_to_all_without_a_key_is_warned_in_one_line(
    monkeypatch: pytest.MonkeyPatch, paths: list[str], words: list[str], warnings: int
) -> None:
    lines = old.OLD_BANNER.opening(settings_of(monkeypatch, *paths, *words), PORTS).splitlines()
    assert sum("--api-key" in line and "--host 127.0.0.1" in line for line in lines) == warnings


def test_it_starts_says_the_two_lines_and_ends(tmp_path: Path) -> None:
    flags = ["--engine", "parrot", "--host", "127.0.0.1", "--port", "0"]
    with script(tmp_path, *flags) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.removesuffix("\n"))
            if lines[-1] == READY[-1]:
                break
        assert lines[-2:] == READY
        assert any("stand-in" in line for line in lines)
        assert any(line.startswith("[CPP] ") for line in lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert not set(READY) & set(process.stdout.read().splitlines())
    assert list(tmp_path.iterdir()) == []
