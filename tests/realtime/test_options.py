"""The URL as a device writes it."""

from dataclasses import replace

import pytest

from duplex.barge_in import BargeIn, evidence_for
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import Mode
from duplex.errors import ClientError
from realtime.options import Protocol, parse_options

DEFAULTS = ConversationSettings()


def test_nothing_asked_for_is_the_openai_dialect() -> None:
    options = parse_options({}, DEFAULTS)
    assert (options.binary, options.extensions, options.settings) == (False, False, DEFAULTS)


def test_everything_asked_for() -> None:
    query = {
        "audio": "binary",
        "input_rate": "16000",
        "output_rate": "48000",
        "conversation": "simplex",
        "barge_in": "calm",
        "duplex": "1",
        "echo": "cancelled",
        "model": "m",
        "utm_source": "ignored",
    }
    options = parse_options(query, DEFAULTS)
    assert options.binary
    assert options.settings.barge_in is BargeIn.CALM
    assert options.settings.vad.barge_in == evidence_for(BargeIn.CALM)
    assert options.settings.client_cancels_echo
    assert options.settings.client_holds, "a client with extensions understands a hold"
    assert options.extensions
    assert options.model == "m"
    assert options.settings.mode is Mode.SIMPLEX
    assert (options.settings.input_rate_hz, options.settings.output_rate_hz) == (16_000, 48_000)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"input_rate": "1"}, "input_rate"),
        ({"input_rate": "-16000"}, "input_rate"),
        ({"output_rate": "many"}, "output_rate"),
        ({"output_rate": "999999999999999999999"}, "output_rate"),
        ({"audio": "mp3"}, "audio"),
        ({"conversation": "chess"}, "conversation"),
        ({"barge_in": "rude"}, "barge_in"),
        ({"mode": "chess"}, "mode"),
        ({"input_transcript": "words"}, "input_transcript"),
        ({"echo": "loud"}, "echo"),
        ({"ext": "yes please"}, "ext"),
    ],
)
def test_what_cannot_be_is_refused_by_name(query: dict[str, str], param: str) -> None:
    with pytest.raises(ClientError) as refused:
        parse_options(query, DEFAULTS)
    assert refused.value.param == param


@pytest.mark.parametrize("protocol", [Protocol.LIVE, Protocol.MINICPMO])
def test_protocols_of_duplex_models_have_duplex_conversations_unless_asked(protocol: Protocol) -> None:
    simplex = replace(DEFAULTS, mode=Mode.SIMPLEX)
    assert parse_options({}, simplex, protocol).settings.mode is Mode.DUPLEX
    assert parse_options({"conversation": "simplex"}, simplex, protocol).settings.mode is Mode.SIMPLEX
    assert parse_options({}, simplex).settings.mode is Mode.SIMPLEX


def test_the_demo_has_rates_of_its_own_and_does_not_hold() -> None:
    query = {"mode": "video", "input_rate": "48000", "output_rate": "8000", "ext": "1"}
    options = parse_options(query, DEFAULTS, Protocol.MINICPMO)
    assert (options.settings.input_rate_hz, options.settings.output_rate_hz) == (16_000, 24_000)
    assert not options.settings.client_holds
    assert options.demo_mode == "video"


@pytest.mark.parametrize("protocol", list(Protocol))
def test_only_openais_protocol_goes_on_after_a_lost_connection(protocol: Protocol) -> None:
    goes_on = protocol in {Protocol.OPENAI, Protocol.OPENAI_BETA}
    options = parse_options({"session": "kitchen", "resume": "1"}, DEFAULTS, protocol)
    assert (options.session_key, options.resume) == (("kitchen", True) if goes_on else (None, False))


def test_the_live_stream_holds_by_itself() -> None:
    options = parse_options({"input_transcript": "marks"}, DEFAULTS, Protocol.LIVE)
    assert options.settings.client_holds
    assert options.marks_speech
    assert not parse_options({}, DEFAULTS, Protocol.LIVE).marks_speech
