"""How a duplex caller calls: does it wait for the end of one stream before it sends the next second?

The model speaks one second a step and wants to hear one second before each. A caller that sends every second whatever
happens gives it that beat. One that waits for the end of the stream sends nothing while the model speaks: for it the
server keeps the beat, with silence, until the turn is over.
"""

import enum

__all__ = ["CallerRhythm"]

_NEXT_SECOND_S = 1.2
"""A caller that sends every second has sent by then."""

_GIVEN_UP_S = 10.0
"""A caller that used to send every second, and does not, has stopped."""


class _Habit(enum.Enum):
    UNKNOWN = enum.auto()
    WAITS = enum.auto()
    SENDS_ON = enum.auto()


class CallerRhythm:
    """What is known of one caller."""

    def __init__(self) -> None:
        self._habit = _Habit.UNKNOWN

    def receive(self, *, is_busy: bool) -> None:
        """A request came. `is_busy`: another one of the caller's was not answered yet."""
        if is_busy:
            self._habit = _Habit.SENDS_ON

    def receive_nothing(self) -> None:
        """`patience_s` passed without a request."""
        if self._habit is _Habit.UNKNOWN:
            self._habit = _Habit.WAITS

    @property
    def waits(self) -> bool:
        """Whether the server has to keep the beat."""
        return self._habit is _Habit.WAITS

    @property
    def patience_s(self) -> float:
        """How long to wait for the caller's next second while the model is in its turn."""
        return {_Habit.UNKNOWN: _NEXT_SECOND_S, _Habit.WAITS: 0.0, _Habit.SENDS_ON: _GIVEN_UP_S}[self._habit]
