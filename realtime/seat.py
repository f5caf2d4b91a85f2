"""Where the client of a session sits: at one socket, at none for a while, then at another.

The session runs in the handler of its first socket, however many follow; the handlers of the others wait until the
session has done with theirs.

    lost        the socket ended against its client's wish: nothing more leaves, and for `grace_s` it may come back
    taken over  another socket came while this one was there: this one is closed
    welcome     the new socket gets what the journal holds for it; then the session goes on
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from duplex.clock import Clock
from duplex.errors import ClientError, ClientStalled, NoSession, ShuttingDown
from duplex.messages import AppendAudio, ClearOutput, ServerMessage, Warned
from duplex.session import DuplexSession
from duplex.tasks import beside, wait_at_most
from realtime.dialects.base import Dialect, Frame
from realtime.outlet import at_most, hang_up, send
from realtime.resume import Journal, Replay, replaced_event, resumed_event, same_token

__all__ = ["Arrival", "Owner", "Seat", "Seats"]

Owner = str
"""Who chose a session's key: an API key, or an address where none is needed. Nobody else's key is the same one."""

_LOSSES = frozenset({1001, 1005, 1006, 1011})
"""How a socket ends whose client did not say 1000: the page went, the connection broke, no pong came."""

_SILENT_LOSS_S = 20.0
"""A connection that broke without a sign is noticed within a ping and the wait for its pong."""

_STOPS = "server_shutdown"
"""Code of the last warning."""

_LAST_WORDS_S = 1.0
"""A client that does not read them by then goes without."""

_BITE_BYTES = 64 * 1024
"""A message of minutes of audio is worked through in bites, so that other sessions' frames get their turn."""


def _nobody() -> None:
    """Has to be told of a frame."""


@dataclass(slots=True, eq=False)
class Arrival:
    """A socket that is to take the place of the one before it."""

    socket: WebSocket
    last_received: int | None
    """The newest frame its client has; None when it keeps no count."""
    refusal: ClientError | None = None
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """The session has done with the socket."""


