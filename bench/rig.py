"""What sound is handed over by: our server, the scripted engine behind it, and the relay beside it."""

import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

from bench.http_client import connected, json_body
from bench.scripted_engine import EngineLog, Script
from bench.server import Server, running_server, stopped_at_the_end
from duplex.engine.model_files import SUB_MODELS
from duplex.engine.ports import LOOPBACK, free_port
from duplex.engine.workdir import spool_parent

__all__ = ["Rig", "make_model_dir", "running_rig"]

_MODEL_FILES = ("MiniCPM-o-4_5-Q4_K_M.gguf", *SUB_MODELS)


class Rig:
    """All of them, ready. What the engine writes for ours and for the relay is written by the same process in the same
    rhythm into the same file system, and timed by one clock."""

    def __init__(self, server: Server, control_port: int, engine_port: int, relay: Server, relay_dir: Path) -> None:
        self.server = server
        self.control_port = control_port
        self.relay = relay
        self._engine_port = engine_port
        self._relay_dir = relay_dir

    async def tell(self, script: Script) -> None:
        """What the engine does from now on."""
        async with connected(self._engine_port) as engine:
            await engine.post("/script", json_body(asdict(script)))

    async def write_for_relay(self, way: str) -> None:
        """Let the engine write a turn's WAVs where the relay looks in this way."""
        async with connected(self._engine_port) as engine:
            await engine.post("/script/write", json_body({"directory": str(self._relay_dir / way)}))

    async def log(self) -> EngineLog:
        """What the engine did so far."""
        async with connected(self._engine_port) as engine:
            return EngineLog.read((await engine.get("/script/log")).body)


def make_model_dir(root: Path) -> Path:
    """A model directory in name only, for an engine that reads none of it."""
    for name in _MODEL_FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@contextlib.asynccontextmanager
async def running_rig() -> AsyncIterator[Rig]:
    """All of them, started and in the end stopped."""
    async with contextlib.AsyncExitStack() as stack:
        model_dir = make_model_dir(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        relay_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=spool_parent())))
        engine_port, control_port = free_port(), free_port()
        engine = [sys.executable, "-m", "bench.scripted_engine", "--port", str(engine_port)]
        await stack.enter_async_context(stopped_at_the_end(engine, sys.stderr.fileno()))
        flags = ("--engine-url", f"http://{LOOPBACK}:{engine_port}", "--model-dir", str(model_dir))
        server = await stack.enter_async_context(running_server(*flags, "--control-port", str(control_port)))
        relay = await stack.enter_async_context(running_server("--directory", str(relay_dir), module="bench.relay"))
        yield Rig(server, control_port, engine_port, relay, relay_dir)
