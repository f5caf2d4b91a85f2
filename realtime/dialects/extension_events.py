"""What OpenAI's protocol has no words for: events for clients that asked for extensions."""

from duplex.engine.base import Mode
from duplex.errors import InvalidEvent
from duplex.messages import ResponseHeld, ResponseReleased
from realtime.dialects.base import SessionFacts
from realtime.dialects.lifecycle import Event

__all__ = ["cleared_event", "held_event", "model_info", "resumed_too_late"]


def model_info(facts: SessionFacts, mode: Mode) -> Event:
    """What the engine is, and what of a session it does not heed."""
    return {
        "type": "session.model_info",
        "engine": facts.engine_kind,
        "stand_in": facts.stand_in,
        "conversation": str(mode),
        "ignored": ["instructions", "tools", "speed", "max_output_tokens", "transcription"],
    }


def cleared_event(response_id: str, heard_ms: int, heard_text: str) -> Event:
    """Drop what is queued of the response."""
    heard = {"audio_end_ms": heard_ms, "transcript": heard_text}
    return {"type": "output_audio_buffer.cleared", "response_id": response_id, **heard}


def held_event(message: ResponseHeld | ResponseReleased, response_id: str) -> Event:
    """Stop playing and keep what is there, or go on."""
    if isinstance(message, ResponseReleased):
        return {"type": "output_audio_buffer.resumed", "response_id": response_id}
    return {"type": "output_audio_buffer.ducked", "response_id": response_id, "gain": 0.0}


def resumed_too_late() -> InvalidEvent:
    """A connection that has a session cannot go on with another one."""
    return InvalidEvent(
        "This connection has a session already: session.resume is the first event on a new connection "
        "opened with resume=1.",
        code="invalid_session_resume",
    )
