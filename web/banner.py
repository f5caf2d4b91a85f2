"""What a person sees on the terminal while the server starts."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console

from duplex.engine.host import EngineState
from duplex.engine.pool import EnginePool
from duplex.engine.spec import EngineKind
from duplex.tasks import beside
from web.settings import Settings

__all__ = [
    "SERVE_BANNER",
    "Banner",
    "Ports",
    "announce",
    "opening_lines",
    "project_version",
    "ready_line",
    "server_url",
    "show",
]


def project_version() -> str:
    """The installed version, or `0` when run from a checkout that was never installed."""
    try:
        return version("omni-duplex")
    except PackageNotFoundError:
        return "0"


def server_url(host: str, port: int, scheme: str = "http") -> str:
    """What to type into a browser on this machine: an address that means "all" is reached through loopback."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that were really bound."""

    page: int
    control: int


@dataclass(frozen=True, slots=True)
class Banner:
    """What is printed while the server starts."""

    opening: Callable[[Settings, Ports], str]
    """Before the engine is ready."""
    ready: Callable[[Settings, Ports], str]
    """When it is ready."""


def opening_lines(settings: Settings, ports: Ports) -> str:
    """What `omni-duplex serve` prints before the engine is ready."""
    host, scheme = settings.server.host, settings.scheme
    lines = [
        f"omni-duplex {project_version()}",
        f"  Page    {server_url(host, ports.page, scheme)}",
        f"  Control {server_url(host, ports.control, scheme)}/health",
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
    if settings.needs_key:
        lines.append(f"  Key     needed: open the page as {server_url(host, ports.page, scheme)}/#key=KEY")
    if settings.readable_by_others:
        lines += [
            "  Warning no TLS: whoever is on the network between can read keys and hear speech. Add --tls self-signed,",
            "          unless a proxy in front of this server does TLS",
        ]
    if settings.registration.url:
        lines.append(f"  Backend {settings.registration.url}, registered there once the engine is ready")
    return "\n".join([*lines, "  Stop    Ctrl-C"])


def ready_line(settings: Settings, ports: Ports) -> str:
    """What `omni-duplex serve` prints when the engine is ready."""
    return f"Ready: {server_url(settings.server.host, ports.page, settings.scheme)}"


SERVE_BANNER = Banner(opening_lines, ready_line)
"""The banner of `omni-duplex serve`."""


@contextlib.asynccontextmanager
async def announce(
    settings: Settings,
    pool: EnginePool,
    ports: Ports,
    *,
    banner: Banner = SERVE_BANNER,
    notes: Sequence[str] = (),
    console: Console | None = None,
) -> AsyncIterator[None]:
    """Print the banner and `notes`, and beside the body say when the engine is ready or has failed for good."""
    console = console or Console()
    show("\n".join([banner.opening(settings, ports), *notes]), console)
    async with beside(announce=_announce_ready(pool, banner.ready(settings, ports), console)):
        yield


def show(text: str, console: Console) -> None:
    """Print `text` as it is: nothing in it is markup, a colour or a line to wrap."""
    console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


async def _announce_ready(pool: EnginePool, ready: str, console: Console) -> None:
    await pool.wait_ready()
    for status in pool.status():
        if status.state is EngineState.FAILED:
            show(f"The engine failed and stays down. {status.detail}", console)
    if any(status.state is EngineState.READY for status in pool.status()):
        show(ready, console)