class Seat:
    """The place of one session's client. `key` is the one its client chose, for those that keep no count."""

    def __init__(
        self, socket: WebSocket, session_id: str, clock: Clock, *, send_s: float, grace_s: float, key: str | None = None
    ) -> None:
        """`send_s`: how long one message may take to leave. `grace_s`: how long a lost client may take to come back."""
        self.session_id = session_id
        self.token = secrets.token_urlsafe(32)
        self.socket: WebSocket | None = socket
        """The one in use; None while nobody is there."""
        self._clock = clock
        self._send_s = send_s
        self._grace_s = grace_s
        self._wanted = key is not None
        self._journal = Journal()
        self._sockets = 1
        self._guest: Arrival | None = None
        self._arrival: Arrival | None = None
        self._news = asyncio.Event()
        self._sending: asyncio.Timeout | None = None
        self._comes_back = False
        self._ended = False
        self._stops: ShuttingDown | None = None
        self._told = asyncio.Event()
        self._understood: Callable[[], None] = _nobody
        self._heard_from_at = self._lost_at = clock.now()

    # --- for the session

    async def send(self, frames: list[Frame], message: ServerMessage | None, rate_hz: int) -> bool:
        """Send what `message` became, and keep it. False when nobody is there to whom more could be sent.

        Raises `ClientStalled` or `WebSocketDisconnect` when the client may not come back for it.
        """
        self._journal.record(message, frames, self._clock.now(), rate_hz)
        socket = self.socket
        if socket is not None and await self._deliver(socket, frames):
            if isinstance(message, Warned) and message.code == _STOPS:
                self._told.set()
            return True
        # Another socket has got it with the replay.
        return self.socket not in {socket, None}

    async def say(self, frames: list[Frame]) -> None:
        """Send what nobody will ask for again: it belongs to its moment. Raises as `send` does."""
        if self.socket is not None:
            await self._deliver(self.socket, frames)

    async def attend(
        self,
        early: Iterable[Frame],
        dialect: Dialect,
        session: DuplexSession,
        *,
        understood: Callable[[], None] = _nobody,
    ) -> None:
        """Listen to whoever sits here, until the client ends the session, or is lost and nobody comes back.

        Never awaits the engine: a socket that is not read cannot hear a break. `understood` is called after each frame.
        Raises `ShuttingDown` after `end`, when the client was told what becomes of its answer.
        """
        self._understood = understood
        for frame in early:
            await self._understand(frame, dialect, session)
        while not self._ended:
            if self.socket is not None and self._stops is None:
                async with beside(reader=self._read(self.socket, dialect, session)):
                    await self._news.wait()
            self._news.clear()
            if self._stops is not None:
                await self._take_leave(session, self._stops)
            if dialect.closing or (self._arrival is None and not self._comes_back):
                return
            session.pause()
            if self._arrival is None and not self._ended:
                await wait_at_most(self._grace_s, self._news)
                self._news.clear()
            if self._stops is not None:
                raise self._stops
            arrival, self._arrival = self._arrival, None
            if arrival is None:
                return
            await self._welcome(arrival, dialect, session)

    async def close(self, last_words: list[Frame], code: int = 1000, reason: str = "") -> None:
        """End in an orderly way."""
        if self.socket is not None and _connected(self.socket):
            for frame in last_words:
                await send(self.socket, frame)
            await hang_up(self.socket, code, reason)

    def dismiss(self) -> None:
        """The session is over, and has said so to the socket in use: every handler that waits may go on."""
        self._ended = True
        # Whoever is told knows this seat, and both would wait for the collector with all that was sent.
        self._understood = _nobody
        if self._guest is not None:
            self._guest.left.set()
        if self._arrival is not None:
            self._arrival.refusal = _gone()
            self._arrival.left.set()

    # --- for the other sockets

    def take(self, arrival: Arrival) -> None:
        """Take the place of whoever is there; the newest wins."""
        if self._arrival is not None:
            self._arrival.refusal = _gone()
            self._arrival.left.set()
        self._arrival = arrival
        self._wanted = True
        self._interrupt_sending()
        self._news.set()

    def end(self, stops: ShuttingDown) -> None:
        """The session is over: whoever is here is told, and nobody is waited for."""
        self._stops = stops
        self._news.set()

    # --- within

    async def _read(self, socket: WebSocket, dialect: Dialect, session: DuplexSession) -> None:
        while not dialect.closing:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                self._lose(message["code"] in _LOSSES)
                return
            self._heard_from_at = self._clock.now()
            text: str | None = message.get("text")
            await self._understand(bytes(message["bytes"]) if text is None else text, dialect, session)
        self._news.set()

    async def _understand(self, frame: Frame, dialect: Dialect, session: DuplexSession) -> None:
        try:
            requests = dialect.decode(frame)
            if dialect.acknowledged is not None:
                self._wanted = True
                self._journal.acknowledge(dialect.acknowledged)
        except ClientError as error:
            session.refuse(error, dialect.event_id)
        else:
            for request in requests:
                if isinstance(request, AppendAudio) and len(request.pcm) > _BITE_BYTES:
                    await _receive_in_bites(session, request.pcm, dialect.event_id)
                else:
                    session.receive(request, dialect.event_id)
        finally:
            self._understood()

    async def _take_leave(self, session: DuplexSession, stops: ShuttingDown) -> None:
        """Cut the answer off and say that the server stops; raises that when it has left."""
        session.receive(ClearOutput())
        session.warn(_STOPS, str(stops))
        if self.socket is not None:
            await wait_at_most(_LAST_WORDS_S, self._told)
        raise stops

    def _lose(self, by_accident: bool) -> None:
        self.socket = None
        self._lost_at = self._clock.now()
        self._comes_back = by_accident and self._wanted and self._grace_s > 0.0
        self._news.set()

    async def _deliver(self, socket: WebSocket, frames: Iterable[Frame]) -> bool:
        try:
            async with at_most(self._send_s) as patience:
                self._sending = patience
                for frame in frames:
                    await send(socket, frame)
        except ClientStalled:
            if not self._wanted:
                raise
            if self.socket is socket and self._arrival is None:
                self._lose(by_accident=True)
        except WebSocketDisconnect:
            # Whether it was lost or has hung up, the reader will be told.
            if not self._wanted:
                raise
        else:
            return True
        finally:
            if self._sending is patience:
                self._sending = None
            # It keeps the task; of an error that ends the task, this frame is a part.
            del patience
        return False

    def _interrupt_sending(self) -> None:
        """What is being sent goes into a socket that nobody reads any more; the journal has it."""
        if self._sending is not None and not self._sending.expired():
            self._sending.reschedule(asyncio.get_running_loop().time())

    async def _welcome(self, arrival: Arrival, dialect: Dialect, session: DuplexSession) -> None:
        now = self._clock.now()
        if self.socket is not None:
            self._lost_at = now
        counts = arrival.last_received is not None
        try:
            replay = self._replay(arrival, session)
        except ClientError as error:
            # The token was right: what its client has of the session is of no use any more, to anybody.
            self._ended = True
            await self._part(tell=counts)
            arrival.refusal, self._guest = error, arrival
            return
        await self._part(tell=counts)
        self._sockets += 1
        self._wanted, self._comes_back = True, False
        self._guest, self.socket = arrival, arrival.socket
        self._heard_from_at = now
        first: list[Frame]
        if counts:
            first = [resumed_event(self.session_id, self.token, self._sockets)]
        else:
            first = dialect.greet()
            self._journal.record(None, first, now, session.output_rate_hz)
        if await self._deliver(arrival.socket, [*first, *replay.frames]):
            session.go_on(replay.audio_s, replay.heard)

    def _replay(self, arrival: Arrival, session: DuplexSession) -> Replay:
        if arrival.last_received is not None:
            return self._journal.after(arrival.last_received, session.admits)
        return self._journal.unheard(max(self._heard_from_at, self._lost_at - _SILENT_LOSS_S), session.admits)

    async def _part(self, *, tell: bool) -> None:
        """From the socket in use, in favour of another; nothing of it may hold up the other."""
        socket, guest = self.socket, self._guest
        self.socket = self._guest = None
        if socket is not None and _connected(socket):
            with contextlib.suppress(TimeoutError, WebSocketDisconnect):
                async with asyncio.timeout(min(1.0, self._send_s)):
                    if tell:
                        await send(socket, replaced_event(self.session_id, self._sockets))
                    await hang_up(socket, 1008, "session_replaced")
        if guest is not None:
            guest.left.set()


