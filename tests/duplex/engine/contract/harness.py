"""Starts the engines the contract suite runs on, and listens to them."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import numpy as np

from duplex.clock import MonotonicClock
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, Engine, EngineAudio, EngineEvent, EngineIdle, EngineText
from duplex.engine.limits import EngineLimits
from duplex.engine.llama_server import LlamaServerEngine
from duplex.engine.llama_wire import OmniInit
from duplex.engine.watch import SpoolWatcher, make_watcher
from duplex.wav import write_wav

BINARY_VARIABLE = "LLAMA_SERVER_BIN"
MODEL_VARIABLE = "OMNI_MODEL_DIR"
READY_LINE = b"server is listening on http"
REFERENCE = Path("tools/omni/assets/default_ref_audio/default_ref_audio.wav")
PATIENCE_S = 120.0
"""A real engine on a busy CPU needs a minute for an answer."""

QUICK_LIMITS = EngineLimits(quiet_s=1.0, stall_s=20.0)
"""The suite's own waits: the parrot and the tiny model both answer several times faster than these."""


def engine_kinds(environ: Mapping[str, str] = os.environ) -> list[str]:
    """The engines this machine can run. A real one is only named when it is there."""
    kinds = ["parrot"]
    if environ.get(BINARY_VARIABLE) and environ.get(MODEL_VARIABLE):
        kinds.append("llama-server")
    return kinds


def voice(seconds: float) -> bytes:
    """A loud hum that any energy test takes for speech."""
    count = int(seconds * ENGINE_INPUT_RATE_HZ)
    at = np.arange(count) / ENGINE_INPUT_RATE_HZ
    hum = np.sin(2 * np.pi * 180 * at) + 0.5 * np.sin(2 * np.pi * 720 * at)
    return (hum * 9000 * (0.75 + 0.25 * np.sin(2 * np.pi * 4 * at))).astype("<i2").tobytes()


def silence(seconds: float) -> bytes:
    """Digital silence."""
    return bytes(2 * int(seconds * ENGINE_INPUT_RATE_HZ))


@dataclass(slots=True)
class RunningEngine:
    """An engine process with the adapter on it."""

    kind: str
    engine: Engine
    process: asyncio.subprocess.Process
    base_url: str
    output_dir: Path
    input_dir: Path
    client: httpx.AsyncClient

    async def fault(self, name: str, value: object = True) -> None:
        """Switch a fault of the parrot; None switches it off."""
        answer = await self.client.post(f"{self.base_url}/parrot/faults", json={name: value})
        assert answer.status_code == 200, answer.text

    async def state(self) -> dict[str, object]:
        """What the parrot says of itself."""
        answer = await self.client.get(f"{self.base_url}/parrot/state")
        state = answer.json()
        assert isinstance(state, dict)
        return state

    def kill(self) -> None:
        """End the process without a word."""
        self.process.send_signal(signal.SIGKILL)

    def spool_files(self) -> list[str]:
        """Every file below the engine's directories."""
        roots = (self.output_dir, self.input_dir)
        return [str(path.relative_to(root)) for root in roots for path in root.rglob("*") if path.is_file()]


