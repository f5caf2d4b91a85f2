"""The list of nodes a backend sends calls to: this node enters it, stays in it and leaves it.

The backend keeps the list in memory. A restart forgets every node and tells nobody, so the node has to look. It must
not simply register again: that overwrites its record and with it the lock of the call that runs. Hence the one rule
here, look first, and register only when the backend does not list the node.
"""

import asyncio
import contextlib
import enum
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import httpx

from duplex.engine.base import Mode
from duplex.errors import OmniDuplexError

__all__ = [
    "BackendFailed",
    "Node",
    "Registrar",
    "RegistrarLimits",
    "Step",
    "advertised_ip",
    "decide",
    "parse_registration",
    "parse_services",
]

_log = logging.getLogger(__name__)

_SERVICE_NAME = "o45-cpp"
"""The backend picks its nodes by this name."""

_SESSION_TYPE = "release"
"""Fits every login."""

_QUOTED_BYTES = 200
"""As much of a refusal as goes into the log."""

_ANY_PORT = 9
"""The source address does not depend on it; 0 is refused on some systems."""


class BackendFailed(OmniDuplexError):
    """The backend does not do its part. `detail` are its own words, which may change from one answer to the next."""

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Node:
    """This server as the backend sees it."""

    ip: str
    port: int
    model_type: Mode

    @property
    def service_id(self) -> str:
        """The key of the backend's record."""
        return f"{self.ip}:{self.port}"

    @property
    def control_port(self) -> int:
        """Where the backend asks for health, breaks and stops."""
        return self.port + 1

    def body(self) -> dict[str, object]:
        """The registration. The backend requires each of these."""
        return {
            "ip": self.ip,
            "port": self.port,
            "model_port": self.port,
            "service_name": _SERVICE_NAME,
            "model_type": self.model_type.value,
            "session_type": _SESSION_TYPE,
        }


@dataclass(frozen=True, slots=True)
class RegistrarLimits:
    """How often to look, and how long each kind of waiting may last."""

    look_every_s: float = 10.0
    """As often as the backend looks at the node."""
    ready_check_s: float = 1.0
    """Between two looks at our own engine while it cannot serve; nothing is sent."""
    first_retry_s: float = 1.0
    """Wait after the first failure; doubles with each that follows."""
    max_retry_s: float = 10.0
    """Longest wait after a failure."""
    request_s: float = 5.0
    """For one whole answer of the backend."""
    unregister_s: float = 2.0
    """What the goodbye may add to the end of the server."""


class Step(enum.Enum):
    """What follows from a look."""

    REGISTER = enum.auto()
    KEEP = enum.auto()
    """Listed: its record is the backend's to change."""
    WAIT = enum.auto()
    """Not listed, and no call could be answered."""


def decide(*, is_listed: bool, can_serve: bool) -> Step:
    """The rule of this module."""
    if is_listed:
        return Step.KEEP
    return Step.REGISTER if can_serve else Step.WAIT


def parse_services(content: bytes) -> dict[str, str]:
    """The backend's list as service_id -> status; the status is empty when it says none.

    Raises `BackendFailed` unless all of it can be read: who is missing from half a list may still be listed.
    """
    services = _json_object(content, "list of services").get("services")
    if not isinstance(services, list):
        raise BackendFailed("its list of services has no 'services'")
    return dict(_service(entry) for entry in services)


def parse_registration(content: bytes) -> str:
    """The service_id under which the backend lists the node from now on. Raises `BackendFailed`."""
    service_id = _json_object(content, "answer to the registration").get("service_id")
    if not isinstance(service_id, str) or not service_id:
        raise BackendFailed("its answer to the registration has no 'service_id'")
    return service_id


def advertised_ip(backend_url: str, chosen: str | None) -> str:
    """The address to tell the backend: `chosen`, or else the one this machine would call the backend from.

    A name in the URL is looked up, which may block; nothing is sent to the backend. IPv4 only: the backend writes
    `ip:port` without brackets. Raises `OSError` with a text for the user.
    """
    if chosen:
        return chosen
    try:
        return _source_ip(backend_url)
    except (OSError, ValueError) as error:
        raise OSError(
            f"No IPv4 address of this machine leads to the backend at {backend_url}: {error}. Check the URL, or name "
            "the address under which the backend reaches this machine with --advertise-ip."
        ) from error


