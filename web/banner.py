"""What a person sees on the terminal while the server starts."""

import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console

from duplex.engine.host import EngineState
from duplex.engine.pool import EnginePool
from duplex.engine.spec import EngineKind
from duplex.tasks import beside
from web.settings import Settings

__all__ = ["announce", "banner", "project_version", "server_url"]


def project_version() -> str:
    """The installed version, or `0` when run from a checkout that was never installed."""
    try:
        return version("omni-duplex")
    except PackageNotFoundError:
        return "0"


def server_url(host: str, port: int) -> str:
    """What to type into a browser on this machine: an address that means "all" is reached through loopback."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def banner(settings: Settings, port: int) -> str:
    """The lines printed before the engine is ready. `port` is the one that was really bound."""
    lines = [
        f"omni-duplex {project_version()}",
        f"  Page    {server_url(settings.server.host, port)}",
        f"  Mode    {settings.conversation.mode}",
    ]
    if settings.engine_kind is EngineKind.PARROT:
        lines += [
            "  Engine  parrot: a stand-in without a model, it plays your own words back",
            "          for a real model add --llamacpp-root DIR --model-dir DIR; README.md says where to get them",
        ]
    else:
        where = settings.engine.url or settings.engine.model_dir
        lines.append(f"  Engine  llama-server, {where}; loading may take minutes")
    return "\n".join([*lines, "  Stop    Ctrl-C"])


@contextlib.asynccontextmanager
async def announce(
    settings: Settings, pool: EnginePool, port: int, *, console: Console | None = None
) -> AsyncIterator[None]:
    """Print the banner, and beside the body say when the engine is ready or has failed for good."""
    console = console or Console()
    _print(console, banner(settings, port))
    async with beside(announce=_announce_ready(settings, pool, port, console)):
        yield


async def _announce_ready(settings: Settings, pool: EnginePool, port: int, console: Console) -> None:
    await pool.wait_ready()
    for status in pool.status():
        if status.state is EngineState.FAILED:
            _print(console, f"The engine failed and stays down. {status.detail}")
    if any(status.state is EngineState.READY for status in pool.status()):
        _print(console, f"Ready: {server_url(settings.server.host, port)}")


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
