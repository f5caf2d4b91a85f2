import socket
from collections.abc import Iterator

import pytest

from duplex.engine.parrot.http import HttpServer, Request, Response
from tests.duplex.engine.parrot.harness import LIMIT_S, in_background

OK = (
    b"HTTP/1.1 200 OK\r\n%s\r\nContent-Type: application/json; charset=utf-8\r\nServer: llama.cpp\r\n"
    b"Content-Length: %d\r\nAccess-Control-Allow-Origin: %s\r\n\r\n%s"
)
KEPT = b"Keep-Alive: timeout=5, max=100"


def echo(request: Request) -> Response:
    if request.path == "/stream":
        return Response(200, content_type="text/event-stream", stream=iter([b"data: a\n\n", b"data: [DONE]\n\n"]))
    return Response(200, request.method.encode() + b" " + request.path.encode() + b" " + request.body)


@pytest.fixture
def server() -> Iterator[HttpServer]:
    found = HttpServer(echo, host="127.0.0.1", port=0, keep_alive_s=60)
    found.start()
    yield found
    found.stop()


def connect(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S)


def receive(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length and (more := connection.recv(65536)):
        received += more
    return received


def receive_all(connection: socket.socket) -> bytes:
    return receive(connection, 1 << 30)


def test_bytes_of_a_plain_answer(server: HttpServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /health?x=1 HTTP/1.1\r\nHost: x\r\nOrigin: http://a\r\nConnection: close\r\n\r\n")
        assert receive_all(connection) == OK % (b"Connection: close", 12, b"http://a", b"GET /health ")


def test_a_connection_is_kept_and_used_again(server: HttpServer) -> None:
    with connect(server) as connection:
        for body in (b"one", b"two"):
            connection.sendall(b"POST /p HTTP/1.1\r\nContent-Length: 3\r\n\r\n" + body)
            expected = OK % (KEPT, 11, b"", b"POST /p " + body)
            assert receive(connection, len(expected)) == expected


def test_two_requests_in_one_packet(server: HttpServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert receive_all(connection) == OK % (KEPT, 7, b"", b"GET /a ") + OK % (
            b"Connection: close",
            7,
            b"",
            b"GET /b ",
        )


def test_every_event_is_one_chunk(server: HttpServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"POST /stream HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert receive_all(connection) == (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\nServer: llama.cpp\r\n"
            b"Transfer-Encoding: chunked\r\nAccess-Control-Allow-Origin: \r\n\r\n"
            b"9\r\ndata: a\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
        )


def test_head_has_no_body(server: HttpServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"HEAD /h HTTP/1.1\r\nConnection: close\r\n\r\n")
        received = receive_all(connection)
    assert received.endswith(b"\r\n\r\n")
    assert b"Content-Length: 8\r\n" in received


def test_a_chunked_request_and_100_continue(server: HttpServer) -> None:
    with connect(server) as connection:
        head = b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        connection.sendall(head)
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        assert receive(connection, len(interim)) == interim
        connection.sendall(b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        assert receive_all(connection).endswith(b"POST /c abcde")


@pytest.mark.parametrize(
    "sent",
    [
        b"garbage\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"GET /" + b"a" * 9000,
    ],
)
def test_what_is_no_http_is_a_400(server: HttpServer, sent: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(sent)
        assert receive(connection, 12).startswith(b"HTTP/1.1 400")


def test_the_hundredth_answer_closes(server: HttpServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /n HTTP/1.1\r\n\r\n" * 101)
        received = receive_all(connection)
    assert received.count(b"HTTP/1.1 200 OK") == 100
    assert received.count(b"Connection: close") == 1


def test_an_idle_connection_is_closed() -> None:
    server = HttpServer(echo, host="127.0.0.1", port=0, keep_alive_s=0.1)
    server.start()
    with connect(server) as connection:
        assert connection.recv(1) == b""
    server.stop()


def test_three_open_connections_hold_every_thread(server: HttpServer) -> None:
    held = [connect(server) for _ in range(3)]
    for connection in held:
        connection.sendall(b"GET /h HTTP/1.1\r\n\r\n")
        assert receive(connection, 1)
    with connect(server) as fourth:
        fourth.sendall(b"GET /h HTTP/1.1\r\nConnection: close\r\n\r\n")
        fourth.settimeout(0.2)
        with pytest.raises(TimeoutError):
            fourth.recv(1)
        held[1].close()
        fourth.settimeout(LIMIT_S)
        assert receive_all(fourth).startswith(b"HTTP/1.1 200 OK")
    for connection in held:
        connection.close()


def test_stop_ends_idle_connections(server: HttpServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /h HTTP/1.1\r\n\r\n")
        assert receive(connection, 1).endswith(b"GET /h ")
        in_background(server.stop)
        assert receive_all(connection) == b""
