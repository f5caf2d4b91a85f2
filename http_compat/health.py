"""Can calls be served? The one honest answer for both ports.

The word "healthy" stands only in the answer that says so: scripts look for its letters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from duplex.engine.host import EngineState, EngineStatus

__all__ = ["Health", "judge"]

_SERVING = frozenset({EngineState.READY, EngineState.LEASED, EngineState.FINISHING})
_WORDS = {
    EngineState.STARTING: "loading",
    EngineState.RESTARTING: "restarting",
    EngineState.FAILED: "failed",
    EngineState.STOPPED: "stopping",
}


@dataclass(frozen=True, slots=True)
class Health:
    """What a health check is told."""

    status: str
    """`healthy`, `loading`, `restarting`, `failed` or `stopping`."""
    message: str

    @property
    def is_serving(self) -> bool:
        """Whether a call can be had, now or when the one that runs has ended."""
        return self.status == "healthy"

    @property
    def code(self) -> int:
        """The HTTP status."""
        return 200 if self.is_serving else 503

    def body(self) -> dict[str, object]:
        """The fields that every health answer has."""
        return {"status": self.status, "message": self.message, "backend": "cpp"}

    def without_reason(self) -> "Health":
        """The same for those who may not call: an engine's reasons may hold paths of this machine."""
        return self if self.is_serving else _out_of_service(self.status, self.status)


def judge(engines: Sequence[EngineStatus], *, saves_call: bool = False) -> Health:
    """Healthy as long as one engine works, else the state and the reason of the one that is nearest to it.

    Healthy too while one is started again for a call that lost its own, if the caller `saves_call`: a backend ends the
    calls of a node whose health fails once.
    """
    if any(engine.state in _SERVING for engine in engines):
        return Health("healthy", "服务正常 (C++ backend)")
    if saves_call and any(engine.state is EngineState.RESTARTING for engine in engines):
        return Health("healthy", "服务正在重启中，当前会话将继续")
    for state, word in _WORDS.items():
        for engine in engines:
            if engine.state is state:
                return _out_of_service(word, _reason(engine.detail) or word)
    return _out_of_service("stopping", "no engine")


def _out_of_service(status: str, reason: str) -> Health:
    return Health(status, f"服务不可用: {reason}")


def _reason(detail: str) -> str:
    """Its first line. An engine's own output may be part of it, and may have the word that scripts look for."""
    return re.sub("healthy", "ready", detail.partition("\n")[0], flags=re.IGNORECASE)
