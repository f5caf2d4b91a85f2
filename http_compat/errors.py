"""How each error of the tree ends a request: one table, every leaf in it."""

import math

from fastapi import Request
from fastapi.responses import JSONResponse

from duplex.errors import (
    CapacityError,
    ClientStalled,
    EngineBusy,
    EngineExited,
    EngineMute,
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
    Overloaded,
    QueueFull,
    ShuttingDown,
    TooManyRequests,
)

__all__ = ["STATUSES", "refuse"]

STATUSES: dict[type[OmniDuplexError], int] = {
    InvalidAudio: 400,
    InvalidEvent: 400,
    NoSession: 400,
    NotAuthorised: 401,
    OriginRefused: 403,
    ClientStalled: 408,
    MessageTooBig: 413,
    TooManyRequests: 429,
    EngineStartFailed: 500,
    EngineExited: 500,
    EngineStalled: 500,
    EngineMute: 500,
    EngineRefused: 500,
    EngineBusy: 503,
    EngineNotReady: 503,
    Overloaded: 503,
    QueueFull: 503,
    ShuttingDown: 503,
}

_ASK_AGAIN_S = 5.0
"""When nobody knows how long it takes."""

_FAILED = {
    "/omni/init_sys_prompt": "初始化失败",
    "/omni/streaming_prefill": "预填充失败",
    "/omni/reset": "重置失败",
}


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that failed: FastAPI's shape, the documented words where there are some."""
    assert isinstance(error, OmniDuplexError)
    status = STATUSES[type(error)]
    words = str(error)
    headers = {}
    if isinstance(error, InvalidAudio):
        words = f"音频数据解码失败: {words}"
    elif isinstance(error, InvalidEvent) and error.code == "invalid_image":
        words = f"图片数据解码失败: {words}"
    elif status == 500:
        words = f"{_FAILED.get(request.url.path, '生成失败')}: {words}"
    elif isinstance(error, EngineNotReady):
        words = f"服务正在重启中，请稍后重试: {words}"
    if isinstance(error, CapacityError):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s or _ASK_AGAIN_S))
    if isinstance(error, NotAuthorised):
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"detail": words}, status, headers)
