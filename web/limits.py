"""Settings of what one address, one key and one silent client may take."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["LimitSettings"]

_Bound = Annotated[int, Field(ge=0)]


class LimitSettings(BaseModel):
    """0 means no bound. This machine itself is not limited by its address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sessions_per_address: _Bound = 8
    """WebSockets at the same time, those that wait for an engine included."""
    sessions_per_key: _Bound = 64
    connects_per_minute: _Bound = 120
    """For each address, and for each key: WebSockets, inits over HTTP, short-lived keys, and wrong keys."""
    mib_per_minute: _Bound = 512
    """Sent by each address, and with each key."""
    idle_s: Annotated[float, Field(ge=0)] = 3600.0
    """After so long without a message a WebSocket is closed."""
