"""The realtime protocol of the MiniCPM-o authors' own demo: float slices of a second, and the model's every decision.

It knows no responses: sound and text come as deltas, the last of a turn says so, and `response.listen` tells the client
to throw away what it still plays.
"""

from typing import Any, assert_never

import numpy as np

from duplex.clock import samples_to_s
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import ENGINE_INPUT_RATE_HZ
from duplex.errors import ClientError, InvalidAudio, InvalidEvent
from duplex.messages import (
    AppendAudio,
    BreakReason,
    CancelResponse,
    ClearOutput,
    Configure,
    Configured,
    ModelListens,
    Refused,
    Request,
    ResponseAudio,
    ResponseCut,
    ResponseEnded,
    ResponseText,
    ServerMessage,
)
from realtime.dialects.base import Frame, SessionFacts
from realtime.dialects.json_event import read_object, write_event, write_sound
from realtime.items import decode_base64, pictures
from realtime.minicpmo_events import CancelEvent, DemoClientEvent, SliceEvent, StartEvent, StopEvent, parse_demo

__all__ = ["LONGEST_SESSION_S", "LONGEST_SLICE_S", "SHORTEST_SLICE_S", "MiniCPMODialect"]

LONGEST_SESSION_S = {"audio": 600.0, "video": 300.0}
"""The demo's limits: the model's context fills faster with pictures."""

SHORTEST_SLICE_S, LONGEST_SLICE_S = 0.25, 30.0
"""What one slice may hold; the usual one is a second."""

_SAMPLE = np.dtype("<f4")
_FULL_SCALE = 32_768.0
_UNKNOWN = 0
"""The engine does not tell how full its context is; clients read the field all the same."""


class MiniCPMODialect:
    """One connection's protocol state. `mode` is `audio` or `video`."""

    def __init__(self, facts: SessionFacts, settings: ConversationSettings, *, mode: str) -> None:
        self._facts = facts
        self._settings = settings
        self._mode = mode
        self._longest_s = LONGEST_SESSION_S[mode]
        self._began_at: float | None = None
        self._asked = self._created = False
        self._told_blind = False
        self._texts: list[str] = []
        self._notices: list[Frame] = []
        self._reason = "stopped"
        self.event_id: str | None = None
        self.acknowledged: int | None = None
        self.closing = False

    @property
    def settings(self) -> ConversationSettings:
        """See `Dialect.settings`."""
        return self._settings

    # --- client to server

    def decode(self, frame: Frame) -> list[Request]:
        """See `Dialect.decode`."""
        try:
            event = read_object(frame)
        except InvalidEvent as error:
            raise InvalidEvent(str(error), code="invalid_payload") from None
        return self._request(parse_demo(event))

    def _request(self, event: DemoClientEvent) -> list[Request]:
        match event:
            case SliceEvent():
                return self._slice(event)
            case StartEvent():
                if self._asked:
                    raise InvalidEvent("session.update is sent once.", code="invalid_payload", param="type")
                self._asked = True
                return [Configure(self._settings)]
            case CancelEvent():
                return [CancelResponse()]
            case StopEvent():
                self.closing = True
                return []
        assert_never(event)

    def _slice(self, event: SliceEvent) -> list[Request]:
        if not self._asked:
            raise InvalidEvent("Send session.update first.", code="not_ready", param="type")
        # What is seen is seen with the sound beside it.
        perceived = [*self._shown(event.video_frames or []), AppendAudio(_slice_pcm(event.audio))]
        # Made to listen, the model first has to stop: what it says is cut off, if it says anything.
        return [ClearOutput(), *perceived] if event.force_listen else perceived

    def _shown(self, frames: list[str]) -> list[Request]:
        if self._mode == "video":
            try:
                return [*pictures(frames)]
            except ClientError as error:
                raise InvalidEvent(str(error), code="invalid_payload", param=error.param) from None
        if frames and not self._told_blind:
            self._told_blind = True
            text = "Pictures are shown to the model with ?mode=video only; the sound beside them was heard."
            self._notices.append(_error("invalid_payload", text, "video_frames"))
        return []

    # --- server to client

    def greet(self) -> list[Frame]:
        """The engine is ours: the client may begin."""
        return [_text("session.queue_done")]

    def encode(self, message: ServerMessage) -> list[Frame]:
        """See `Dialect.encode`."""
        match message:
            case ResponseText(text):
                self._texts.append(text)
            case ResponseAudio(pcm):
                return [self._delta(pcm)]
            case ResponseEnded():
                return [self._delta(b"", ends=True)]
            case ResponseCut(reason):
                self._texts.clear()
                asked = reason is BreakReason.CLIENT_CANCELLED
                # The client drops what it still plays when it is told that the model listens.
                return [*([_text("response.cancelled")] if asked else []), _listens()]
            case ModelListens():
                return [_listens()]
            case Configured():
                self._created = True
                return [_text("session.created", session_id=self._facts.session_id, prompt_length=0)]
            case Refused(code, text, param):
                return [_error(code, text, param)]
        return []

    def _delta(self, pcm: bytes, *, ends: bool = False) -> Frame:
        text = "".join(self._texts)
        self._texts.clear()
        samples = np.multiply(np.frombuffer(pcm, "<i2"), 1 / _FULL_SCALE, dtype=_SAMPLE)
        said = {"text": text, "end_of_turn": ends, "kv_cache_length": _UNKNOWN}
        return write_sound({"type": "response.output_audio.delta", **said}, "audio", samples.tobytes())

    def farewell(self, reason: str) -> list[Frame]:
        """Why it ended: because the client or the server stopped, or because its time is up."""
        return [_text("session.closed", reason=reason if reason == "server_shutdown" else self._reason)]

    # --- by the clock

    def due_at(self) -> float:
        """See `Paced.due_at`."""
        if self._notices or (self._created and self._began_at is None):
            return float("-inf")
        return float("inf") if self._began_at is None else self._began_at + self._longest_s

    def take(self, now: float) -> list[Frame]:
        """See `Paced.take`: notices, and in the end the end."""
        if self._created and self._began_at is None:
            self._began_at = now
        if self._began_at is not None and now >= self._began_at + self._longest_s:
            self._reason, self.closing = "timeout", True
        notices, self._notices = self._notices, []
        return notices


