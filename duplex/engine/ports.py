"""The loopback interface: which hosts are on it, and which of its ports are free."""

import asyncio
import ipaddress
import socket

from duplex.errors import EngineStartFailed

__all__ = ["LOOPBACK", "free_port", "is_loopback", "require_free_port"]

LOOPBACK = "127.0.0.1"
_CONNECT_TIMEOUT_S = 1.0


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`, an address or a name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def require_free_port(port: int) -> None:
    """Raise `EngineStartFailed` when anybody holds `port` on 127.0.0.1.

    llama-server cannot tell: it binds with SO_REUSEPORT, so two of them share a port and the kernel deals out the
    connections between them. Hence both checks: a connection finds every listener, also one on all addresses; a bind
    finds a socket that is held and does not listen.
    """
    if await _somebody_answers(port) or not _can_bind(port):
        raise EngineStartFailed(
            f"Port {port} on {LOOPBACK} is taken by another program, so the engine cannot use it. Stop that program "
            f"(`lsof -i :{port}` shows it; it may be an engine left over from an earlier run), or choose another port "
            "with --engine-port."
        )


def free_port() -> int:
    """A port on 127.0.0.1 that nobody holds now. Somebody may take it before you do."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


async def _somebody_answers(port: int) -> bool:
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
    except TimeoutError:
        return True  # a listener whose queue is full
    except OSError:
        return False
    writer.close()
    return True


def _can_bind(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without it the connections an engine closed within the last minute would count as a conflict. It does not
        # hide a listener; SO_REUSEPORT would.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
