"""What is known of one vocoder, for as long as its models stay loaded."""

from dataclasses import dataclass, field

from duplex.engine.base import Mode
from duplex.engine.pace import RenderPace
from duplex.engine.spool import Spool
from duplex.engine.stale import HeadTrim, VocoderLedger

__all__ = ["Vocoder"]


@dataclass(slots=True)
class Vocoder:
    """Its buffer, its pace, what is to be cut from its next sound, and where it is in duplex's one directory."""

    ledger: VocoderLedger = field(default_factory=VocoderLedger)
    pace: RenderPace = field(default_factory=RenderPace)
    trim: HeadTrim = field(default_factory=HeadTrim)
    spool: Spool = field(default_factory=Spool)

    def begin(self, mode: Mode) -> None:
        """A conversation begins: a simplex round empties the buffer, in duplex what the last one left is cut."""
        if mode is Mode.SIMPLEX:
            self.ledger.end_turn()
        self.cut_here()

    def begin_break(self, mode: Mode) -> None:
        """A break is about to be sent."""
        if mode is Mode.DUPLEX:
            self.ledger.begin_break()

    def end_break(self) -> None:
        """Duplex, before a decode: nothing older than what it says can come or be dropped any more."""
        self.ledger.end_break()
        self.spool.forget_older()

    def settle(self, mode: Mode) -> None:
        """After a break: what may still be in the buffer is cut from the next answer."""
        if mode is Mode.SIMPLEX:
            # A new round empties the buffer.
            self.ledger.end_turn()
        else:
            self.ledger.settle()
            if self.ledger.counts_anew:
                self.spool.restart()
        self.cut_here()

    def end_turn(self) -> None:
        """The engine has flushed a turn; also after an unbroken one the next opens with a replay of its last 160 ms."""
        self.ledger.end_turn()
        self.cut_here()

    def cut_here(self) -> None:
        """What the vocoder has is not to be heard."""
        self.ledger.cut_here()
        self.trim.start()
