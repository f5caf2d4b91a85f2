"""May a new session take the engine of one that exists? Decided from facts, without looking at anything.

HTTP has no calls: a session is opened, and may be forgotten without a word. So the question is whether a call still
runs. It does not when its caller said so. A host that opens a session again, with every answer of the first one
delivered, is taken for the same caller: scripts do that, and never say that they have finished. Anybody else waits
until the session was idle for half a minute.
"""

import math
from dataclasses import dataclass

from http_compat.policy import SessionPolicy

__all__ = ["IDLE_S", "CallFacts", "must_wait_s"]

IDLE_S = 30.0
"""After so long without a request or a sound a session may be replaced by anybody."""

_BEAT_S = 2.0
"""A duplex call rests between any two seconds of it."""

_ASK_AGAIN_S = 5.0
"""When nobody can say how long a call will last."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of the session that exists, as the one who asks sees it."""

    is_same_host: bool
    """The request comes from the host that opened it."""
    is_stopped: bool
    """The caller said that the call is over."""
    has_a_beat: bool
    """Its caller sends every second, whether anything is said or not: duplex, once something was heard."""
    rests: bool
    """All that was said was answered and delivered."""
    idle_s: float
    """For how long nothing happened; 0 while something does."""


def must_wait_s(policy: SessionPolicy, facts: CallFacts) -> float | None:
    """None when the session may be replaced now, else when to ask again, in seconds."""
    if facts.is_stopped or policy is SessionPolicy.TAKEOVER:
        return None
    if policy is SessionPolicy.REJECT:
        return _ASK_AGAIN_S
    patience_s = IDLE_S
    if facts.is_same_host and facts.rests:
        patience_s = _BEAT_S if facts.has_a_beat else 0.0
    if facts.idle_s >= patience_s:
        return None
    return _ASK_AGAIN_S if facts.idle_s == 0.0 else float(max(1, math.ceil(patience_s - facts.idle_s)))
