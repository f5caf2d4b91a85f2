"""Which protocol, from nothing but how a client connects."""

import json

import pytest

from duplex.conversation_settings import ConversationSettings
from duplex.errors import (
    EngineBusy,
    EngineExited,
    EngineNotReady,
    InvalidEvent,
    NotAuthorised,
    OmniDuplexError,
    ShuttingDown,
)
from realtime.dialects.base import SessionFacts
from realtime.dialects.choice import LIVE_PATH, REALTIME_PATH, choose_protocol, make_dialect, refusal_code
from realtime.dialects.live import LiveDialect
from realtime.dialects.minicpmo import MiniCPMODialect
from realtime.dialects.openai import OpenAIDialect
from realtime.options import Protocol, parse_options

BETA = {"openai-beta": "realtime=v1"}
NO_HEADERS: dict[str, str] = {}


@pytest.mark.parametrize(
    ("path", "query", "headers", "subprotocols", "protocol"),
    [
        (REALTIME_PATH, {}, NO_HEADERS, [], Protocol.OPENAI),
        (REALTIME_PATH, {"model": "m", "audio": "binary"}, NO_HEADERS, ["realtime"], Protocol.OPENAI),
        (REALTIME_PATH, {}, {"openai-beta": "assistants=v2"}, [], Protocol.OPENAI),
        (REALTIME_PATH, {}, BETA, [], Protocol.OPENAI_BETA),
        (REALTIME_PATH, {}, {"openai-beta": "assistants=v2, realtime=v1"}, [], Protocol.OPENAI_BETA),
        (REALTIME_PATH, {}, NO_HEADERS, ["realtime", "openai-beta.realtime-v1"], Protocol.OPENAI_BETA),
        (REALTIME_PATH, {"mode": "audio"}, NO_HEADERS, [], Protocol.MINICPMO),
        (REALTIME_PATH, {"mode": "chess"}, NO_HEADERS, [], Protocol.MINICPMO),
        (REALTIME_PATH, {"mode": "video"}, BETA, [], Protocol.MINICPMO),
        (LIVE_PATH, {}, NO_HEADERS, [], Protocol.LIVE),
        (LIVE_PATH, {"mode": "audio"}, BETA, ["realtime"], Protocol.LIVE),
    ],
)
def test_the_protocol(
    path: str, query: dict[str, str], headers: dict[str, str], subprotocols: list[str], protocol: Protocol
) -> None:
    assert choose_protocol(path, query, headers, subprotocols) is protocol


@pytest.mark.parametrize(
    ("protocol", "dialect"),
    [
        (Protocol.OPENAI, OpenAIDialect),
        (Protocol.OPENAI_BETA, OpenAIDialect),
        (Protocol.MINICPMO, MiniCPMODialect),
        (Protocol.LIVE, LiveDialect),
    ],
)
def test_the_dialect(protocol: Protocol, dialect: type) -> None:
    facts = SessionFacts("abc", "m", "parrot", stand_in=True)
    options = parse_options({"mode": "video"}, ConversationSettings(), protocol)
    assert type(make_dialect(protocol, facts, options, expires_at=1)) is dialect


@pytest.mark.parametrize(
    ("protocol", "key"), [(Protocol.OPENAI, "audio"), (Protocol.OPENAI_BETA, "input_audio_format")]
)
def test_the_words(protocol: Protocol, key: str) -> None:
    facts = SessionFacts("abc", "m", "parrot", stand_in=True)
    (greeting,) = make_dialect(protocol, facts, parse_options({}, ConversationSettings()), expires_at=1).greet()
    assert key in json.loads(greeting)["session"]


@pytest.mark.parametrize(
    ("error", "code", "demo_code"),
    [
        (EngineBusy("b"), "server_busy", "worker_busy"),
        (EngineNotReady("n"), "server_busy", "service_unavailable"),
        (ShuttingDown("s"), "server_busy", "service_unavailable"),
        (EngineExited("e"), "engine_lost", "inference_failed"),
        (NotAuthorised("k", code="invalid_api_key"), "invalid_api_key", "invalid_api_key"),
        (InvalidEvent("i", param="mode"), "invalid_value", "invalid_value"),
    ],
)
def test_the_last_error_in_each_protocols_words(error: OmniDuplexError, code: str, demo_code: str) -> None:
    for protocol in (Protocol.OPENAI, Protocol.OPENAI_BETA, Protocol.LIVE):
        assert refusal_code(protocol, error) == code
    assert refusal_code(Protocol.MINICPMO, error) == demo_code
