"""Bodies of requests: what is refused, and in whose words."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.types import Message

from duplex.errors import ClientStalled, MessageTooBig
from http_compat import body as body_module
from http_compat.body import LARGEST_BODY_BYTES, read_body, read_model, read_object
from http_compat.schemas import PrefillRequest

JSON = "application/json"
GOOD = b'{"audio": "QUJD", "image_audio_id": "3", "round": 1}'


def request_of(pieces: Iterable[bytes], headers: dict[str, str] | None = None, *, then: str | None = "end") -> Request:
    """A request whose body comes in pieces, and then ends, breaks off (`gone`) or is never heard of again (None)."""
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if then == "end":
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    elif then == "gone":
        messages.append({"type": "http.disconnect"})

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    raw_headers = [(name.encode(), text.encode("latin-1")) for name, text in (headers or {}).items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw_headers}, receive)


def two_apps() -> FastAPI:
    """One route reads its body as FastAPI does, the other as this project does."""
    app = FastAPI()

    @app.post("/theirs")
    async def theirs(body: PrefillRequest) -> dict[str, object]:
        return body.model_dump()

    @app.post("/ours")
    async def ours(request: Request) -> dict[str, object]:
        return (await read_model(request, PrefillRequest)).model_dump()

    return app


async def answers(content: bytes, content_type: str | None = JSON) -> tuple[httpx.Response, httpx.Response]:
    headers = {} if content_type is None else {"content-type": content_type}
    transport = httpx.ASGITransport(two_apps())
    async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
        theirs = await client.post("/theirs", content=content, headers=headers)
        ours = await client.post("/ours", content=content, headers=headers)
    return theirs, ours


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (GOOD, 200),
        (b"{}", 200),
        (b' \n{"audio": null}\n', 200),
        ('{"audio": "好"}'.encode(), 200),
        ('{"audio": "好"}'.encode("utf-16"), 200),
        (b"", 422),
        (b"null", 422),
        (b"[]", 422),
        (b'[{"audio": ""}]', 422),
        (b'"text"', 422),
        (b"1", 422),
        (b"1.5", 422),
        (b"true", 422),
        (b"{", 422),
        (b" ", 422),
        (b"{'audio': 1}", 422),
        (b'{"audio": "QUJD"} more', 422),
        (b'{"audio": "QUJD",}', 422),
        (b'{"audio": 1}', 422),
        (b'{"audio": {"a": [1]}}', 422),
        (b'{"is_last_chunk": null}', 422),
        (b'{"is_last_chunk": "maybe"}', 422),
        (b'{"image_audio_id": 1.5}', 422),
        (b'{"image_audio_id": "one", "frame_index": [], "image": false}', 422),
        (b'{"round": NaN, "last_chunk": null}', 200),
        (b'{"audio": "\xff"}', 400),
        (b"\xef\xbb\xbf{}", 200),
        (b"[" * 100_000, 400),
        (b"9" * 5000, 400),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else str(value),
)
async def test_bodies_are_answered_in_fastapis_own_words(content: bytes, status: int) -> None:
    theirs, ours = await answers(content)
    assert (ours.status_code, ours.json()) == (theirs.status_code, theirs.json())
    assert ours.status_code == status


async def test_line_breaks_in_a_text_are_let_in() -> None:
    """base64 on Linux breaks its lines, and the shell puts them into the body as they are."""
    _, ours = await answers(b'{"audio": "QU\nJD\n"}')
    assert ours.status_code == 200
    assert ours.json()["audio"] == "QU\nJD\n"


@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        "application/json; charset=utf-8",
        "Application/JSON",
        " application/json ;x=y",
        "application/problem+json",
        "application/ld+json; a=b",
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
        "multipart/form-data; boundary=x",
        "json",
        "application",
        "application/",
        "application/json+xml",
        "text/problem+json",
    ],
)
@pytest.mark.parametrize("content", [GOOD, b""], ids=["good", "empty"])
async def test_content_types_are_told_apart_as_fastapi_does(content_type: str | None, content: bytes) -> None:
    theirs, ours = await answers(content, content_type)
    assert (ours.status_code, ours.json()) == (theirs.status_code, theirs.json())


async def refusal(content: bytes, content_type: str = JSON) -> Any:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(two_apps()), base_url="http://node") as client:
        refused = await client.post("/ours", content=content, headers={"content-type": content_type})
    assert refused.status_code == 422
    assert len(refused.content) < 2000
    (fault,) = refused.json()["detail"]
    return fault


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400"])
@pytest.mark.parametrize(
    ("around", "fault"), [(b'{"frame_index": %s}', "finite_number"), (b"[1, %s]", "model_attributes_type")]
)
async def test_numbers_that_json_cannot_say_are_refused(number: bytes, around: bytes, fault: str) -> None:
    """FastAPI fails at its own answer."""
    assert (await refusal(around % number))["type"] == fault


@pytest.mark.parametrize(
    "content",
    [
        b'{"audio": %s}' % json.dumps([0.25] * 100_000).encode(),
        b'{"image_audio_id": "%s"}' % (b"x" * 100_000),
        b'{"audio": %s}' % (b"[" * 500 + b"]" * 500),
        b"[" * 800 + b"]" * 800,
        json.dumps([[["x" * 500]] * 3]).encode(),
    ],
    ids=["many numbers", "long text", "deep", "deep list", "long texts"],
)
async def test_what_was_wrong_is_sent_back_only_when_it_is_short(content: bytes) -> None:
    assert "..." in (await refusal(content))["input"]


@pytest.mark.parametrize("content", [b"x" * 100_000, b"RIFF\xff\xfe" * 1000], ids=["text", "sound"])
async def test_a_long_body_of_another_type_is_not_sent_back_whole(content: bytes) -> None:
    fault = await refusal(content, "audio/wav")
    assert (fault["type"], fault["loc"]) == ("model_attributes_type", ["body"])


async def test_a_body_comes_in_pieces() -> None:
    assert await read_body(request_of([b"ab", b"", b"c"])) == b"abc"
    request = request_of([GOOD[:5], GOOD[5:]], {"content-type": JSON})
    assert (await read_model(request, PrefillRequest)).image_audio_id == 3


@pytest.mark.parametrize("announced", [LARGEST_BODY_BYTES + 1, 10**18])
async def test_what_announces_too_much_is_refused_unread(announced: int) -> None:
    with pytest.raises(MessageTooBig, match="32 MiB"):
        await read_body(request_of([], {"content-length": str(announced)}, then=None))


async def test_what_grows_too_long_is_refused_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "LARGEST_BODY_BYTES", 10)
    assert await read_body(request_of([b"12345", b"67890"], {"content-length": "10"})) == b"1234567890"
    with pytest.raises(MessageTooBig):
        await read_body(request_of([b"12345", b"67890", b"1"], then=None))


@pytest.mark.parametrize("announced", ["", "ten", "-1", "1e9"])
async def test_a_length_that_is_no_number_is_not_believed(announced: str) -> None:
    assert await read_body(request_of([b"abc"], {"content-length": announced})) == b"abc"


async def test_a_body_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "_READ_WITHIN_S", 0.0)
    with pytest.raises(ClientStalled, match="did not arrive"):
        await read_body(request_of([b"the beginning"], then=None))


@pytest.mark.parametrize("pieces", [[], [b"the beginning"]])
async def test_a_client_that_goes_in_the_middle_of_its_body_is_no_fault_of_ours(pieces: list[bytes]) -> None:
    with pytest.raises(ClientStalled, match="went away"):
        await read_body(request_of(pieces, then="gone"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", {}),
        (b"garbage", {}),
        (b"\xff\xfe\xff", {}),
        (b"[1]", {}),
        (b"null", {}),
        (b"[" * 100_000, {}),
        (b'{"keep_open": true}', {"keep_open": True}),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)
@pytest.mark.parametrize("content_type", [JSON, "text/plain", None])
async def test_calls_without_a_declared_body_take_any(
    content: bytes, expected: dict[str, object], content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert await read_object(request_of([content], headers)) == expected


async def test_a_chunked_body_needs_no_length() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield GOOD[:9]
        yield GOOD[9:]

    async with httpx.AsyncClient(transport=httpx.ASGITransport(two_apps()), base_url="http://node") as client:
        answer = await client.post("/ours", content=pieces(), headers={"content-type": JSON})
    assert answer.json()["audio"] == json.loads(GOOD)["audio"]