class Seats:
    """The sessions another socket may go on with."""

    def __init__(self, grace_s: float = 30.0) -> None:
        """`grace_s`: how long a client whose socket was lost may take to come back; 0 for not at all."""
        self.grace_s = grace_s
        self._seats: dict[str, Seat] = {}
        self._by_key: dict[tuple[Owner, str], Seat] = {}
        self._stops: ShuttingDown | None = None

    @contextlib.contextmanager
    def kept(self, seat: Seat, owner: Owner, key: str | None) -> Iterator[None]:
        """Others may ask for `seat` while the body runs; afterwards nobody waits for it any more."""
        self._seats[seat.session_id] = seat
        if key is not None:
            self._by_key[owner, key] = seat
        if self._stops is not None:
            seat.end(self._stops)
        try:
            yield
        finally:
            del self._seats[seat.session_id]
            if key is not None and self._by_key.get((owner, key)) is seat:
                del self._by_key[owner, key]
            seat.dismiss()

    def with_token(self, session_id: str, token: str) -> Seat:
        """Raises `NoSession` for an unknown or ended session and for a wrong token."""
        seat = self._seats.get(session_id)
        if seat is None:
            raise _gone()
        if not same_token(token, seat.token):
            raise NoSession(
                "The resume token is not that of the session. A new session begins.",
                code="invalid_resume_token",
                param="resume_token",
            )
        return seat

    def with_key(self, owner: Owner, key: str) -> Seat | None:
        """The session for which this owner chose `key`."""
        return self._by_key.get((owner, key))

    def end_all(self, stops: ShuttingDown) -> None:
        """The server stops: all sessions end, also those that are about to begin."""
        self._stops = stops
        for seat in self._seats.values():
            seat.end(stops)


def _gone() -> NoSession:
    return NoSession(
        "The session has ended, or nobody came back for it in time. A new session begins.",
        code="session_resume_expired",
        param="session_id",
    )


def _connected(socket: WebSocket) -> bool:
    return all(state is WebSocketState.CONNECTED for state in (socket.client_state, socket.application_state))


async def _receive_in_bites(session: DuplexSession, pcm: bytes, event_id: str | None) -> None:
    for at in range(0, len(pcm), _BITE_BYTES):
        session.receive(AppendAudio(pcm[at : at + _BITE_BYTES]), event_id)
        await asyncio.sleep(0)
