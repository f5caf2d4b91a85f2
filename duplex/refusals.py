"""Requests that do not apply now, in OpenAI's words: its clients know the codes, and some read the texts."""

from duplex.errors import InvalidEvent

__all__ = ["already_answering", "nothing_to_cancel", "nothing_to_commit"]


def nothing_to_commit() -> InvalidEvent:
    """A commit of less than 100 ms."""
    return InvalidEvent(
        "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio.",
        code="input_audio_buffer_commit_empty",
    )


def already_answering() -> InvalidEvent:
    """A request for an answer while one is being made."""
    return InvalidEvent(
        "Conversation already has an active response in progress.",
        code="conversation_already_has_active_response",
    )


def nothing_to_cancel() -> InvalidEvent:
    """A request for silence while nothing is being said."""
    return InvalidEvent("Cancellation failed: no active response found", code="response_cancel_not_active")
