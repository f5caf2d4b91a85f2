import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from duplex.barge_in import BargeIn
from duplex.conversation_settings import AfterBreak
from duplex.detectors import DetectorKind
from duplex.engine.base import Mode
from http_compat.policy import SessionPolicy
from web import cli
from web.banner import Ports, opening_lines, ready_line, server_url
from web.options import OPTIONS
from web.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        for name in option.variables:
            monkeypatch.delenv(name, raising=False)


def settings_of(*words: str) -> Settings:
    arguments = cli._parser().parse_args(["serve", *words])
    return cli.serve_settings(arguments)


@contextmanager
def server(*words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "web.cli", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_flags_reach_the_settings() -> None:
    settings = settings_of(
        *("--host", "localhost", "--port", "1234", "--engine", "parrot", "--simplex", "--after-break", "reset"),
        *("--api-key", "a", "--api-key", "b", "--allow-origin", "https://x.org", "--log-level", "debug"),
        *("--gpu-devices", "", "--output-dir", "/out", "--engine-port", "99", "--parrot-fault", "no_flag"),
        *("--llm-model", "m.gguf", "--vision-backend", "coreml", "--insecure", "--control-port", "1235"),
        *("--session-policy", "reject", "--wav-timing-log", "w.log", "--register-url", "http://b:1"),
        *("--advertise-ip", "10.0.0.1", "--print-engine-output"),
        *("--barge-in", "calm", "--detector", "energy", "--engine-env", "A", "--engine-env", "B=1"),
    )
    assert (settings.server.host, settings.server.port, settings.engine_port) == ("localhost", 1234, 99)
    assert (settings.conversation.mode, settings.conversation.after_break) == (Mode.SIMPLEX, AfterBreak.RESET)
    assert (settings.conversation.barge_in, settings.conversation.detector) == (BargeIn.CALM, DetectorKind.ENERGY)
    assert len(settings.server.api_keys) == 2
    assert (settings.engine.gpu_devices, settings.engine.output_dir) == ("", Path("/out"))
    assert (settings.engine.parrot_faults, settings.engine.environment) == (("no_flag",), ("A", "B=1"))
    assert (settings.log_level, settings.server.insecure) == ("debug", True)
    assert (settings.control_port, settings.engine.print_output) == (1235, True)
    assert (settings.http.session_policy, settings.http.wav_timing_log) == (SessionPolicy.REJECT, Path("w.log"))
    assert (settings.registration.url, settings.registration.advertise_ip) == ("http://b:1", "10.0.0.1")


def test_every_flag_of_the_options_exists() -> None:
    words = cli._parser().parse_args(["serve"])
    assert not {option.key for option in OPTIONS} & set(vars(words)), "a flag that is not given must leave no trace"
    for option in OPTIONS:
        for flag in (option.flag or "").split(", "):
            value = [] if flag in {"--insecure", "--duplex", "--simplex", "--print-engine-output", ""} else ["1"]
            cli._parser().parse_args(["serve", *([flag] if flag else []), *value])


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ([], Mode.DUPLEX),
        (["--duplex"], Mode.DUPLEX),
        (["--simplex"], Mode.SIMPLEX),
        (["--simplex", "--duplex"], Mode.SIMPLEX),
    ],
)
def test_the_mode(words: list[str], mode: Mode) -> None:
    assert settings_of(*words).conversation.mode is mode


def test_flags_can_be_abbreviated() -> None:
    settings = settings_of("--llamacpp", "/r", "--model", "/m")
    assert (settings.engine.llamacpp_root, settings.engine.model_dir) == (Path("/r"), Path("/m"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "60000"], "leaves no port"),
        (["serve", "--host", "0.0.0.0"], "without a key"),
        (["--model-dir", "/m"], "--llamacpp-root"),
        (["--llamacpp-root", "/r", "--model-dir", "/absent"], "The model directory /absent does not exist"),
        (["--engine", "parrot", "--tls-cert", "/absent.pem", "--tls-key", "/absent.pem"], "/absent.pem cannot be read"),
        (["--config", "/absent.toml"], "/absent.toml cannot be read"),
    ],
)
def test_what_cannot_start_says_why_in_one_message(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("omni-duplex: ")
    assert message in printed
    assert "Traceback" not in printed


def test_an_unknown_flag_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        cli.main(["--prot", "1"])
    assert refusal.value.code == 2
    assert "--prot" in capsys.readouterr().err


def test_help_hides_the_test_switches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    printed = capsys.readouterr().out
    assert "--llamacpp-root" in printed
    assert "parrot-fault" not in printed


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out.strip()


def test_talk_to_nobody_fails_with_a_hint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["talk", str(tmp_path / "absent.wav")]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_server_starts_and_ends_cleanly(number: signal.Signals) -> None:
    with server("--port", "0") as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip())
            if line.startswith("Ready:"):
                break
        assert any("stand-in" in line for line in lines)
        assert lines[-1].removeprefix("Ready: ") in lines[1]
        process.send_signal(number)
        assert process.wait(timeout=30) == 0


def test_the_server_can_be_stopped_while_the_model_loads() -> None:
    with server("--port", "0", "--parrot-fault", "slow_start=3600") as process:
        assert process.stdout is not None
        assert any("Ctrl-C" in line for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert "Ready" not in process.stdout.read()


def test_a_talk_that_is_cut_off_is_no_success(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "in.wav", np.zeros(16_000), 16_000)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        with server("talk", str(tmp_path / "in.wav"), "--url", address) as process:
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(1) == b"G"
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=30) == 130


def test_the_banner_of_a_real_engine_names_the_model() -> None:
    settings = load_settings({"engine.llamacpp_root": "/r", "engine.model_dir": "/models/m"}, {})
    text = opening_lines(settings, Ports(9060, 9061))
    assert "/models/m" in text
    assert "stand-in" not in text


def test_the_banner_names_the_ports_that_were_bound_and_where_it_registers() -> None:
    ports = Ports(page=5000, control=5001)
    alone = opening_lines(settings_of("--port", "0"), ports)
    assert "http://127.0.0.1:5000\n" in alone
    assert "http://127.0.0.1:5001/health\n" in alone
    assert "Backend" not in alone
    assert "http://b:1" in opening_lines(settings_of("--register-url", "http://b:1"), ports)
    assert ready_line(settings_of(), ports) == "Ready: http://127.0.0.1:5000"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://127.0.0.1:80"),
        ("::1", "http://[::1]:80"),
        ("voice.lan", "http://voice.lan:80"),
    ],
)
def test_the_url_to_open(host: str, url: str) -> None:
    assert server_url(host, 80) == url