@dataclass(slots=True)
class Heard:
    """The events of an engine so far."""

    events: list[EngineEvent] = field(default_factory=list)
    failure: BaseException | None = None
    is_over: bool = False
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(event.text for event in self.events if isinstance(event, EngineText))

    @property
    def pcm(self) -> bytes:
        """All audio so far."""
        return b"".join(event.pcm for event in self.events if isinstance(event, EngineAudio))

    @property
    def idles(self) -> list[EngineIdle]:
        """The ends of responses so far."""
        return [event for event in self.events if isinstance(event, EngineIdle)]

    async def until(self, ready: Callable[["Heard"], bool]) -> None:
        """Wait until `ready` says so of what was heard, which it must before the engine ends or fails."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: ready(self) or self.is_over)
        assert ready(self), f"nothing more is heard: {self.failure!r}"

    async def until_idle(self, count: int = 1) -> None:
        """Wait for the `count`-th end of a response."""
        await self.until(lambda heard: len(heard.idles) >= count)

    async def until_audio(self) -> None:
        """Wait for the first sound."""
        await self.until(lambda heard: bool(heard.pcm))

    def clear(self) -> None:
        """Forget what was heard."""
        self.events.clear()

    async def follow(self, engine: Engine) -> None:
        """Listen to `engine` until it ends or fails."""
        try:
            async for event in engine.events():
                async with self._changed:
                    self.events.append(event)
                    self._changed.notify_all()
        except Exception as failure:  # noqa: BLE001 - the test looks at it
            self.failure = failure
        async with self._changed:
            self.is_over = True
            self._changed.notify_all()


@asynccontextmanager
async def listening(engine: Engine) -> AsyncIterator[Heard]:
    """Listen in the background."""
    heard = Heard()
    async with asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(heard.follow(engine))
        yield heard
        follower.cancel()


@asynccontextmanager
async def running_engine(
    kind: str,
    folder: Path,
    *,
    limits: EngineLimits = QUICK_LIMITS,
    ctx_size: int = 4096,
    n_predict: int | None = None,
    argv: Sequence[str] = (),
) -> AsyncIterator[RunningEngine]:
    """Start an engine process with its files below `folder`, and stop it at the end."""
    output_dir, input_dir = folder / "output", folder / "input"
    for directory in (output_dir, input_dir):
        directory.mkdir(parents=True)
    port = free_port()
    root, command, init = _real_command(folder) if kind == "llama-server" else _parrot_command(folder)
    init = replace(init, ctx_size=ctx_size, n_predict=n_predict or init.n_predict)
    process = await asyncio.create_subprocess_exec(
        *command, "--host", "127.0.0.1", "--port", str(port), "--ctx-size", str(ctx_size), *argv,
        cwd=root, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "OMP_THREAD_LIMIT": "2"},
    )  # fmt: skip
    watcher = await asyncio.to_thread(make_watcher)
    limits_of_pool = httpx.Limits(keepalive_expiry=4.0)
    try:
        async with httpx.AsyncClient(trust_env=False, limits=limits_of_pool) as client, asyncio.TaskGroup() as tasks:
            try:
                tasks.create_task(_drain(await _wait_until_ready(process)))
                base_url = f"http://127.0.0.1:{port}"
                engine = new_engine(base_url, output_dir, input_dir, init, client, watcher, limits)
                yield RunningEngine(kind, engine, process, base_url, output_dir, input_dir, client)
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
    finally:
        watcher.close()


def new_engine(
    base_url: str,
    output_dir: Path,
    input_dir: Path,
    init: OmniInit,
    client: httpx.AsyncClient,
    watcher: SpoolWatcher,
    limits: EngineLimits,
) -> LlamaServerEngine:
    """The adapter under test."""
    return LlamaServerEngine(
        base_url=base_url,
        output_dir=output_dir,
        input_dir=input_dir,
        init=init,
        client=client,
        watcher=watcher,
        clock=MonotonicClock(),
        limits=limits,
    )


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


def _parrot_command(folder: Path) -> tuple[Path, list[str], OmniInit]:
    model = folder / "stand-in.gguf"
    model.touch()
    command = [sys.executable, "-m", "duplex.engine.parrot", "--model", str(model)]
    project = Path(__file__).parents[4]
    return project, command, OmniInit(model_dir=folder, tts_bin_dir=folder / "tts", token2wav_device="cpu")


def _real_command(folder: Path) -> tuple[Path, list[str], OmniInit]:
    binary, model_dir = Path(os.environ[BINARY_VARIABLE]), Path(os.environ[MODEL_VARIABLE])
    root = binary.parents[2]
    if not (root / REFERENCE).exists():
        root = folder / "root"
        (root / REFERENCE).parent.mkdir(parents=True)
        (root / REFERENCE).write_bytes(write_wav(voice(3.0), rate_hz=ENGINE_INPUT_RATE_HZ))
    model = next(path for path in sorted(model_dir.glob("*.gguf")))
    command = [str(binary), "--model", str(model), "--n-gpu-layers", "0", "--repeat-penalty", "1.05", "--temp", "0.7"]
    init = OmniInit(
        model_dir=model_dir, tts_bin_dir=model_dir / "tts", token2wav_device="cpu", n_predict=200, tts_gpu_layers=0
    )
    return root, command, init


async def _wait_until_ready(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    """Read the process's output up to its ready line; the rest must be drained."""
    assert process.stdout is not None
    seen: list[bytes] = []
    async with asyncio.timeout(PATIENCE_S):
        while READY_LINE not in (line := await process.stdout.readline()):
            seen.append(line)
            assert line, b"".join(seen[-20:]).decode(errors="replace")
    return process.stdout


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(1 << 16):
        pass


def loudness_at(pcm: bytes, frequency_hz: float, rate_hz: int) -> float:
    """How much of `frequency_hz` is in each 100 ms of `pcm`, the loudest of them, 0 to 1 of full scale."""
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64) / 32768
    width = rate_hz // 10
    loudest = 0.0
    wave = np.exp(-2j * np.pi * frequency_hz * np.arange(width) / rate_hz)
    for start in range(0, len(samples) - width + 1, width // 2):
        loudest = max(loudest, 2 * abs(np.dot(samples[start : start + width], wave)) / width)
    return loudest


def tone(seconds: float, frequency_hz: float) -> bytes:
    """A pure tone, loud enough for speech."""
    at = np.arange(int(seconds * ENGINE_INPUT_RATE_HZ)) / ENGINE_INPUT_RATE_HZ
    return (np.sin(2 * np.pi * frequency_hz * at) * 14000).astype("<i2").tobytes()
