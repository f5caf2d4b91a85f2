"""The server as the backend sees it: a process of its own on port P, its control port on P + 1, its parrot behind."""

import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

__all__ = ["Node", "free_pair", "running_node"]

_ROOT = Path(__file__).parents[2]
_STARTS_WITHIN_S = 60.0


@dataclass(frozen=True)
class Node:
    """A server that can serve."""

    port: int
    engine_port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.port + 1}"

    def fault(self, **faults: object) -> None:
        """Switch faults of the parrot; None switches one off."""
        url = f"http://127.0.0.1:{self.engine_port}/parrot/faults"
        requests.post(url, json=faults, timeout=10).raise_for_status()

    def engine_state(self) -> dict[str, Any]:
        """A look inside the parrot."""
        state: dict[str, Any] = requests.get(f"http://127.0.0.1:{self.engine_port}/parrot/state", timeout=10).json()
        return state

    def engine(self) -> psutil.Process:
        """The process of the parrot."""
        children = psutil.Process(self.process.pid).children()
        (engine,) = [child for child in children if "duplex.engine.parrot" in child.cmdline()]
        return engine

    def until_healthy(self, *, code: int = 200) -> requests.Response:
        """Ask for the health until it has this status."""
        return self._until("health", code)

    def until_ready(self) -> None:
        """Until its engine works. It is healthy before that when a call waits for it."""
        self._until("readyz", 200)

    def _until(self, route: str, code: int) -> requests.Response:
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.ConnectionError):
                answer = requests.get(f"{self.url}/{route}", timeout=10)
                if answer.status_code == code:
                    return answer
            # Another process: there is no event to wait for, only its answers.
            time.sleep(0.02)
        raise AssertionError(f"never {code}:\n{self.log.read_text()}")

    def end_call(self) -> None:
        """Leave nothing behind for the next test."""
        requests.post(f"{self.url}/omni/stop", timeout=10).raise_for_status()
        faults = self.engine_state()["faults"]
        self.fault(**dict.fromkeys(faults))


def free_pair() -> int:
    """A port that is free, and the next one too."""
    while True:
        port = random.randrange(20_000, 50_000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as sockets:
            for number in (port, port + 1):
                sockets.enter_context(socket.create_server(("127.0.0.1", number)))
            return port


@contextlib.contextmanager
def running_node(*flags: str, mode: str = "--simplex", wait: bool = True) -> Iterator[Node]:
    """Start a server with the parrot; it is healthy when this returns, unless `wait` is false."""
    port = free_pair()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        engine_port = probe.getsockname()[1]
    arguments = ["-m", "web.cli", "serve", "--port", str(port), "--engine-port", str(engine_port)]
    environ = {name: text for name, text in os.environ.items() if not name.startswith(("OMNI_DUPLEX_", "REGISTER_"))}
    # Sessions that a test leaves open are not waited for at its end.
    environ["OMNI_DUPLEX_DRAIN_S"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments, "--engine", "parrot", mode, *flags],
                cwd=_ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        node = Node(port, engine_port, process, log)
        try:
            if wait:
                node.until_healthy()
            yield node
        finally:
            process.terminate()
            process.wait(30)
