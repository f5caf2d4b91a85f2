"""What a client of each dialect sends is what the server understands, and the other way round."""

import json

import numpy as np
import pytest

from bench.encoding import DIALECTS, begun, say
from bench.errors import BenchError
from bench.relay import words_for
from bench.spoken import begin, silence, understood
from duplex.conversation_settings import ConversationSettings
from duplex.messages import AppendAudio
from realtime.dialects.base import Paced, SessionFacts
from realtime.dialects.choice import make_dialect
from realtime.options import parse_options

PCM = np.full(2400, 7, "<i2").tobytes()


@pytest.mark.parametrize("name", DIALECTS)
def test_a_second_of_silence_arrives_as_one(name: str) -> None:
    protocol, query = DIALECTS[name]
    query = {**query, "input_rate": "16000"}
    facts = SessionFacts("0123456789abcdef", "minicpm-o-4.5", "parrot", stand_in=True)
    dialect = make_dialect(protocol, facts, parse_options(query, ConversationSettings(), protocol), expires_at=0)
    for message in begin(name):
        dialect.decode(message)
    (request,) = dialect.decode(silence(name, 1.0))
    assert isinstance(request, AppendAudio)
    assert request.pcm == bytes(2 * dialect.settings.input_rate_hz)


@pytest.mark.parametrize("name", DIALECTS)
def test_the_relay_and_ours_are_heard_alike(name: str) -> None:
    dialect = begun(name)
    ours = say(dialect, dialect if isinstance(dialect, Paced) else None, PCM, 0.1)
    words = "openai" if name.startswith("openai") else name
    relayed = [message.get("bytes") or message["text"] for message in words_for(words, PCM)]
    for messages in (ours, relayed):
        assert {understood(message).value for message in messages} - {0} == {7}


def test_silence_has_no_value_and_an_error_is_no_result() -> None:
    assert (understood(bytes(4)).value, understood('{"type":"response.listen"}').value) == (0, 0)
    with pytest.raises(BenchError, match="too loud"):
        understood(json.dumps({"type": "error", "error": {"message": "too loud"}}))


@pytest.mark.parametrize(
    "event", [{"type": "response.done"}, {"type": "x.audio.delta", "audio": "", "end_of_turn": True}]
)
def test_the_end_of_an_answer_is_known(event: dict[str, object]) -> None:
    assert understood(json.dumps(event)).is_over
