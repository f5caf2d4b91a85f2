"""Reads one decode to its end, whatever becomes of what it says."""

import contextlib
from dataclasses import dataclass

from duplex.clock import Clock
from duplex.engine.llama_http import LlamaHttp
from duplex.engine.llama_wire import DecodeListen, DecodeText, decode_body
from duplex.engine.turn_pump import TurnPump

__all__ = ["Decoded", "read_decode"]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decode came to."""

    fragments: int
    """Pieces of text."""
    is_answer: bool
    """The engine has said anything at all, if only that it is over."""
    duration_s: float

    @property
    def is_mute(self) -> bool:
        """The engine said that it is over, and nothing else."""
        return self.is_answer and not self.fragments


async def read_decode(http: LlamaHttp, pump: TurnPump, clock: Clock, *, round_idx: int | None) -> Decoded:
    """Tell `pump` what a decode says. `round_idx` is None in duplex. Raises EngineError as `LlamaHttp.decode` does."""
    started_at = clock.now()
    fragments, is_answer, listens = 0, False, False
    async with contextlib.aclosing(http.decode(decode_body(round_idx=round_idx), on_bytes=pump.receive_byte)) as events:
        async for event in events:
            is_answer = True
            match event:
                case DecodeText(text):
                    fragments += 1
                    pump.receive_fragment(text)
                case DecodeListen():
                    listens = True
    pump.end_decode(listens=listens, is_answer=is_answer)
    return Decoded(fragments, is_answer, clock.now() - started_at)
