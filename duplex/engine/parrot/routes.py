"""Paths to calls."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from duplex.engine.parrot import wire
from duplex.engine.parrot.engine import ParrotEngine
from duplex.engine.parrot.faults import UnknownFault
from duplex.engine.parrot.http import Request, Response
from duplex.engine.parrot.octx import LISTENING, TURN_OVER, Body, InitFields, Octx

__all__ = ["Routes"]

_HTML = "text/html; charset=utf-8"
_LOADING_PAGE = b"<!DOCTYPE html><html><body>The model is loading. Please wait.</body></html>"
_PAGE = b"<!DOCTYPE html><html><body>A parrot: a stand-in for llama-server, without a model.</body></html>"
_OPTIONS_HEADERS = (
    ("Access-Control-Allow-Credentials", "true"),
    ("Access-Control-Allow-Headers", "*"),
    ("Access-Control-Allow-Methods", "GET, POST"),
)
_WHILE_LOADING = frozenset({"/models", "/v1/models", "/api/tags"})
_POLL_S = 0.2


class Routes:
    """Answers one request. `ready` is set once the model counts as loaded."""

    def __init__(self, engine: ParrotEngine, body: Body, *, model: Path) -> None:
        self.ready = threading.Event()
        self._engine = engine
        self._body = body
        self._model = model
        self._table: dict[tuple[str, str], Callable[[Request], Response]] = {
            ("GET", "/"): lambda _: Response(200, _PAGE, _HTML),
            ("GET", "/health"): lambda _: _ok({"status": "ok"}),
            ("GET", "/v1/health"): lambda _: _ok({"status": "ok"}),
            ("GET", "/models"): self._models,
            ("GET", "/v1/models"): self._models,
            ("GET", "/api/tags"): self._models,
            ("GET", "/props"): lambda _: _ok({"total_slots": 1, "model_path": str(self._model)}),
            ("GET", "/slots"): lambda _: _ok([{"id": 0, "is_processing": False}]),
            ("GET", "/metrics"): _no_metrics,
            ("POST", "/v1/stream/omni_init"): self._omni_init,
            ("POST", "/v1/stream/prefill"): self._prefill,
            ("POST", "/v1/stream/decode"): self._decode,
            ("POST", "/v1/stream/break"): self._break,
            ("POST", "/v1/stream/reset"): self._reset,
            ("POST", "/v1/stream/update_session_config"): self._update_session_config,
            ("GET", "/parrot/state"): lambda _: _ok(self._engine.state()),
            ("POST", "/parrot/faults"): self._set_faults,
        }

    def __call__(self, request: Request) -> Response:
        """Answer, and log all but `/v1/health`."""
        try:
            response = self._answer(request)
        except wire.Refusal as refusal:
            response = Response(refusal.status, refusal.body())
        if request.path != "/v1/health":
            line = f"{request.method} {request.path} {request.peer} {response.status}"
            self._body.log.server(f"srv  log_server_r: request: {line}")
        return response

    def _answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(200, b"", "text/html", headers=_OPTIONS_HEADERS)
        if not self.ready.is_set() and request.path not in _WHILE_LOADING:
            if request.path == "/" or request.path.endswith(".html"):
                return Response(503, _LOADING_PAGE, _HTML)
            raise wire.Refusal(503, "Loading model")
        method = "GET" if request.method == "HEAD" else request.method
        handle = self._table.get((method, request.path))
        if handle is None:
            raise wire.Refusal(404, "File Not Found")
        if request.path.startswith("/v1/stream/"):
            name = request.path.rpartition("/")[2]
            self._body.log.server(f"srv    operator(): operator(): handle_stream_{name}")
        return handle(request)

    def _models(self, _: Request) -> Response:
        name = str(self._model)
        model = {"id": name, "object": "model", "owned_by": "llamacpp", "meta": None}
        return _ok({"models": [{"name": name, "model": name}], "object": "list", "data": [model]})

    def _omni_init(self, request: Request) -> Response:
        body = wire.parse(request.body)
        media_type = wire.integer_field(body, "msg_type")
        if media_type is None:
            media_type = wire.integer_field(body, "media_type")
        if media_type is None:
            raise wire.invalid('"msg_type" or "media_type" must be provided as integer (1=audio, 2=omni)')
        fields = InitFields(
            media_type=media_type,
            use_tts=wire.soft(body, "use_tts", True),
            duplex_mode=wire.soft(body, "duplex_mode", False),
            output_dir=Path(wire.soft(body, "output_dir", "./tools/omni/output")),
            n_predict=wire.soft(body, "n_predict", 2048),
        )
        voice = wire.field(body, "voice_audio")
        voice_audio = voice if isinstance(voice, str) else ""
        self._engine.omni_init(fields, voice_audio)
        return _ok(
            {
                "success": True,
                "media_type": media_type,
                "use_tts": fields.use_tts,
                "voice_audio_used": bool(voice_audio),
            }
        )

    def _prefill(self, request: Request) -> Response:
        body = wire.parse(request.body)
        audio = wire.field(body, "audio_path_prefix")
        if not isinstance(audio, str):
            raise wire.invalid('"audio_path_prefix" must be provided as string')
        cnt = wire.integer_field(body, "cnt")
        if cnt is None:
            raise wire.invalid('"cnt" must be provided as integer')
        self._engine.require_context()
        image = wire.hard(body, "img_path_prefix", str) or ""
        posfix = wire.hard(body, "img_posfix", str) or ""
        wire.hard(body, "max_slice_nums", int)
        self._engine.prefill(audio, image, cnt)
        return _ok(
            {
                "success": True,
                "audio_path_prefix": audio,
                "img_path_prefix": image,
                "img_posfix": posfix,
                "cnt": cnt,
            }
        )

    def _decode(self, request: Request) -> Response:
        body = wire.parse(request.body)
        self._engine.require_context()
        given = wire.field(body, "debug_dir")
        debug_dir = given if isinstance(given, str) else "./"
        round_idx = wire.soft(body, "round_idx", -1)
        if wire.soft(body, "stream", True):
            return Response(200, content_type="text/event-stream", stream=self._events(self._engine.octx, round_idx))
        self._engine.decode(round_idx)
        return _ok({"success": True, "debug_dir": debug_dir})

    def _events(self, octx: Octx, round_idx: int) -> Iterator[bytes]:
        octx.open_text()
        decode = threading.Thread(target=self._engine.decode, args=(round_idx,), name="decode", daemon=True)
        decode.start()
        try:
            if not self._body.faults.hit("early_done"):
                yield from _read_text(octx, decode)
        finally:
            # A client that left is noticed here, and the decode still runs to its end.
            decode.join()
        yield wire.DONE

    def _break(self, request: Request) -> Response:
        wire.parse(request.body, may_be_empty=True)
        self._engine.raise_break()
        return _ok({"success": True, "message": "generation interrupted"})

    def _reset(self, request: Request) -> Response:
        self._engine.reset(wire.parse(request.body, may_be_empty=True))
        return _ok({"success": True, "message": "KV caches cleared, ready for new session"})

    def _update_session_config(self, request: Request) -> Response:
        return _ok(self._engine.update_session_config(wire.parse(request.body, may_be_empty=True)))

    def _set_faults(self, request: Request) -> Response:
        body = wire.parse(request.body)
        if not isinstance(body, dict):
            raise wire.invalid("faults come as an object of names and values; null switches one off")
        try:
            for name, value in body.items():
                self._body.faults.set(name, value)
        except UnknownFault as error:
            raise wire.invalid(str(error)) from None
        return _ok({"success": True, "faults": self._body.faults.active()})


def _ok(value: Any) -> Response:
    return Response(200, wire.compact(value))


def _no_metrics(_: Request) -> Response:
    raise wire.Refusal(501, "This server does not support metrics endpoint. Start it with `--metrics`")


def _read_text(octx: Octx, decode: threading.Thread) -> Iterator[bytes]:
    """Events as they come. Two readers would share one queue, and so steal from each other (R5)."""
    while True:
        with octx.board:
            octx.board.wait_for(lambda: bool(octx.text_queue) or octx.text_done, _POLL_S)
            items = list(octx.text_queue)
            octx.text_queue.clear()
            over = octx.text_done or not decode.is_alive()
            octx.board.notify_all()
        for item in items:
            if item is LISTENING:
                yield wire.event(wire.IS_LISTEN)
            elif item is TURN_OVER:
                yield wire.event(wire.OVER)
            else:
                yield wire.event({"content": item, "stop": False, "is_listen": False, "end_of_turn": False})
        if over:
            return
