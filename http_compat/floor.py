"""Which stream the engine's words and sound go to, and when that stream ends.

In simplex a stream is one answer. In duplex streams overlap, because callers open one a second: sound goes to the
newest, so that nothing is sent twice and nothing lost, and the older one ends, its caller having called again already.
"""

from collections.abc import Callable

from duplex.engine.base import EngineAudio, Mode
from http_compat.narration import Narration
from http_compat.reply import Reply

__all__ = ["Floor", "OnWav"]

OnWav = Callable[[EngineAudio, float], None]
"""Told of each WAV that goes to a duplex stream, and of its length in seconds."""


class Floor:
    """The streams of one session and the turn of its model."""

    def __init__(self, mode: Mode, on_wav: OnWav | None = None, narration: Narration | None = None) -> None:
        """`narration`: of the session, when it has begun on another engine."""
        self._mode = mode
        self._on_wav = on_wav if mode is Mode.DUPLEX else None
        self._narration = narration or Narration()
        self.reply: Reply | None = None
        """The newest stream; it may be over."""
        self.turn_is_open = False
        """Whether the model has begun something that has not ended."""
        self.listens = False
        """Whether the model's last step was to listen."""

    @property
    def is_taken(self) -> bool:
        """Whether a stream is open."""
        return self.reply is not None and not self.reply.is_over

    def new_reply(self, *, keep_open: bool) -> Reply:
        """A stream that has not got the floor yet."""
        if self._mode is Mode.SIMPLEX:
            return Reply(self._mode, Narration())
        return Reply(self._mode, self._narration, keep_open=keep_open)

    def give(self, reply: Reply) -> None:
        """From now on this is the newest stream."""
        if self.reply is not None:
            self.reply.finish(listens=not self.turn_is_open)
        self.reply = reply

    def start_step(self) -> None:
        """The model is asked what it thinks. In simplex that opens its turn."""
        self.listens = False
        self.turn_is_open = self.turn_is_open or self._mode is Mode.SIMPLEX

    def say(self, text: str) -> None:
        """Words of the model."""
        self.turn_is_open = True
        if self.reply is not None:
            self.reply.narration.say(text)

    def speak(self, sound: EngineAudio) -> None:
        """Sound of the model."""
        self.turn_is_open = True
        if self.reply is None or self.reply.is_over:
            return
        seconds = self.reply.speak(sound.pcm)
        if self._on_wav is not None:
            self._on_wav(sound, seconds)

    def listen(self) -> None:
        """The model chose to listen."""
        self.listens = True
        self.pass_over()

    def pass_over(self) -> None:
        """The model said nothing in this step. What it said in earlier ones may still be on its way."""
        if self.is_taken and self.reply is not None and not (self.turn_is_open or self.reply.keep_open):
            self.reply.note_listening()
            self.reply.finish()

    def end_turn(self) -> None:
        """The model has said all it had to say, and all of it was delivered."""
        self.turn_is_open = False
        if self.reply is None:
            return
        # A stream that is kept open goes on: words of this turn must not go with the sound of the next.
        self.reply.say_rest()
        if self.listens:
            self.reply.note_listening()
        if not self.reply.keep_open:
            self.reply.finish()

    def break_off(self) -> None:
        """End the stream with the event of a break, and forget what was not said."""
        if self.reply is not None:
            self.reply.break_off()
        self._narration.rest()

    def drained(self) -> None:
        """Nothing of a broken answer can come any more."""
        self.turn_is_open = False
