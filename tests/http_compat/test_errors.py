"""How errors end requests."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request

from duplex.errors import (
    CapacityError,
    ClientError,
    ClientStalled,
    EngineBusy,
    EngineError,
    EngineExited,
    EngineNotReady,
    EngineRefused,
    EngineStalled,
    EngineStartFailed,
    InvalidAudio,
    InvalidEvent,
    MessageTooBig,
    NoSession,
    NotAuthorised,
    OmniDuplexError,
    OriginRefused,
    ShuttingDown,
    TooManyRequests,
)
from http_compat.errors import STATUSES, refuse

INIT, PREFILL, GENERATE = "/omni/init_sys_prompt", "/omni/streaming_prefill", "/omni/streaming_generate"


def leaves(error: type[OmniDuplexError] = OmniDuplexError) -> Iterator[type[OmniDuplexError]]:
    """Those of the tree itself; other modules may have errors of their own below one of them."""
    children = [child for child in error.__subclasses__() if child.__module__ == OmniDuplexError.__module__]
    if not children:
        yield error
    for child in children:
        yield from leaves(child)


async def refused(error: Exception, path: str = PREFILL) -> tuple[int, Any, dict[str, str]]:
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": [], "server": ("h", 80)}
    answer = await refuse(Request(scope), error)
    headers = {name: text for name, text in answer.headers.items() if not name.startswith("content-")}
    return answer.status_code, json.loads(bytes(answer.body)), headers


def test_every_leaf_of_the_tree_has_a_status() -> None:
    assert set(STATUSES) == set(leaves())


@pytest.mark.parametrize("kind", sorted(leaves(), key=str))
async def test_the_status_says_whose_fault_it_is(kind: type[OmniDuplexError]) -> None:
    status, answer, headers = await refused(kind("What happened."))
    assert list(answer) == ["detail"]
    assert answer["detail"].endswith("What happened.")
    if issubclass(kind, ClientError):
        assert 400 <= status < 500
    elif issubclass(kind, CapacityError):
        assert status == (429 if kind is TooManyRequests else 503)
    else:
        assert issubclass(kind, EngineError)
        assert status == 500
    assert ("retry-after" in headers) is issubclass(kind, CapacityError)
    assert ("www-authenticate" in headers) is (kind is NotAuthorised)


@pytest.mark.parametrize("kind", [EngineBusy, EngineNotReady, ShuttingDown])
@pytest.mark.parametrize(("seconds", "expected"), [(None, "5"), (0.2, "1"), (1.0, "1"), (1.01, "2"), (30.0, "30")])
async def test_whoever_comes_too_early_is_told_when_to_come_again(
    kind: type[CapacityError], seconds: float | None, expected: str
) -> None:
    _, _, headers = await refused(kind("Later.", retry_after_s=seconds))
    assert headers == {"retry-after": expected}


async def test_a_missing_key_names_its_scheme() -> None:
    assert await refused(NotAuthorised("A key is needed.")) == (
        401,
        {"detail": "A key is needed."},
        {"www-authenticate": "Bearer"},
    )


@pytest.mark.parametrize(
    ("error", "path", "status", "words"),
    [
        (InvalidAudio("too short"), PREFILL, 400, "音频数据解码失败: too short"),
        (InvalidEvent("no picture", code="invalid_image"), PREFILL, 400, "图片数据解码失败: no picture"),
        (InvalidEvent("必须提供音频或图片至少一项"), PREFILL, 400, "必须提供音频或图片至少一项"),
        (InvalidEvent("不支持的media_type: X", param="media_type"), INIT, 400, "不支持的media_type: X"),
        (NoSession("未找到活跃会话"), GENERATE, 400, "未找到活跃会话"),
        (OriginRefused("not that page"), INIT, 403, "not that page"),
        (ClientStalled("slow"), PREFILL, 408, "slow"),
        (MessageTooBig("long"), PREFILL, 413, "long"),
        (EngineStartFailed("no file"), INIT, 500, "初始化失败: no file"),
        (EngineExited("died"), PREFILL, 500, "预填充失败: died"),
        (EngineStalled("hangs"), "/omni/reset", 500, "重置失败: hangs"),
        (EngineRefused("said 500"), GENERATE, 500, "生成失败: said 500"),
        (EngineBusy("taken"), INIT, 503, "taken"),
        (EngineNotReady("loading"), INIT, 503, "服务正在重启中，请稍后重试: loading"),
        (ShuttingDown("going"), INIT, 503, "going"),
    ],
)
async def test_the_documented_words(error: Exception, path: str, status: int, words: str) -> None:
    found = await refused(error, path)
    assert found[:2] == (status, {"detail": words})
