"""The forms that single settings take, and what is said of one that has another."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from duplex.engine.ports import is_loopback

__all__ = [
    "HIGHEST_PORT",
    "BackendUrl",
    "EnvironmentEntry",
    "LoopbackUrl",
    "Network",
    "Origin",
    "Port",
    "ReachableName",
    "Secret",
    "UserPath",
]

HIGHEST_PORT = 65_535


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
        raise ValueError("give an origin as browsers send it, such as https://example.org or http://localhost:3000")
    return text


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


def _loopback_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname or not is_loopback(parts.hostname):
        raise ValueError(
            "give an engine on this machine, such as http://127.0.0.1:8080: audio passes through files both must see"
        )
    return text.rstrip("/")


def _backend_url(text: str) -> str | None:
    # Nothing is how a flag overrules a variable. Of a port that cannot be, `port` says so itself.
    bare = text.rstrip("/")
    host = urlsplit(bare)
    if bare and (not re.fullmatch(r"https?://[^/?#@\s]+", bare) or not host.hostname or host.port == 0):
        raise ValueError("give the backend as http://HOST:PORT or https://HOST, without a path")
    return bare or None


def _environment_entry(text: str) -> str:
    if not text.partition("=")[0]:
        raise ValueError("give NAME to pass a variable on, or NAME=VALUE to set it")
    return text


def _reachable_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", text):
        raise ValueError("give an IPv4 address or a host name, without scheme and port, such as 192.168.1.20")
    return text


Port = Annotated[int, Field(ge=0, le=HIGHEST_PORT)]
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
Secret = Annotated[SecretStr, Field(min_length=1)]
Origin = Annotated[str, AfterValidator(_origin)]
Network = Annotated[str, AfterValidator(_network)]
LoopbackUrl = Annotated[str, AfterValidator(_loopback_url)]
BackendUrl = Annotated[str, AfterValidator(_backend_url)]
"""None for an empty text."""
EnvironmentEntry = Annotated[str, AfterValidator(_environment_entry)]
ReachableName = Annotated[str, AfterValidator(_reachable_name)]
