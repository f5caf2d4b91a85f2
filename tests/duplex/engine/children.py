"""Stand-ins for the supervision tests: tiny child programs, a clock moved by hand, an obedient engine."""

import asyncio
import contextlib
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from duplex.engine.base import EngineEvent, EngineSession, Mode
from duplex.engine.llama_wire import OmniInit
from duplex.engine.spec import EngineCommand, EngineKind, EngineSpec
from duplex.engine.workdir import EngineDirs
from duplex.errors import EngineError

HEALTHY = """
import os, socket, sys
port = int(sys.argv[sys.argv.index("--port") + 1])
listener = socket.create_server(("127.0.0.1", port))
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    request = connection.recv(65536)
    if b"/die" in request:
        os._exit(7)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
    connection.close()
"""
"""Healthy at once; `GET /die` ends it with code 7."""

LOADING_FOR_EVER = HEALTHY.replace("200 OK", "503 Loading")

EXITS_WHILE_LOADING = "print('error: cannot load the model', flush=True); raise SystemExit(3)"

DEAF_TO_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + HEALTHY

NOISY = "import sys\nfor number in range(100_000): sys.stdout.write(f'{number} ' + 'x' * 100 + '\\n')\n" + HEALTHY
"""Writes 10 MB before it listens; with a full pipe it would never get there."""


class HandClock:
    """A clock that moves only by hand, or by a fixed step at each look."""

    def __init__(self, step_s: float = 0.0) -> None:
        self.now_s = 1000.0
        self.step_s = step_s

    def now(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def command(script: str, port: int, cwd: Path) -> EngineCommand:
    """A child that runs `script` with `--port`."""
    return EngineCommand(argv=(sys.executable, "-c", script, "--port", str(port)), cwd=cwd, environment={}, port=port)


def scripted_spec(script: str, folder: Path, *, port: int = 0) -> EngineSpec:
    """A "real" engine whose binary is `script`."""
    binary = folder / "llama-server"
    binary.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    llm = folder / "model.gguf"
    llm.touch()
    return EngineSpec(
        kind=EngineKind.LLAMA_SERVER,
        init=OmniInit(model_dir=folder, tts_bin_dir=folder / "tts"),
        port=port,
        mode=Mode.SIMPLEX,
        binary=binary,
        root=folder,
        llm=llm,
    )


class ObedientEngine:
    """An engine port that records its calls. `fail_with` is raised by the next call of that name."""

    def __init__(self, base_url: str = "") -> None:
        self.base_url = base_url
        self.calls: list[str] = []
        self.sessions: list[EngineSession] = []
        self.fail_with: dict[str, EngineError] = {}
        self.hang_in: str | None = None
        self.hanging = asyncio.Event()
        self.go_on = asyncio.Event()
        self.failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def fail(self, failure: Exception) -> None:
        self.failure.set_result(failure)

    async def begin(self, session: EngineSession) -> None:
        self.sessions.append(session)
        await self._called("begin")

    async def prefill(self, pcm: bytes, *, image: bytes | None = None, slices: int = 1) -> None:
        del pcm, image, slices
        await self._called("prefill")

    async def decode(self) -> None:
        await self._called("decode")

    async def interrupt(self, *, forget: bool = False) -> None:
        del forget
        await self._called("interrupt")

    context_fill = 0.0

    async def renew(self) -> bool:
        await self._called("renew")
        return True

    async def events(self) -> AsyncIterator[EngineEvent]:
        await self._called("events")
        return
        yield

    async def finish(self) -> None:
        await self._called("finish")

    async def _called(self, name: str) -> None:
        self.calls.append(name)
        error = self.fail_with.pop(name, None)
        if error is not None:
            raise error
        if self.hang_in == name:
            self.hanging.set()
            await self.go_on.wait()


class Workshop:
    """Makes an `ObedientEngine` for every life of a process and keeps them all."""

    def __init__(self, prepare: Callable[[ObedientEngine, int], None] | None = None) -> None:
        self.engines: list[ObedientEngine] = []
        self.dirs: list[EngineDirs] = []
        self.ended: list[ObedientEngine] = []
        self._prepare = prepare

    @contextlib.asynccontextmanager
    async def __call__(self, base_url: str, dirs: EngineDirs) -> AsyncIterator[ObedientEngine]:
        self.dirs.append(dirs)
        engine = ObedientEngine(base_url)
        if self._prepare is not None:
            self._prepare(engine, len(self.engines))
        self.engines.append(engine)
        yield engine
        self.ended.append(engine)
