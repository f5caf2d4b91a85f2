"""A small HTTP/1.1 server with llama-server's manners.

Three request threads, and a connection holds its thread until it is closed: three idle keep-alive connections make a
fourth wait up to five seconds, as measured on the real binary (cpp-httplib's pool, server.cpp 6253).
"""

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

__all__ = ["HttpServer", "Request", "Response"]

JSON = "application/json; charset=utf-8"

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_THREADS = 3
_KEEP_ALIVE_REQUESTS = 100
_READ_TIMEOUT_S = 600.0
_WAITING_CONNECTIONS = 512
_POLL_S = 0.05
_MAX_LINE = 8192


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    peer: str


@dataclass(frozen=True, slots=True)
class Response:
    """One answer: a body, or a stream whose every item becomes one chunk."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    stream: Iterator[bytes] | None = None
    headers: tuple[tuple[str, str], ...] = field(default=())


class _BadRequest(Exception):
    """Bytes that are no HTTP request."""


class HttpServer:
    """Listens, and calls `handle` from its request threads."""

    def __init__(
        self, handle: Callable[[Request], Response], *, host: str, port: int, keep_alive_s: float = 5.0
    ) -> None:
        """Bind. Raises `OSError` when that fails; a port of another llama-server does not (SO_REUSEPORT)."""
        self._handle = handle
        self._keep_alive_s = keep_alive_s
        self._stopping = threading.Event()
        # Beyond the bound connections wait in the kernel's backlog.
        self._waiting: queue.Queue[socket.socket | None] = queue.Queue(_WAITING_CONNECTIONS)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(AttributeError, OSError):
                self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self._listener.bind((host, port))
            self._listener.listen(_WAITING_CONNECTIONS)
        except OSError:
            self._listener.close()
            raise
        self._threads = [threading.Thread(target=self._accept, name="http-accept", daemon=True)]
        self._threads += [threading.Thread(target=self._work, name=f"http-{n}", daemon=True) for n in range(_THREADS)]

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._listener.getsockname()[1])

    @property
    def thread_count(self) -> int:
        """How many requests can run at once."""
        return _THREADS

    def start(self) -> None:
        """Serve from now on."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more connections, let running requests end, return when they have. Never returns over a hung one."""
        self._stopping.set()
        for _ in range(_THREADS):
            self._waiting.put(None)
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _accept(self) -> None:
        # Closing a socket does not wake its accept() everywhere, hence the polling.
        self._listener.settimeout(_POLL_S)
        with self._listener:
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = self._listener.accept()
                    self._waiting.put(connection)

    def _work(self) -> None:
        while (connection := self._waiting.get()) is not None:
            with connection, contextlib.suppress(OSError):
                _Connection(connection, self._handle, self._stopping).serve(self._keep_alive_s)


class _Connection:
    """One client for as long as it keeps the connection."""

    def __init__(
        self, connection: socket.socket, handle: Callable[[Request], Response], stopping: threading.Event
    ) -> None:
        self._socket = connection
        self._handle = handle
        self._stopping = stopping
        self._received = b""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self, keep_alive_s: float) -> None:
        """Answer requests until either side is done, or the client says nothing for `keep_alive_s`."""
        for served in range(1, _KEEP_ALIVE_REQUESTS + 1):
            if not self._await_request(keep_alive_s):
                return
            try:
                request = self._read_request()
            except _BadRequest:
                self._socket.sendall(
                    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nServer: llama.cpp\r\nConnection: close\r\n\r\n"
                )
                return
            close = request.headers.get("connection", "").lower() == "close" or served == _KEEP_ALIVE_REQUESTS
            response = self._handle(request)
            try:
                self._send(request, response, close=close)
            finally:
                if response.stream is not None:
                    getattr(response.stream, "close", lambda: None)()
            if close or self._stopping.is_set():
                return

    def _await_request(self, keep_alive_s: float) -> bool:
        """Whether a request begins before the connection counts as idle. A stopping server ends idle ones at once."""
        self._socket.settimeout(_POLL_S)
        for _ in range(round(keep_alive_s / _POLL_S)):
            if self._received:
                return True
            if self._stopping.is_set():
                return False
            with contextlib.suppress(TimeoutError):
                self._received = self._socket.recv(65536)
                return bool(self._received)
        return False

    def _read_request(self) -> Request:
        self._socket.settimeout(_READ_TIMEOUT_S)
        words = self._read_line().split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise _BadRequest
        headers: dict[str, str] = {}
        while line := self._read_line():
            name, colon, value = line.partition(":")
            if not colon:
                raise _BadRequest
            headers[name.strip().lower()] = value.strip()
        if words[2] == "HTTP/1.0":
            headers.setdefault("connection", "close")
        body = self._read_body(headers)
        return Request(words[0], words[1].split("?", 1)[0], headers, body, self._socket.getpeername()[0])

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("expect", "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._read_chunked()
        length = headers.get("content-length", "0")
        if not length.isdigit():
            raise _BadRequest
        return self._read_exactly(int(length))

    def _read_chunked(self) -> bytes:
        body = b""
        while True:
            try:
                size = int(self._read_line().split(";", 1)[0], 16)
            except ValueError:
                raise _BadRequest from None
            chunk = self._read_exactly(size)
            self._read_line()
            if not size:
                return body
            body += chunk

    def _read_more(self) -> None:
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionResetError
        self._received += received

    def _read_line(self) -> str:
        while b"\n" not in self._received:
            if len(self._received) > _MAX_LINE:
                raise _BadRequest
            self._read_more()
        line, self._received = self._received.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def _read_exactly(self, length: int) -> bytes:
        while len(self._received) < length:
            self._read_more()
        body, self._received = self._received[:length], self._received[length:]
        return body

    def _send(self, request: Request, response: Response, *, close: bool) -> None:
        connection = ("Connection", "close") if close else ("Keep-Alive", "timeout=5, max=100")
        framing = (
            ("Content-Length", str(len(response.body))) if response.stream is None else ("Transfer-Encoding", "chunked")
        )
        lines = [f"HTTP/1.1 {response.status} {_REASONS[response.status]}"]
        for name, value in (
            connection,
            ("Content-Type", response.content_type),
            ("Server", "llama.cpp"),
            framing,
            ("Access-Control-Allow-Origin", request.headers.get("origin", "")),
            *response.headers,
        ):
            lines.append(f"{name}: {value}")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        if request.method == "HEAD":
            self._socket.sendall(head)
        elif response.stream is None:
            self._socket.sendall(head + response.body)
        else:
            # The header goes out before anything is generated.
            self._socket.sendall(head)
            for item in response.stream:
                self._socket.sendall(b"%x\r\n%s\r\n" % (len(item), item))
            self._socket.sendall(b"0\r\n\r\n")
