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
        self.trim.start(self.ledger.stale_samples)

    def settle(self, mode: Mode) -> None:
        """After a break: what may still be in the buffer is cut from the next answer."""
        if mode is Mode.SIMPLEX:
            # A new round empties the buffer.
            self.ledger.end_turn()
        elif self.ledger.drop_what_is_due():
            self.spool.restart()
        self.ledger.mark()
        self.trim.start(self.ledger.stale_samples)
