"""What a second caller gets while a call runs."""

import enum

__all__ = ["SessionPolicy"]


class SessionPolicy(enum.StrEnum):
    """Who gives way when every engine is taken. A call that was stopped gives way always."""

    IDLE = "idle"
    """The call that runs, once nothing happened in it for half a minute."""
    REJECT = "reject"
    """The new caller."""
    TAKEOVER = "takeover"
    """The call that runs, at once."""
