"""How long an adapter waits for its engine."""

from dataclasses import dataclass

__all__ = ["EngineLimits"]


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """How long each kind of waiting may last."""

    stall_s: float = 45.0
    """No SSE byte and no new file for this long while a decode runs or audio is due: the engine hangs. It cannot be
    woken, only killed."""
    quiet_s: float = 2.0
    """No new file for this long after the text: the audio is over although no flag says so. Up to three WAVs follow a
    break within about a second (llama.cpp-omni 0788f99, measured)."""
    first_sound_s: float = 15.0
    """The same before the first sound of an answer whose text has come: a busy CPU was seen to take more than `quiet_s`
    for the only window of a short answer, which was lost. Then the engine is taken for mute, see `mute.py`."""
    init_timeout_s: float = 180.0
    """Limit of omni_init, which loads every model file."""
    request_timeout_s: float = 60.0
    """Limit of every other request that is not a decode."""
    settle_ms: int = 10
    """Pause between the last prefill's answer and the decode: sooner, the decode may not wait for the prefill."""
    empty_decode_s: float = 3.0
    """A simplex decode after a break that ends without a word within this time was killed by a break that stuck. The
    engine then needs less than 0.1 s on a GPU, but a busy CPU spends more on the question alone."""
    text_hold_s: float = 5.0
    """How long text waits for the file that mends a cut character."""
    kept_audio_s: float = 120.0
    """How much of a simplex round's input is kept, to say it again when a break stuck."""
    kept_duplex_s: float = 30.0
    """How much of what a duplex model has not answered it hears again in a new context."""
