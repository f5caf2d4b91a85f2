"""The parrot as a child process."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path

import pytest

from tests.duplex.engine.parrot.harness import LIMIT_S, in_background

ROOT = Path(__file__).parents[4]
FLAGS = ["--ctx-size", "4096", "--n-gpu-layers", "99", "--repeat-penalty", "1.05", "--temp", "0.7", "--no-mmap"]


class Child:
    def __init__(self, *arguments: str, model: str = __file__, **environment: str) -> None:
        argv = [sys.executable, "-m", "duplex.engine.parrot", "--host", "127.0.0.1", "--port", "0", "--model", model]
        self.process = subprocess.Popen(
            [*argv, *FLAGS, *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = 0

    def read_until(self, part: str) -> str:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if part in line:
                return line
        raise AssertionError(f"the child ended without {part!r}")

    def listening(self) -> "Child":
        line = self.read_until("main: HTTP server is listening, hostname: 127.0.0.1, port: ")
        found = re.search(r"port: (\d+), http threads: 3", line)
        assert found is not None
        self.port = int(found[1])
        return self

    def ready(self) -> "Child":
        self.listening()
        assert f"http://127.0.0.1:{self.port} - starting" in self.read_until("main: server is listening on ")
        return self

    def post(self, path: str, body: object) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request("POST", path, json.dumps(body).encode(), {"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def wait(self) -> int:
        return self.process.wait(LIMIT_S)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    with ExitStack() as stack:

        def start(*arguments: str, **options: str) -> Child:
            found = Child(*arguments, **options)
            stack.callback(found.close)
            return found

        yield start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_an_idle_one(child: Callable[..., Child], number: int, tmp_path: Path) -> None:
    found = child().ready()
    found.post("/v1/stream/omni_init", {"media_type": 1, "output_dir": str(tmp_path), "voice_audio": "x"})
    found.process.send_signal(number)
    assert found.wait() == 0


def test_a_signal_while_loading_kills(child: Callable[..., Child]) -> None:
    found = child("--fault", "slow_start=60").listening()
    assert found.post("/v1/stream/break", {})[0] == 503
    found.process.terminate()
    assert found.wait() == -signal.SIGTERM


def test_a_signal_waits_for_the_decode(child: Callable[..., Child], tmp_path: Path) -> None:
    found = child("--llm-ms", "60").ready()
    found.post("/v1/stream/omni_init", {"media_type": 1, "output_dir": str(tmp_path), "voice_audio": "x"})
    answer = in_background(lambda: found.post("/v1/stream/decode", {}))
    found.read_until("POST /v1/stream/decode")
    found.process.terminate()
    status, body = answer()
    assert status == 200
    assert body.endswith(b"data: [DONE]\n\n")
    assert found.wait() == 0


def test_a_hung_decode_ignores_one_signal_and_dies_of_two(child: Callable[..., Child], tmp_path: Path) -> None:
    found = child(OMNI_PARROT_FAULTS="hang_decode no_flag").ready()
    found.post("/v1/stream/omni_init", {"media_type": 1, "output_dir": str(tmp_path), "voice_audio": "x"})
    connection = HTTPConnection("127.0.0.1", found.port, timeout=LIMIT_S)
    connection.request("POST", "/v1/stream/decode", b"{}")
    assert connection.getresponse().status == 200
    found.process.terminate()
    found.read_until("cleaning up before exit")
    with pytest.raises(subprocess.TimeoutExpired):
        found.process.wait(0.3)
    found.process.terminate()
    assert found.wait() == 1
    connection.close()


def test_death_in_a_prefill(child: Callable[..., Child], tmp_path: Path) -> None:
    found = child("--fault", "die_in_prefill").ready()
    found.post("/v1/stream/omni_init", {"media_type": 1, "output_dir": str(tmp_path), "voice_audio": "x"})
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        found.post("/v1/stream/prefill", {"audio_path_prefix": "", "cnt": 1})
    assert found.wait() == -signal.SIGKILL


def test_a_log_that_nobody_reads_any_more_is_no_reason_to_stop(child: Callable[..., Child], tmp_path: Path) -> None:
    found = child().ready()
    assert found.process.stderr is not None
    found.process.stderr.close()
    for _ in range(3):
        body = {"media_type": 1, "output_dir": str(tmp_path), "voice_audio": "x"}
        assert found.post("/v1/stream/omni_init", body)[0] == 200
    found.process.terminate()
    assert found.wait() == 0


def test_a_missing_model(child: Callable[..., Child], tmp_path: Path) -> None:
    found = child(model=str(tmp_path / "missing.gguf"))
    found.read_until("main: exiting due to model loading error")
    assert found.wait() == 1


@pytest.mark.parametrize("arguments", [("--fault", "nonsense"), ("--port", "x"), ("--host", "256.0.0.1")])
def test_what_cannot_be_meant(child: Callable[..., Child], arguments: tuple[str, ...]) -> None:
    assert child(*arguments).wait() == 1
