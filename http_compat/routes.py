"""The routes of the main port, as llama.cpp-omni's Python server had them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse

from duplex.audio import SAMPLE_BYTES
from duplex.clock import Clock, samples_to_s
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, Mode
from duplex.errors import ClientError, InvalidEvent
from http_compat.body import read_model, read_object
from http_compat.decoders import Decoders
from http_compat.event_stream import EventStream
from http_compat.health import Health
from http_compat.line import Errand
from http_compat.opening import Opening, choose
from http_compat.schemas import InitRequest, PrefillRequest
from http_compat.session import HttpSession
from http_compat.sessions import HttpSessions, Opened, Peer
from http_compat.work import Heard, Upload

__all__ = ["HttpService", "break_answer", "make_router", "peer_of", "stop_answer"]


@dataclass(frozen=True, slots=True)
class HttpService:
    """Everything the routes need, made by the composition root."""

    sessions: HttpSessions
    decoders: Decoders
    health: Callable[[], Health]
    check_access: Callable[[Mapping[str, str]], None]
    """Raises `NotAuthorised` or `OriginRefused` for the headers of a request."""
    clock: Clock

    def health_for(self, headers: Mapping[str, str]) -> Health:
        """What whoever sent these headers is told of the health; only those who may call learn reasons."""
        health = self.health()
        try:
            self.check_access(headers)
        except ClientError:
            return health.without_reason()
        return health


def peer_of(request: Request) -> Peer:
    """The far end of the connection a request came on."""
    return ("", 0) if request.client is None else (request.client.host, request.client.port)


def break_answer(*, cpp_break: bool | None = None) -> dict[str, object]:
    """What a break is answered with. The control port also says whether an answer was broken off."""
    answer: dict[str, object] = {"success": True, "message": "当前轮对话已打断", "state": "break"}
    return answer if cpp_break is None else {**answer, "cpp_break": cpp_break}


def stop_answer(*, cpp_break: bool) -> dict[str, object]:
    """What a stop on the control port is answered with: the session goes on when its caller does."""
    return {"success": True, "message": "会话已停止", "state": "session_stop", "cpp_break": cpp_break}


def make_router(service: HttpService) -> APIRouter:
    """`/health`, which anybody may ask, and `/omni/…`, for which the access is checked."""

    async def check_access(request: Request) -> None:
        service.check_access(request.headers)

    routes = _Routes(service)
    router = APIRouter()
    router.add_api_route("/health", routes.health, methods=["GET"])
    omni = APIRouter(prefix="/omni", dependencies=[Depends(check_access)])
    for name, route in (
        ("init_sys_prompt", routes.init_sys_prompt),
        ("streaming_prefill", routes.streaming_prefill),
        ("streaming_generate", routes.streaming_generate),
        ("break", routes.break_off),
        ("stop", routes.stop),
        ("reset", routes.reset),
    ):
        omni.add_api_route(f"/{name}", route, methods=["POST"], response_model=None)
    router.include_router(omni)
    return router


class _Routes:
    """One method a route. Errors leave as they are; `http_compat.errors` knows their statuses."""

    def __init__(self, service: HttpService) -> None:
        self._service = service
        self._sessions = service.sessions
        self._decoders = service.decoders

    async def health(self, request: Request) -> JSONResponse:
        """Whether calls can be served, and what a call that has begun is like."""
        judged = self._service.health_for(request.headers)
        session = self._sessions.find_any(peer_of(request))
        mode = self._sessions.rules.mode if session is None else session.choice.mode
        state = {"duplex_mode": mode is Mode.DUPLEX, "initialized": session is not None}
        return JSONResponse({**judged.body(), **state}, judged.code)

    async def init_sys_prompt(self, request: Request) -> dict[str, object]:
        """A new session."""
        peer = peer_of(request)
        asked = await read_model(request, InitRequest)
        opening = await choose(asked, self._sessions.rules.mode, partial(self._decoders.sound, peer[0]))
        return _opened(opening, await self._sessions.open(opening.choice, peer))

    async def streaming_prefill(self, request: Request) -> dict[str, object]:
        """Sound, a picture or both for the engine."""
        clock = self._service.clock
        began_s = clock.now()
        session = self._sessions.find(peer_of(request))
        with session.join(Errand.PREFILL) as place:
            asked = await read_model(request, PrefillRequest)
            decode_s, upload = await self._decode(session.id, asked)
            heard = await session.hear(place, upload)
        seconds = samples_to_s(len(upload.pcm or b"") // SAMPLE_BYTES, ENGINE_INPUT_RATE_HZ)
        return _heard(session, heard, seconds, decode_s, (clock.now() - began_s) * 1000)

    async def streaming_generate(self, request: Request) -> EventStream:
        """The answer, as events. Of the body only `keep_open` means something."""
        session = self._sessions.find(peer_of(request))
        with session.join(Errand.GENERATE) as place:
            asked = await read_object(request)
            reply = session.open_reply(place, keep_open=asked.get("keep_open") is True)
        return EventStream(session, reply)

    async def break_off(self, request: Request, session_id: str | None = None) -> dict[str, object]:
        """End the answer, keep the session."""
        session = self._sessions.find_any(peer_of(request), session_id)
        if session is not None:
            session.break_off()
        elif not self._service.health().is_serving:
            raise HTTPException(503, "模型未初始化")
        return break_answer()

    async def stop(self, request: Request, session_id: str | None = None) -> dict[str, object]:
        """End the answer and the session."""
        session = self._sessions.find_any(peer_of(request), session_id)
        if session is not None:
            self._sessions.close(session)
        return {
            "success": True,
            # The documented words. The session is over all the same, as it always was.
            "message": "生成已中止，会话保留，可直接继续对话",
            "state": "generation_stopped",
            "session_id": session and session.id,
            "kv_cache_preserved": True,
        }

    async def reset(self, request: Request) -> dict[str, object]:
        """The same session again, with an engine that remembers nothing of it."""
        peer = peer_of(request)
        session = await self._sessions.reopen(self._sessions.find(peer), peer)
        return {"success": True, "message": "会话已重置", "session_id": session.id}

    async def _decode(self, owner: str, asked: PrefillRequest) -> tuple[tuple[float, float], Upload]:
        """Seconds until sound and picture were decoded, and what came of them."""
        if not asked.audio and not asked.image:
            raise InvalidEvent("必须提供音频或图片至少一项")
        clock = self._service.clock
        began_s = clock.now()
        pcm = await self._decoders.sound(owner, asked.audio) if asked.audio else None
        heard_s = clock.now()
        image = await self._decoders.picture(owner, asked.image) if asked.image else None
        upload = Upload(
            pcm=pcm,
            image=image,
            audio_id=asked.image_audio_id,
            frame_index=asked.frame_index,
            is_last=asked.is_last,
            marks_last=asked.last_chunk is not None,
        )
        return (heard_s - began_s, clock.now() - heard_s), upload


def _opened(opening: Opening, opened: Opened) -> dict[str, object]:
    session = opened.session
    answer: dict[str, object] = {
        "success": True,
        "message": opening.message(is_new_mode=opened.is_new_mode, is_new_media=opened.is_new_media),
        "msg_type": 2 if session.choice.vision else 1,
        "duplex_mode": session.choice.mode is Mode.DUPLEX,
        "session_id": session.id,
        "fast_resume": not (opened.is_new_mode or opened.is_new_media),
    }
    return {**answer, "ignored": list(opening.ignored)} if opening.ignored else answer


def _heard(
    session: HttpSession, heard: Heard, seconds: float, decode_s: tuple[float, float], total_ms: float
) -> dict[str, object]:
    audio_ms, image_ms = (round(part_s * 1000, 1) for part_s in decode_s)
    if heard.kept is not None:
        ready = "_ready" if heard.kept.is_complete else ""
        return {
            "success": True,
            "message": "子图已缓存，等待音频",
            "cached_frames": heard.kept.count,
            "mode": f"high_fps_cache{ready}",
        }
    engine_ms, total_ms = round(heard.engine_ms, 1), round(total_ms, 1)
    if session.choice.mode is Mode.SIMPLEX and not heard.is_stacked:
        timing: dict[str, object] = {
            "audio_decode_ms": audio_ms,
            "image_decode_ms": image_ms,
            "model_prefill_ms": engine_ms,
            "total_ms": total_ms,
            "rtf": round(total_ms / 1000 / seconds, 4) if seconds else None,
        }
        facts: dict[str, object] = {"request_idx": heard.number + 1}
        backend = "cpp_simplex"
    else:
        # Nothing is written before the engine is called: it takes the sound as it is.
        timing = {"audio_decode": audio_ms, "image_decode": image_ms, "audio_save": 0.0, "image_save": 0.0}
        timing |= {"cpp_http": engine_ms, "total": total_ms}
        facts = {"cnt": heard.number}
        backend = "cpp_duplex" if session.choice.mode is Mode.DUPLEX else "cpp_highfps_simplex"
    answer = {"success": True, "session_id": session.id, **facts, "audio_duration_seconds": seconds}
    return {**answer, "timing": timing, "backend": backend}