def _text(kind: str, **fields: Any) -> Frame:
    return write_event({"type": kind, **fields})


def _listens() -> Frame:
    return _text("response.listen", kv_cache_length=_UNKNOWN)


def _error(code: str, text: str, param: str | None = None) -> Frame:
    return _text("error", error={"type": "invalid_request_error", "code": code, "message": text, "param": param})


def _slice_pcm(audio: str) -> bytes:
    """16-bit samples of a slice. Raises `InvalidAudio` for what is no slice of sound, using nothing of it."""
    # Both alphabets of base64 are in use among the demo's clients.
    try:
        raw = decode_base64(audio.replace("-", "+").replace("_", "/"), "audio")
    except InvalidAudio:
        raise _unfit("it is not valid base64.") from None
    if len(raw) % _SAMPLE.itemsize:
        raise _unfit(f"{len(raw)} bytes are not whole 32-bit float samples.")
    seconds = samples_to_s(len(raw) // _SAMPLE.itemsize, ENGINE_INPUT_RATE_HZ)
    if not SHORTEST_SLICE_S <= seconds <= LONGEST_SLICE_S:
        raise _unfit(
            f"{seconds:.2f} s of 16 kHz sound are not one slice: send {SHORTEST_SLICE_S} to {LONGEST_SLICE_S:.0f} s, "
            "usually one second."
        )
    samples = np.frombuffer(raw, _SAMPLE)
    if not np.isfinite(samples).all():
        raise _unfit("There are samples that are no numbers (NaN or infinite).")
    scaled = np.rint(np.clip(samples, -1.0, 1.0) * _FULL_SCALE)
    return bytes(np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype("<i2").tobytes())


def _unfit(why: str) -> InvalidAudio:
    return InvalidAudio(f"'audio' cannot be used: {why}", code="invalid_payload", param="audio")
