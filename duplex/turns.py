"""Who holds the floor. Everything that affects it stands in one table.

    LISTENING         nobody answers; the user may speak
    RESPONDING        the engine makes a response
    RESPONDING_HELD   the same, but nothing is said: somebody seems to speak over it
    DRAINING          the engine is done, the client still plays
    DRAINING_HELD     the same, but held
    BREAKING          the response was ended early: silent, until the engine is idle
    CLOSED            the session is over

A missing entry is a bug and raises `InvalidTransition`: a sequence that cannot happen must not be survived quietly.
"""

import enum

__all__ = ["InvalidTransition", "TurnAction", "TurnEvent", "TurnMachine", "TurnState"]


class TurnState(enum.Enum):
    """See the module's docstring."""

    LISTENING = enum.auto()
    RESPONDING = enum.auto()
    RESPONDING_HELD = enum.auto()
    DRAINING = enum.auto()
    DRAINING_HELD = enum.auto()
    BREAKING = enum.auto()
    CLOSED = enum.auto()


class TurnEvent(enum.Enum):
    """What can happen to the floor."""

    RESPONSE_STARTS = enum.auto()
    """The engine was asked for an answer (simplex), or began one by itself (duplex)."""
    RESPONSE_ENDS = enum.auto()
    """The engine delivered all of it."""
    PLAYED_OUT = enum.auto()
    """The client has played all of it."""
    HOLD = enum.auto()
    """Somebody seems to speak over it."""
    RELEASE = enum.auto()
    """It was no interruption."""
    BREAK = enum.auto()
    """The user interrupted it, or somebody asked for silence."""
    ENGINE_DRAINED = enum.auto()
    """Nothing of the broken response can arrive any more."""
    ENGINE_LOST = enum.auto()
    """The engine failed in the middle of it."""
    CLOSE = enum.auto()


class TurnAction(enum.Enum):
    """What the holder of the machine must do on a transition."""

    OPEN = enum.auto()
    """Number and announce a new response."""
    END = enum.auto()
    """Close the response behind its last audio."""
    HOLD = enum.auto()
    """Say no more of the response for now, and lose nothing of it."""
    RELEASE = enum.auto()
    """Go on with it where it stopped."""
    FLUSH = enum.auto()
    """Silence the response at once and close it early."""
    INTERRUPT = enum.auto()
    """Break the engine and let it drain."""


class InvalidTransition(Exception):
    """An event that the state it met has no entry for."""


_S, _E, _A = TurnState, TurnEvent, TurnAction

TABLE: dict[tuple[TurnState, TurnEvent], tuple[TurnState, tuple[TurnAction, ...]]] = {
    (_S.LISTENING, _E.RESPONSE_STARTS): (_S.RESPONDING, (_A.OPEN,)),
    (_S.LISTENING, _E.CLOSE): (_S.CLOSED, ()),
    (_S.RESPONDING, _E.RESPONSE_ENDS): (_S.DRAINING, (_A.END,)),
    (_S.RESPONDING, _E.HOLD): (_S.RESPONDING_HELD, (_A.HOLD,)),
    (_S.RESPONDING, _E.BREAK): (_S.BREAKING, (_A.FLUSH, _A.INTERRUPT)),
    (_S.RESPONDING, _E.ENGINE_LOST): (_S.LISTENING, (_A.FLUSH,)),
    (_S.RESPONDING, _E.CLOSE): (_S.CLOSED, (_A.FLUSH,)),
    (_S.RESPONDING_HELD, _E.RESPONSE_ENDS): (_S.DRAINING_HELD, (_A.END,)),
    (_S.RESPONDING_HELD, _E.RELEASE): (_S.RESPONDING, (_A.RELEASE,)),
    (_S.RESPONDING_HELD, _E.BREAK): (_S.BREAKING, (_A.FLUSH, _A.INTERRUPT)),
    (_S.RESPONDING_HELD, _E.ENGINE_LOST): (_S.LISTENING, (_A.FLUSH,)),
    (_S.RESPONDING_HELD, _E.CLOSE): (_S.CLOSED, (_A.FLUSH,)),
    # The next response may begin while the last is still being played: it queues behind it.
    (_S.DRAINING, _E.RESPONSE_STARTS): (_S.RESPONDING, (_A.OPEN,)),
    (_S.DRAINING, _E.PLAYED_OUT): (_S.LISTENING, ()),
    (_S.DRAINING, _E.HOLD): (_S.DRAINING_HELD, (_A.HOLD,)),
    # The engine has nothing left to break: only what is on its way to the speaker is dropped.
    (_S.DRAINING, _E.BREAK): (_S.LISTENING, (_A.FLUSH,)),
    (_S.DRAINING, _E.CLOSE): (_S.CLOSED, (_A.FLUSH,)),
    (_S.DRAINING_HELD, _E.RESPONSE_STARTS): (_S.RESPONDING_HELD, (_A.OPEN,)),
    # A client that cannot stop its loudspeaker plays on what it has; then there is nothing left to hold.
    (_S.DRAINING_HELD, _E.PLAYED_OUT): (_S.LISTENING, (_A.RELEASE,)),
    (_S.DRAINING_HELD, _E.RELEASE): (_S.DRAINING, (_A.RELEASE,)),
    (_S.DRAINING_HELD, _E.BREAK): (_S.LISTENING, (_A.FLUSH,)),
    (_S.DRAINING_HELD, _E.CLOSE): (_S.CLOSED, (_A.FLUSH,)),
    (_S.BREAKING, _E.ENGINE_DRAINED): (_S.LISTENING, ()),
    (_S.BREAKING, _E.CLOSE): (_S.CLOSED, ()),
}


class TurnMachine:
    """Holds the state; `apply` moves it and returns what to do."""

    def __init__(self) -> None:
        self.state = TurnState.LISTENING

    @property
    def audible(self) -> bool:
        """Is there, or will there be, something of a response to hear?"""
        return self.responding or self.draining

    @property
    def responding(self) -> bool:
        """Does the engine make a response, held or not?"""
        return self.state in {TurnState.RESPONDING, TurnState.RESPONDING_HELD}

    @property
    def draining(self) -> bool:
        """Is only the client busy with a response, held or not?"""
        return self.state in {TurnState.DRAINING, TurnState.DRAINING_HELD}

    @property
    def held(self) -> bool:
        """Is a response held?"""
        return self.state in {TurnState.RESPONDING_HELD, TurnState.DRAINING_HELD}

    def apply(self, event: TurnEvent) -> tuple[TurnAction, ...]:
        """Move to the next state. Raises `InvalidTransition` when the table has no entry."""
        try:
            self.state, actions = TABLE[self.state, event]
        except KeyError:
            raise InvalidTransition(f"{event.name} cannot happen while {self.state.name}") from None
        return actions
