"""What the model is made to do when its answer was broken off."""

from duplex.clock import ms_to_samples
from duplex.conversation_settings import AfterBreak, ConversationSettings
from duplex.effects import Interrupt
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, Mode
from duplex.hearing import Chunker
from duplex.messages import BreakReason

__all__ = ["interrupt"]


def interrupt(settings: ConversationSettings, chunks: Chunker, reason: BreakReason, speech_start: int) -> Interrupt:
    """Break the engine, and say to `chunks` what it hears next. `speech_start` is a sample of the microphone."""
    if settings.mode is Mode.SIMPLEX:
        return Interrupt(forget=False)
    spoken_over = reason is BreakReason.TURN_DETECTED
    if settings.after_break is AfterBreak.RESET:
        if spoken_over:
            chunks.seek(speech_start - ms_to_samples(settings.prefix_padding_ms, ENGINE_INPUT_RATE_HZ))
        return Interrupt(forget=True)
    # Asked for silence, the model keeps it until it is spoken to; interrupted by speech, until that has ended.
    chunks.hold(int(settings.listen_limit_s * ENGINE_INPUT_RATE_HZ) if spoken_over else None)
    return Interrupt(forget=False)
