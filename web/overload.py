"""Is the event loop so late that those who talk would hear it, if somebody else came?

    lag       how much later than asked for the loop has woken somebody
    begins    when of the last fifty looks, five seconds of them, more than one in ten was later than 100 ms
    ends      when no more than that were later than 50 ms

A client plays 250 ms ahead (`lead_ms`), so nobody has heard a gap by then. One long pause alone refuses nobody.
"""

import math
from collections import deque

from duplex.errors import Overloaded

__all__ = ["BEGINS_S", "ENDS_S", "LOOK_EVERY_S", "Overload"]

LOOK_EVERY_S = 0.1
_LOOKS = 50
_SHARE = 0.9
BEGINS_S = 0.1
"""Lag beyond which new calls are refused."""
ENDS_S = 0.05
"""Lag down to which they still are."""


class Overload:
    """Lags in, a decision out. New calls are refused while it `is_on`; those that run are left alone."""

    def __init__(self) -> None:
        self._lags_s: deque[float] = deque(maxlen=_LOOKS)
        self.is_on = False

    @property
    def lag_s(self) -> float:
        """What nine of ten of the last looks did not exceed, in seconds; 0 before there are enough of them."""
        if len(self._lags_s) < _LOOKS:
            return 0.0
        return sorted(self._lags_s)[math.ceil(_SHARE * _LOOKS) - 1]

    def saw(self, lag_s: float) -> None:
        """The loop was so late, in seconds; once each `LOOK_EVERY_S`, or less often when it is."""
        self._lags_s.append(max(0.0, lag_s))
        self.is_on = self.lag_s > (ENDS_S if self.is_on else BEGINS_S)

    def refusal(self) -> Overloaded | None:
        """Why a new call is refused now; None when it is not."""
        if not self.is_on:
            return None
        return Overloaded(
            f"The server is overloaded: it answers {1000 * self.lag_s:.0f} ms late. Try again later.",
            retry_after_s=_LOOKS * LOOK_EVERY_S,
        )
