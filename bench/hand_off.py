"""The engine's audio on its way out: from a WAV that is complete on disk to its first bytes at the client.

Only the first audio of each response is measured: what follows is held back on purpose, to leave in real time.
"""

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from bench.caller import Caller, calling
from bench.errors import BenchError
from bench.figures import Goal, Row
from bench.http_client import connected
from bench.scripted_engine import EngineLog
from bench.server import running_server, stopped_at_the_end
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, Mode
from duplex.engine.model_files import SUB_MODELS
from duplex.engine.ports import LOOPBACK, free_port
from web.talk_log import Reply

__all__ = ["hand_offs", "make_model_dir", "rows"]

_MODEL_FILES = ("MiniCPM-o-4_5-Q4_K_M.gguf", *SUB_MODELS)
_QUESTION = bytes(2 * ENGINE_INPUT_RATE_HZ // 10)
_LIMIT_S = 10.0
_LET_THE_ENGINE_END_S = 0.03


async def hand_offs(count: int) -> list[float]:
    """Milliseconds of `count` hand-offs, the first response left out: it makes what the others find made."""
    with tempfile.TemporaryDirectory() as folder:
        model_dir = make_model_dir(Path(folder) / "model")
        port = free_port()
        engine = [sys.executable, "-m", "bench.scripted_engine", "--port", str(port)]
        flags = ("--engine-url", f"http://{LOOPBACK}:{port}", "--model-dir", str(model_dir), "--simplex")
        async with stopped_at_the_end(engine, sys.stderr.fileno()), running_server(*flags) as server:
            async with calling(server.url(conversation=str(Mode.SIMPLEX)), None) as caller:
                await _converse(caller, count + 1)
            heard = {_value(reply): reply.first_audio_s for reply in caller.log.replies}
            async with connected(port) as asked:
                log = EngineLog.read((await asked.get("/script/log")).body)
    closed_s = {value: at_ns / 1e9 for value, at_ns in log.closed_ns.items()}
    if set(heard) != set(closed_s) or len(heard) != count + 1:
        raise BenchError(f"{len(closed_s)} WAVs were written and {len(heard)} heard.")
    first = min(heard)
    return [1000 * ((at_s or 0.0) - closed_s[value]) for value, at_s in sorted(heard.items()) if value != first]


def make_model_dir(root: Path) -> Path:
    """A model directory in name only, for an engine that reads none of it."""
    for name in _MODEL_FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


async def _converse(caller: Caller, count: int) -> None:
    """Ask by push to talk, and silence each answer once its first audio is here."""
    await caller.send({"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}})
    replies = caller.log.replies
    for number in range(count):
        await caller.send(_QUESTION)
        await caller.send({"type": "input_audio_buffer.commit"})
        await caller.send({"type": "response.create"})
        await caller.until(partial(_is_heard, replies, number), "first audio of an answer", _LIMIT_S)
        # The flag follows the WAV; a break before it would measure the draining as well.
        await asyncio.sleep(_LET_THE_ENGINE_END_S)
        await caller.send({"type": "response.cancel"})
        await caller.until(partial(_is_over, replies, number), "end of an answer", _LIMIT_S)


def _is_heard(replies: Sequence[Reply], number: int) -> bool:
    return len(replies) > number and replies[number].first_audio_s is not None


def _is_over(replies: Sequence[Reply], number: int) -> bool:
    return replies[number].done_s is not None


def _value(reply: Reply) -> int:
    """Which WAV was heard: all its samples are the same."""
    return int.from_bytes(reply.pcm[:2], "little", signed=True)


def rows(values: Sequence[float]) -> Iterator[Row]:
    """The line of the table."""
    goals = (Goal(0.5, 2.0), Goal(0.99, 10.0))
    yield Row("WAV complete → first audio at the client", "ms", values, goals, tail=0.99, digits=2)
