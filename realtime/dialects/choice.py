"""Which protocol a connection speaks, from nothing but how it connects."""

from collections.abc import Mapping, Sequence
from typing import assert_never

from duplex.errors import EngineBusy, EngineError, EngineNotReady, OmniDuplexError, Overloaded, QueueFull, ShuttingDown
from realtime.dialects.base import Dialect, SessionFacts
from realtime.dialects.live import LiveDialect
from realtime.dialects.minicpmo import MiniCPMODialect
from realtime.dialects.openai import OpenAIDialect
from realtime.dialects.openai_beta import Names
from realtime.options import ConnectionOptions, Protocol

__all__ = ["LIVE_PATH", "REALTIME_PATH", "choose_protocol", "make_dialect", "refusal_code"]

REALTIME_PATH, LIVE_PATH = "/v1/realtime", "/v1/live/sessions"

_BETA_HEADER = ("openai-beta", "realtime=v1")
_BETA_SUBPROTOCOL = "openai-beta.realtime-v1"

_DEMO_CODES: dict[type[OmniDuplexError], str] = {
    EngineBusy: "worker_busy",
    QueueFull: "queue_full",
    EngineNotReady: "service_unavailable",
    Overloaded: "service_unavailable",
    ShuttingDown: "service_unavailable",
    EngineError: "inference_failed",
}


def choose_protocol(
    path: str, query: Mapping[str, str], headers: Mapping[str, str], subprotocols: Sequence[str] = ()
) -> Protocol:
    """`headers` has lower-case names. Whatever is not one of the others is OpenAI's protocol."""
    if path == LIVE_PATH:
        return Protocol.LIVE
    if "mode" in query:
        return Protocol.MINICPMO
    name, value = _BETA_HEADER
    if value in headers.get(name, "") or _BETA_SUBPROTOCOL in subprotocols:
        return Protocol.OPENAI_BETA
    return Protocol.OPENAI


def make_dialect(protocol: Protocol, facts: SessionFacts, options: ConnectionOptions, *, expires_at: int) -> Dialect:
    """`expires_at` is the Unix time that is told to clients who want one."""
    match protocol:
        case Protocol.LIVE:
            return LiveDialect(facts, options.settings, expires_at=expires_at, marks_speech=options.marks_speech)
        case Protocol.MINICPMO:
            return MiniCPMODialect(facts, options.settings, mode=options.demo_mode)
        case Protocol.OPENAI | Protocol.OPENAI_BETA:
            names = Names.BETA if protocol is Protocol.OPENAI_BETA else Names.GA
            return OpenAIDialect(
                facts,
                options.settings,
                extensions=options.extensions,
                binary=options.binary,
                names=names,
                wish=options.session,
            )
    assert_never(protocol)


def refusal_code(protocol: Protocol, error: OmniDuplexError) -> str:
    """The code of the `error` event that precedes the end of a connection."""
    if protocol is Protocol.MINICPMO:
        for kind, code in _DEMO_CODES.items():
            if isinstance(error, kind):
                return code
    engine_lost = "engine_lost" if isinstance(error, EngineError) else "server_busy"
    return str(getattr(error, "code", engine_lost))
