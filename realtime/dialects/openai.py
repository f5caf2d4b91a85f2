"""OpenAI's Realtime protocol: JSON events, base64 audio; with `binary`, raw messages of sound instead of base64.

One machine in the words of the general availability, which are put into the older ones for clients that use those.
A strict client never sees an event its own protocol does not know: extensions are sent only where they were asked for.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any, assert_never

from duplex.audio import SAMPLE_BYTES
from duplex.clock import samples_to_s
from duplex.conversation_settings import ConversationSettings
from duplex.errors import ClientError, InvalidEvent
from duplex.messages import (
    AcknowledgePlayback,
    AppendAudio,
    Aside,
    BreakReason,
    CancelResponse,
    ClearInput,
    ClearOutput,
    CommitInput,
    Committed,
    Configure,
    Configured,
    CreateResponse,
    InputCleared,
    InputTimedOut,
    ModelListens,
    Refused,
    Request,
    ResponseAudio,
    ResponseCut,
    ResponseEnded,
    ResponseHeld,
    ResponseReleased,
    ResponseStarted,
    ResponseText,
    ServerMessage,
    SpeechStarted,
    SpeechStopped,
    Warned,
)
from realtime.dialects.base import Frame, SessionFacts
from realtime.dialects.conversation_items import Heard
from realtime.dialects.extension_events import cleared_event, held_event, model_info, resumed_too_late
from realtime.dialects.item_events import ItemEvents, error_event
from realtime.dialects.json_event import read_object, write_event, write_sound
from realtime.dialects.lifecycle import Event, ResponseLife
from realtime.dialects.openai_beta import Names, beta_event, beta_param, ga_session, is_flat
from realtime.dialects.session_object import SessionObject, demands_tools
from realtime.events import (
    AppendEvent,
    CancelEvent,
    ClearEvent,
    ClientEvent,
    CloseEvent,
    CommitEvent,
    CreateEvent,
    CreateItemEvent,
    DeleteItemEvent,
    EventAckEvent,
    HeartbeatEvent,
    OutputClearEvent,
    PlaybackAckEvent,
    ResponseWish,
    ResumeEvent,
    RetrieveItemEvent,
    TruncateItemEvent,
    UpdateEvent,
    parse,
)
from realtime.items import decode_base64, perceived, pictures, speaks_only_text
from realtime.validation import unsupported

__all__ = ["OpenAIDialect"]

_Notice = Refused | Warned | Configured | ModelListens | Aside
_UserSide = SpeechStarted | SpeechStopped | InputTimedOut | Committed | InputCleared
_Told = (
    _Notice | _UserSide | ResponseStarted | ResponseText | ResponseEnded | ResponseCut | ResponseHeld | ResponseReleased
)
"""Every message but sound."""

_REMEMBERED_RESPONSES = 8
"""Playback reports come late by less than a response or two."""


class OpenAIDialect:
    """One connection's protocol state. `binary` implies `extensions`.

    A client that connected without naming its words chooses the older ones by a flat first `session.update`.
    """

    def __init__(
        self,
        facts: SessionFacts,
        settings: ConversationSettings,
        *,
        extensions: bool = False,
        binary: bool = False,
        names: Names = Names.GA,
        wish: Mapping[str, Any] | None = None,
    ) -> None:
        self._facts = facts
        self._extensions = extensions or binary
        self._binary = binary
        self._names = names
        self._names_are_chosen = names is Names.BETA
        session = SessionObject.begin(facts.session_id, facts.model, settings)
        self._session = session.updated(wish) if wish else session
        self._events_sent = 0
        self._new_item_id = partial(next, (f"item_{facts.session_id}_{number}" for number in count(1)))
        self._items = ItemEvents(self._new_item_id)
        self._user_item_id: str | None = None
        self._speech_item_id: str | None = None
        self._life: ResponseLife | None = None
        self._sound_sent_s = 0.0
        self._last_response_id = self._last_item_id = ""
        self._generations: dict[str, int] = {}
        self.event_id: str | None = None
        self.acknowledged: int | None = None
        self.closing = False

    @property
    def settings(self) -> ConversationSettings:
        """See `Dialect.settings`."""
        return self._session.settings

    # --- client to server

    def decode(self, frame: Frame) -> list[Request]:
        """See `Dialect.decode`."""
        self.event_id = self.acknowledged = None
        if isinstance(frame, bytes):
            return self._decode_pcm(frame)
        event = read_object(frame)
        if isinstance(event.get("event_id"), str):
            self.event_id = event["event_id"]
        try:
            return self._requests(parse(event))
        except ClientError as error:
            if self._names is Names.GA or error.param is None:
                raise
            param = beta_param(error.param)
            raise type(error)(str(error).replace(error.param, param), code=error.code, param=param) from None

    def _decode_pcm(self, frame: bytes) -> list[Request]:
        if not self._binary:
            raise InvalidEvent(
                "Binary messages are only understood on a connection opened with audio=binary; "
                "send input_audio_buffer.append with base64 audio instead.",
                code="invalid_type",
            )
        return [AppendAudio(self._session.input.decode(frame))]

    def _requests(self, event: ClientEvent) -> list[Request]:
        match event:
            case AppendEvent(audio=audio, video_frames=frames):
                return [*pictures(frames or []), AppendAudio(self._decode_sound(audio, "audio"))]
            case UpdateEvent(session=update):
                return [self._configure(update)]
            case CommitEvent():
                return [CommitInput()]
            case ClearEvent():
                return [ClearInput()]
            case CreateEvent(response=wish):
                return [*self._prepare(wish or ResponseWish()), CreateResponse(event.metadata)]
            case CancelEvent(response_id=response_id):
                return [self._cancel(response_id)]
            case CreateItemEvent() | RetrieveItemEvent() | TruncateItemEvent() | DeleteItemEvent():
                return self._ask_about_item(event)
            case _:
                return self._extension(event)

    def _ask_about_item(
        self, event: CreateItemEvent | RetrieveItemEvent | TruncateItemEvent | DeleteItemEvent
    ) -> list[Request]:
        perceptible: list[Request] = []
        if isinstance(event, CreateItemEvent):
            perceptible = perceived(event.item, "item", self._decode_sound, self._session.input.rate_hz)
        asked = self._items.ask(event, self.event_id)
        if perceptible:
            self._items.heard()
        return [asked, *perceptible]

    def _prepare(self, wish: ResponseWish) -> list[Request]:
        """What the model is to hear and see before it answers. Raises `InvalidEvent` for an answer it cannot give."""
        if demands_tools(wish.model_dump()) or self._session.demands_tools:
            raise unsupported("This engine cannot call tools, and 'tool_choice' leaves it no other answer.", "tools")
        perceptible = [
            request
            for number, item in enumerate(wish.items)
            for request in perceived(item, f"response.input[{number}]", self._decode_sound, self._session.input.rate_hz)
        ]
        written = any(map(speaks_only_text, wish.items)) or (self._items.awaits_text and not wish.items)
        if written and not perceptible:
            param = "response.input" if wish.items else "item.content"
            raise unsupported("This engine hears and sees, but cannot read: say it, or leave it to the user.", param)
        return perceptible

    def _cancel(self, response_id: str | None) -> Request:
        if response_id is not None and response_id != self._last_response_id:
            raise InvalidEvent(
                f"Cancellation failed: '{response_id}' is not the active response.",
                code="response_cancel_not_active",
                param="response_id",
            )
        return CancelResponse()

    def _extension(
        self,
        event: OutputClearEvent | PlaybackAckEvent | HeartbeatEvent | ResumeEvent | EventAckEvent | CloseEvent,
    ) -> list[Request]:
        match event:
            case OutputClearEvent():
                return [ClearOutput()]
            case PlaybackAckEvent(response_id=response_id, played_ms=played_ms):
                generation = self._generations.get(response_id)
                return [] if generation is None else [AcknowledgePlayback(generation, played_ms)]
            case EventAckEvent(server_event_seq=number):
                self.acknowledged = number
            case CloseEvent():
                self.closing = True
            case ResumeEvent():
                raise resumed_too_late()
        return []

    def _decode_sound(self, text: str, param: str) -> bytes:
        # Checked before any of it is used, however the message is cut up later.
        return self._session.input.decode(decode_base64(text, param), param)

    def _configure(self, update: dict[str, Any]) -> Request:
        chosen, self._names_are_chosen = self._names_are_chosen, True
        if not chosen and is_flat(update):
            self._names = Names.BETA
        if self._names is Names.BETA:
            update = ga_session(update)
        self._session = self._session.updated(update)
        return Configure(self._session.settings)

    # --- server to client

    def greet(self) -> list[Frame]:
        """`session.created`, and for those who asked for extensions what the engine is."""
        created: Event = {"type": "session.created", "session": self._session.shown}
        events = [created]
        if self._extensions:
            created["resume_token"] = self._facts.resume_token
            events.append(model_info(self._facts, self._session.settings.mode))
        return self._texts(events)

    def farewell(self, reason: str) -> list[Frame]:
        """`session.closed` for those who asked for extensions."""
        return self._texts([{"type": "session.closed", "reason": reason}] if self._extensions else [])

    def encode(self, message: ServerMessage) -> list[Frame]:
        """See `Dialect.encode`."""
        if isinstance(message, ResponseAudio):
            return self._audio(message.pcm)
        return self._texts(self._events(message))

    def _events(self, message: _Told) -> Iterable[Event]:
        match message:
            case ResponseStarted():
                return self._start(message)
            case ResponseText(text):
                return [self._life.say(text)] if self._life else []
            case ResponseEnded(latency_ms):
                return self._end(None, latency_ms)
            case ResponseCut(reason, heard_ms, latency_ms, heard_text):
                if self._life is None:
                    # All of it was sent, and what was not played yet is now dropped.
                    self._items.items.truncate(self._last_item_id, heard_ms)
                return [*self._cleared(heard_ms, heard_text), *self._end(reason, latency_ms, heard_text)]
            case ResponseHeld() | ResponseReleased():
                return self._held(message)
            case Refused() | Warned() | Configured() | ModelListens() | Aside():
                return self._notice(message)
            case _:
                return self._user_side(message)

    def _user_side(self, message: _UserSide) -> Iterator[Event]:
        match message:
            case SpeechStarted(at_ms):
                item_id = self._speech_item_id = self._user_item()
                yield {"type": "input_audio_buffer.speech_started", "audio_start_ms": at_ms, "item_id": item_id}
            case SpeechStopped(at_ms):
                # A commit in the middle of it has given what comes a new item.
                item_id, self._speech_item_id = self._speech_item_id or self._user_item(), None
                yield {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": at_ms, "item_id": item_id}
            case InputTimedOut(start_ms, end_ms):
                place = {"audio_start_ms": start_ms, "audio_end_ms": end_ms, "item_id": self._user_item()}
                yield {"type": "input_audio_buffer.timeout_triggered", **place}
            case Committed():
                item_id, self._user_item_id = self._user_item(), None
                yield from self._items.put_user_audio(item_id)
            case InputCleared():
                self._user_item_id = None
                yield {"type": "input_audio_buffer.cleared"}
            case _:
                assert_never(message)

    def _notice(self, message: _Notice) -> Iterator[Event]:
        match message:
            case Refused(code, text, param, event_id):
                yield error_event(code, text, param, event_id)
            case Aside(content):
                yield from self._items.answer(content)
            case Configured():
                yield {"type": "session.updated", "session": self._session.shown}
            case Warned(code, text) if self._extensions:
                yield {"type": "session.warning", "code": code, "message": text}
            case ModelListens() if self._extensions:
                yield {"type": "response.listen"}

    def _start(self, started: ResponseStarted) -> Iterator[Event]:
        response_id = f"resp_{self._facts.session_id}_{started.generation}"
        self._items.heard()
        life = ResponseLife(
            response_id=response_id,
            item_id=self._new_item_id(),
            previous_item_id=None,
            conversation_id=f"conv_{self._facts.session_id}",
            voice=self._session.voice,
            audio_format=self._session.output.described,
            metadata=started.metadata,
        )
        life.previous_item_id = self._items.items.put(life.item("in_progress"))
        self._life, self._sound_sent_s = life, 0.0
        self._last_response_id, self._last_item_id = response_id, life.item_id
        self._generations[response_id] = started.generation
        while len(self._generations) > _REMEMBERED_RESPONSES:
            del self._generations[next(iter(self._generations))]
        return life.open()

    def _audio(self, pcm: bytes) -> list[Frame]:
        if self._life is None:
            return []
        if self._binary:
            # It takes a number that it cannot carry, so that its client can say what it has received.
            self._events_sent += 1
            return [self._coded(pcm)]
        event = self._life.sound()
        if self._extensions:
            event["sample_rate_hz"] = self._session.output.rate_hz
        named = self._named(event)
        assert named is not None
        return [write_sound(named, "delta", self._coded(pcm))]

    def _coded(self, pcm: bytes) -> bytes:
        """Sound that leaves, as it is written on the wire."""
        self._sound_sent_s += samples_to_s(len(pcm) // SAMPLE_BYTES, self._session.output.rate_hz)
        return self._session.output.encode(pcm)

    def _cleared(self, heard_ms: int, heard_text: str) -> list[Event]:
        return [cleared_event(self._last_response_id, heard_ms, heard_text)] if self._extensions else []

    def _held(self, message: ResponseHeld | ResponseReleased) -> list[Event]:
        return [held_event(message, self._last_response_id)] if self._extensions else []

    def _end(
        self, cut: BreakReason | None, latency_ms: Mapping[str, int], heard_text: str | None = None
    ) -> Iterable[Event]:
        life, self._life = self._life, None
        if life is None:
            return []
        said = Heard(life.text, self._sound_sent_s, complete=cut is None)
        item = life.item("completed" if cut is None else "incomplete", life.text if heard_text is None else heard_text)
        return life.close(cut, latency_ms, self._items.items.finish(item, said))

    def _user_item(self) -> str:
        if self._user_item_id is None:
            self._user_item_id = self._new_item_id()
        return self._user_item_id

    def _texts(self, events: Iterable[Event]) -> list[Frame]:
        return [write_event(event) for event in map(self._named, events) if event is not None]

    def _named(self, said: Event) -> Event | None:
        """The event in the client's words and with its number, or None where there are no words for it."""
        event = said if self._names is Names.GA else beta_event(said)
        if event is None:
            return None
        # What has been said in one set of words cannot be followed by the other.
        self._names_are_chosen |= event["type"].startswith(("response.", "conversation."))
        self._events_sent += 1
        event["event_id"] = f"event_{self._facts.session_id}_{self._events_sent}"
        if self._extensions:
            event["server_event_seq"] = self._events_sent
        return event
