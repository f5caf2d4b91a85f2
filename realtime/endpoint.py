"""`/v1/realtime` and `/v1/live/sessions`: accept, authorise, lease an engine, converse, close with the right code."""

import asyncio
import contextlib
import json
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from fastapi import APIRouter, WebSocket
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect, WebSocketState

from duplex.clock import Clock
from duplex.conversation import Conversation
from duplex.conversation_settings import ConversationSettings
from duplex.detectors import DetectorMaker
from duplex.echo_canceller import EchoCanceller
from duplex.engine.base import EngineSession, Mode
from duplex.engine.succession import EngineLease, Lend, SessionEngines
from duplex.errors import (
    CapacityError,
    ClientError,
    ClientStalled,
    EngineBusy,
    EngineError,
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
from duplex.messages import ServerMessage
from duplex.metrics import Metrics
from duplex.session import DuplexSession, SessionLimits
from duplex.tasks import beside, first_of
from realtime.access import Access
from realtime.dialects.base import Dialect, Frame, SessionFacts
from realtime.dialects.choice import LIVE_PATH, REALTIME_PATH, choose_protocol, make_dialect, refusal_code
from realtime.options import ConnectionOptions, Protocol, parse_options
from realtime.outlet import BROKEN, at_most, hang_up, send
from realtime.pacing import Pacemaker
from realtime.queue_events import QueueEvents
from realtime.queueing import EarlyFrames, Queueing
from realtime.resume import parse_resume
from realtime.seat import Arrival, Owner, Seat, Seats
from realtime.voices import Voices

__all__ = ["CLOSE_CODES", "REFUSAL", "RealtimeService", "make_router"]

log = logging.getLogger(__name__)

CLOSE_CODES: dict[type[OmniDuplexError], int] = {
    InvalidAudio: 1008,
    InvalidEvent: 1008,
    NoSession: 1008,
    NotAuthorised: 1008,
    OriginRefused: 1008,
    ClientStalled: 1008,
    MessageTooBig: 1009,
    EngineStartFailed: 1011,
    EngineExited: 1011,
    EngineStalled: 1011,
    EngineMute: 1011,
    EngineRefused: 1011,
    ShuttingDown: 1012,
    EngineBusy: 1013,
    EngineNotReady: 1013,
    Overloaded: 1013,
    QueueFull: 1013,
    TooManyRequests: 1013,
}
"""How each error ends a connection. An error that is answered with an `error` event on a living session is not here."""

REFUSAL = "omni_duplex.refusal"
"""Key of a connection's ASGI scope: the `OmniDuplexError` for which whoever is in front of us wants it refused."""

_REASON_BYTES = 123
"""RFC 6455: a control frame holds 125 bytes, two of them the code."""

_ASK_AGAIN_S = 5.0
"""When nobody knows how long it takes."""

_NOMINAL_LIFE_S = 24 * 60 * 60
"""What clients are told who want to know when their session expires. None is ended for its age."""


@dataclass(frozen=True, slots=True)
class RealtimeService:
    """Everything the endpoint needs, made by the composition root."""

    lease: Lend
    access: Access
    defaults: ConversationSettings
    limits: SessionLimits
    make_detector: DetectorMaker
    clock: Clock
    make_canceller: Callable[[], EchoCanceller] | None = None
    """For clients that do not cancel echo themselves; None where there is no canceller."""
    voices: Voices = field(default_factory=Voices)
    """What clients have left for the model to imitate."""
    seats: Seats = field(default_factory=Seats)
    """The sessions that other sockets may go on with."""
    refusal: Callable[[bool], Awaitable[CapacityError | None]] | None = None
    """Why somebody who comes now, and would wait or not, is refused before he is accepted; None: nobody is."""
    queue_update_s: float = 3.0
    """Between two events that say how the queue has moved."""
    metrics: Metrics = field(default_factory=Metrics)


def make_router(service: RealtimeService) -> APIRouter:
    """The WebSocket routes."""
    router = APIRouter()

    async def realtime(websocket: WebSocket) -> None:
        await _Connection(service, websocket).serve()

    for path in (REALTIME_PATH, LIVE_PATH):
        router.add_api_websocket_route(path, realtime)
    return router


class _Connection:
    """One socket from accept to close."""

    def __init__(self, service: RealtimeService, websocket: WebSocket) -> None:
        self._service = service
        self._socket = websocket
        self._session_id = secrets.token_hex(8)
        self._offered = websocket.scope.get("subprotocols", [])
        self._began = False
        self._protocol = choose_protocol(websocket.url.path, websocket.query_params, websocket.headers, self._offered)

    async def serve(self) -> None:
        if await self._is_turned_away():
            return
        # A browser drops the connection when it offered subprotocols and none was selected.
        await self._socket.accept(subprotocol="realtime" if "realtime" in self._offered else None)
        try:
            if REFUSAL in self._socket.scope:
                raise self._socket.scope[REFUSAL]
            options, owner = self._admitted()
            if not await self._goes_on(options, owner):
                await self._begin(options, owner)
        except OmniDuplexError as error:
            await self._refuse(error)
        except WebSocketDisconnect:
            pass

    def _admitted(self) -> tuple[ConnectionOptions, Owner]:
        """What the client asks for, and who it is. Raises `ClientError` when it may not have it."""
        access, peer = self._service.access, self._socket.client
        access.check(self._socket.headers, self._offered)
        options = parse_options(self._socket.query_params, self._service.defaults, self._protocol)
        options = replace(options, session=access.session(self._socket.headers, self._offered))
        return options, access.owner(self._socket.headers, self._offered, peer.host if peer else "")

    async def _is_turned_away(self) -> bool:
        """Answer a program's request to connect with 503 where there is neither an engine nor a place in the queue.

        Pages cannot read such an answer, and the demo's clients expect an event: both are accepted first.
        """
        accepted_first = "origin" in self._socket.headers or self._protocol is Protocol.MINICPMO
        if accepted_first or REFUSAL in self._socket.scope or self._service.refusal is None:
            return False
        try:
            options, owner = self._admitted()
        except OmniDuplexError:
            # It will be told when it is accepted.
            return False
        if options.resume or (options.session_key and self._service.seats.with_key(owner, options.session_key)):
            return False
        error = await self._service.refusal(options.waits)
        if error is None:
            return False
        log.info("session %s turned away: %s", self._session_id, type(error).__name__)
        self._service.metrics.refused("realtime", error)
        headers = {"Retry-After": str(math.ceil(error.retry_after_s or _ASK_AGAIN_S))}
        await self._socket.send_denial_response(JSONResponse(self._error_event(error), 503, headers))
        return True

    async def _goes_on(self, options: ConnectionOptions, owner: str) -> bool:
        """Take another socket's place in its session, and return when that is over. False when there is none."""
        arrival, seat = Arrival(self._socket, None), None
        try:
            if options.resume:
                async with asyncio.timeout(self._service.limits.send_s):
                    first = await self._next_frame()
                request = parse_resume(first)
                seat = self._service.seats.with_token(request.session_id, request.resume_token)
                arrival.last_received = request.last_received_server_event_seq
            elif options.session_key is not None:
                seat = self._service.seats.with_key(owner, options.session_key)
        except TimeoutError:
            return False
        except ClientError as error:
            await self._explain(error)
            return False
        if seat is None:
            return False
        seat.take(arrival)
        await arrival.left.wait()
        if arrival.refusal is not None and options.resume:
            await self._explain(arrival.refusal)
        return arrival.refusal is None

    async def _begin(self, options: ConnectionOptions, owner: Owner) -> None:
        early = EarlyFrames()
        queueing = Queueing(
            QueueEvents(self._protocol, options, f"ticket_{self._session_id}"),
            early,
            receive=self._next_frame,
            send=self._send_text,
            update_s=self._service.queue_update_s,
            send_s=self._service.limits.send_s,
        )
        engines = SessionEngines(self._service.lease, self._wish(options))
        async with engines.leased(queueing.wait if options.waits else None) as leased:
            await queueing.done()
            seat = Seat(
                self._socket,
                self._session_id,
                self._service.clock,
                send_s=self._service.limits.send_s,
                grace_s=self._service.seats.grace_s,
                key=options.session_key,
            )
            with self._service.seats.kept(seat, owner, options.session_key):
                try:
                    await self._converse(seat, leased, engines, options, early)
                except OmniDuplexError as error:
                    # Whoever sits there now is told, and not the socket it began with.
                    if seat.socket is not None:
                        self._socket = seat.socket
                        await self._refuse(error)

    def _wish(self, options: ConnectionOptions) -> EngineSession:
        """What the engine has to be ready for. It imitates a voice in duplex only."""
        duplex = options.settings.mode is Mode.DUPLEX
        voice = self._service.voices.find(options.voice) if duplex and options.voice is not None else None
        return EngineSession(options.settings.mode, voice=voice)

    async def _converse(
        self,
        seat: Seat,
        leased: EngineLease,
        engines: SessionEngines,
        options: ConnectionOptions,
        early: EarlyFrames,
    ) -> None:
        service = self._service
        facts = SessionFacts(self._session_id, options.model, leased.kind, leased.stand_in, seat.token)
        expires_at = int(time.time()) + _NOMINAL_LIFE_S
        dialect = make_dialect(self._protocol, facts, options, expires_at=expires_at)
        pacemaker = Pacemaker(dialect, seat.say, service.clock)
        canceller = None
        if service.make_canceller is not None and not options.settings.client_cancels_echo:
            canceller = service.make_canceller()
        async with beside(early=self._keep(early)):
            await leased.engine.begin(engines.wish)
            # A neural detector takes 90 ms to load.
            detector = await asyncio.to_thread(service.make_detector, behind_canceller=canceller is not None)
        conversation = Conversation(dialect.settings, detector, service.clock.now(), canceller)

        async def transmit(message: ServerMessage) -> None:
            if not await seat.send(dialect.encode(message), message, session.output_rate_hz):
                session.pause()
            pacemaker.nudge()

        async def talk() -> None:
            attending = seat.attend(early.frames, dialect, session, understood=pacemaker.nudge)
            await first_of(reader=attending, pacemaker=pacemaker.run())

        meter = service.metrics.meter(self._protocol)
        session = DuplexSession(
            leased.engine, conversation, transmit, service.clock, service.limits, replace=engines.replace, meter=meter
        )
        log.info("session %s starts: %s on %s", self._session_id, options.settings.mode, leased.kind)
        started = service.clock.now()
        try:
            await seat.send(dialect.greet(), None, session.output_rate_hz)
            if early.dropped:
                session.warn("input_dropped", "Input that came before the session was ready was dropped.")
            if options.voice is not None and service.voices.find(options.voice) is None:
                session.warn("voice_unknown", "The voice is no longer kept: the model speaks with its own.")
            self._began = True
            with meter.counting(service.clock.now, session.queue_fill):
                await session.run(talk)
        except ShuttingDown as error:
            await self._take_leave(seat, dialect, error)
            raise
        finally:
            log.info(
                "session %s ends after %.1f s: %d responses, %d breaks, %.1f s of input dropped, %d engines lost",
                self._session_id,
                service.clock.now() - started,
                session.numbers.responses,
                session.numbers.breaks,
                session.numbers.input_dropped_s,
                session.numbers.engines_lost,
            )
        if seat.socket is not None:
            await seat.close(dialect.farewell("client_closed"))

    async def _take_leave(self, seat: Seat, dialect: Dialect, error: ShuttingDown) -> None:
        """What the protocol says last when it is the server that goes; where it has no word for that, an error."""
        last_words = dialect.farewell("server_shutdown") or [json.dumps(self._error_event(error))]
        with contextlib.suppress(TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(self._service.limits.send_s):
                await seat.close(last_words, CLOSE_CODES[ShuttingDown], str(error))

    async def _keep(self, early: EarlyFrames) -> None:
        """Read on while the engine gets ready: a socket that is not read answers no ping."""
        while True:
            early.put(await self._next_frame())

    async def _next_frame(self) -> Frame:
        """One message. Raises `WebSocketDisconnect` when the client has gone."""
        if self._socket.client_state is WebSocketState.DISCONNECTED:
            # Who read in the queue was told so, in the moment in which the engine came and ended the reading.
            raise WebSocketDisconnect(BROKEN)
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        text: str | None = message.get("text")
        return bytes(message["bytes"]) if text is None else text

    async def _send_text(self, frame: Frame) -> None:
        await send(self._socket, frame)

    async def _explain(self, error: ClientError) -> None:
        """Say why something was refused without which the connection goes on."""
        event = {"type": "invalid_request_error", "code": error.code, "message": str(error), "param": error.param}
        async with at_most(self._service.limits.send_s):
            await send(self._socket, json.dumps(self._error("not_resumed", event)))

    async def _refuse(self, error: OmniDuplexError) -> None:
        log.info("session %s refused or lost: %s", self._session_id, type(error).__name__)
        if not self._began:
            self._service.metrics.refused("realtime", error)
        if isinstance(error, EngineError):
            log.error("session %s: %s", self._session_id, error)
        if not self._connected():
            return
        reason = str(error).encode()[:_REASON_BYTES].decode(errors="ignore")
        try:
            async with asyncio.timeout(self._service.limits.send_s):
                await send(self._socket, json.dumps(self._error_event(error)))
                await hang_up(self._socket, CLOSE_CODES[type(error)], reason)
        except (TimeoutError, WebSocketDisconnect):
            log.info("session %s: the client was gone before it could be told", self._session_id)

    def _connected(self) -> bool:
        states = (self._socket.client_state, self._socket.application_state)
        return all(state is WebSocketState.CONNECTED for state in states)

    def _error_event(self, error: OmniDuplexError) -> dict[str, object]:
        code = refusal_code(self._protocol, error)
        event = {"type": "server_error", "code": code, "message": str(error), "param": getattr(error, "param", None)}
        return self._error("refused", event)

    def _error(self, what: str, error: Mapping[str, object]) -> dict[str, object]:
        return {"type": "error", "event_id": f"event_{self._session_id}_{what}", "error": error}
