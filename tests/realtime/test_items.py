"""What comes in base64."""

import pytest

from duplex.errors import InvalidAudio
from realtime.items import decode_base64


def test_audio_is_standard_base64() -> None:
    assert decode_base64("AQID", "audio") == b"\1\2\3"
    for bad in ("AQI", "AQ=D", "A QID", "-_-_", "\u00e9", "AQ==AQ=="):
        with pytest.raises(InvalidAudio) as refused:
            decode_base64(bad, "session.audio")
        assert refused.value.param == "session.audio"