class Registrar:
    """Keeps `node` in the list of the backend at `url` for as long as `run` runs.

    `can_serve` tells whether a call could be answered now. `client` must outlive `run`; make it with
    `trust_env=False`, or a proxy meant for the outside world gets our calls to the local network. `sleep` is the wait
    between two looks.
    """

    def __init__(
        self,
        *,
        url: str,
        node: Node,
        can_serve: Callable[[], bool],
        client: httpx.AsyncClient,
        limits: RegistrarLimits | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._url = url.rstrip("/")
        self._node = node
        self._can_serve = can_serve
        self._client = client
        self._limits = limits or RegistrarLimits()
        self._sleep = sleep
        self._service_id = node.service_id
        self._may_be_listed = False
        self._was_listed = False
        self._retry_s = self._limits.first_retry_s
        self._said = ""

    async def run(self) -> None:
        """Look and register until cancelled, then take the node off the list. No failure of the backend ends it."""
        try:
            while True:
                await self._sleep(await self._round())
        finally:
            if self._may_be_listed:
                await self._leave()

    async def _round(self) -> float:
        """One look and what follows from it; returns the seconds until the next."""
        try:
            delay_s = await self._look()
        except BackendFailed as failure:
            self._say(logging.WARNING, f"The backend at {self._url} failed: {failure}.", detail=failure.detail)
            delay_s = self._retry_s
            self._retry_s = min(2 * delay_s, self._limits.max_retry_s)
        else:
            self._retry_s = self._limits.first_retry_s
        return delay_s

    async def _look(self) -> float:
        if not self._can_serve():
            return self._wait()
        listed = parse_services(await self._call("GET", "/services"))
        match decide(is_listed=self._service_id in listed, can_serve=self._can_serve()):
            case Step.WAIT:
                return self._wait()
            case Step.REGISTER:
                await self._register()
            case Step.KEEP:
                self._keep(listed[self._service_id])
        return self._limits.look_every_s

    def _wait(self) -> float:
        self._say(logging.INFO, f"The engine cannot serve now: registering with {self._url} waits for it.")
        return self._limits.ready_check_s

    async def _register(self) -> None:
        # Set before the answer, which may get lost when the request did not.
        self._may_be_listed = True
        self._service_id = parse_registration(await self._call("POST", "/register", body=self._node.body()))
        if self._was_listed:
            _log.warning(
                "The backend at %s did not list %s any more, so it was registered again. The backend was restarted, "
                "or it could not reach the control port %d.",
                self._url,
                self._service_id,
                self._node.control_port,
            )
        else:
            _log.info("registered as %s (%s) with %s", self._service_id, self._node.model_type, self._url)
        self._was_listed = True
        self._said = self._listed_sentence()

    def _keep(self, status: str) -> None:
        self._may_be_listed = self._was_listed = True
        if status == "offline":
            self._say(
                logging.WARNING,
                f"The backend at {self._url} lists {self._service_id} as offline. It sends no calls until its health "
                f"check of port {self._node.control_port} succeeds.",
            )
        else:
            self._say(logging.INFO, self._listed_sentence())

    def _listed_sentence(self) -> str:
        return f"The backend at {self._url} lists {self._service_id}."

    async def _leave(self) -> None:
        """Unregister, whatever happens to the task meanwhile: a second cancellation must not leave a dead node behind.

        The wait is bounded by `unregister_s`.
        """
        leaving = asyncio.ensure_future(self._unregister())
        while not leaving.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({leaving})
        leaving.result()

    async def _unregister(self) -> None:
        path = f"/unregister/{quote(self._service_id, safe=':')}"
        try:
            await self._call("DELETE", path, limit_s=self._limits.unregister_s, accept=httpx.codes.NOT_FOUND)
        except BackendFailed as failure:
            _log.warning("Unregistering %s failed: %s. %s", self._service_id, failure, failure.detail)
        else:
            _log.info("unregistered %s from %s", self._service_id, self._url)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, object] | None = None,
        limit_s: float | None = None,
        accept: int = httpx.codes.OK,
    ) -> bytes:
        """The body of a good answer: a 2xx, or the status `accept`. Raises `BackendFailed` for every other outcome."""
        limit_s = self._limits.request_s if limit_s is None else limit_s
        try:
            # httpx limits each read, and an answer may consist of many.
            async with asyncio.timeout(limit_s):
                url = f"{self._url}/api/inference{path}"
                response = await self._client.request(method, url, json=body, timeout=None)
        except TimeoutError:
            raise BackendFailed(f"it did not answer {method} {path} within {limit_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            detail = str(error)
            raise BackendFailed(f"{method} {path} ended in a {type(error).__name__}", detail=detail) from error
        if not response.is_success and response.status_code != accept:
            raise BackendFailed(f"it answered {method} {path} with {response.status_code}", detail=_quoted(response))
        return response.content

    def _say(self, level: int, sentence: str, *, detail: str = "") -> None:
        """Log a change. The same sentence again is no change."""
        if sentence != self._said:
            _log.log(level, "%s%s", sentence, f" {detail}" if detail else "")
            self._said = sentence


def _source_ip(url: str) -> str:
    host = urlsplit(url).hostname
    if not host:
        raise OSError("the URL names no host")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Connecting a datagram socket chooses a route and an address, and sends nothing.
        probe.connect((host, _ANY_PORT))
        return str(probe.getsockname()[0])


def _json_object(content: bytes, name: str) -> dict[str, object]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise BackendFailed(f"its {name} is not JSON") from None
    if not isinstance(value, dict):
        raise BackendFailed(f"its {name} is not a JSON object")
    return value


def _service(entry: object) -> tuple[str, str]:
    service_id = entry.get("service_id") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(service_id, str):
        raise BackendFailed("its list of services has an entry without 'service_id'")
    status = entry.get("status")
    return service_id, status if isinstance(status, str) else ""


def _quoted(response: httpx.Response) -> str:
    """The start of the answer, on one line and without control characters."""
    words = " ".join(response.content[:_QUOTED_BYTES].decode(errors="replace").split())
    return "".join(letter for letter in words if letter.isprintable())
