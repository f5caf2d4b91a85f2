"""The answer as the client plays it, and a microphone without it."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplex.conversation import Conversation
from duplex.echo import SILENT_DBFS
from duplex.echo_canceller import FarSound, canceller_maker
from duplex.effects import Speak
from duplex.engine.base import EngineAudio, EngineText
from duplex.hearing import Cleaner, Microphone
from duplex.messages import AppendAudio
from duplex.vad import VadGate, VadSettings
from tests.duplex.talk import LoudIsSpeech, duplex, heard

FRAME = 320


def ramp(samples: int, start: int = 1) -> bytes:
    """Samples that carry their own number."""
    return np.arange(start, start + samples, dtype=np.int16).tobytes()


class Subtract:
    """A canceller for a room without delay: it takes away exactly what played."""

    def clean(self, near: bytes, far: bytes) -> bytes:
        assert len(near) == len(far)
        return (np.frombuffer(near, np.int16) - np.frombuffer(far, np.int16)).tobytes()


def test_what_plays_is_read_without_a_gap_although_the_estimate_jitters() -> None:
    far = FarSound()
    far.begin(16_000)
    far.sent(ramp(8000))
    positions = [FRAME * n / 16_000 + jitter for n, jitter in enumerate([0.0, 0.01, -0.015, 0.03, -0.02, 0.0], 1)]
    assert b"".join(far.read(FRAME, position) for position in positions) == ramp(6 * FRAME)


def test_a_report_that_disagrees_moves_it() -> None:
    far = FarSound()
    far.begin(16_000)
    far.sent(ramp(16_000))
    far.read(FRAME, 0.02)
    assert far.read(FRAME, 0.5) == ramp(FRAME, start=8000 - FRAME + 1)
    assert far.read(FRAME, 0.1) == ramp(FRAME, start=1600 - FRAME + 1)


def test_a_client_that_stands_plays_silence_and_goes_on_where_it_was() -> None:
    far = FarSound()
    far.begin(16_000)
    far.sent(ramp(1000))
    assert far.read(FRAME, 0.0) == bytes(2 * FRAME)
    assert far.read(FRAME, 0.02) == ramp(FRAME)
    assert far.read(FRAME, 0.02) == bytes(2 * FRAME)
    assert far.read(FRAME, 0.04) == ramp(FRAME, start=FRAME + 1)
    far.begin(16_000)
    assert far.read(FRAME, 0.02) == bytes(2 * FRAME), "nothing of the next response was sent"


def test_a_long_answer_is_not_kept() -> None:
    far = FarSound()
    far.begin(24_000)
    for second in range(1, 60):
        far.sent(bytes(48_000))
        for part in range(50):
            far.read(FRAME, second - 1 + part / 50)
    assert len(far._sound) < 3 * 32_000


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 3000), st.floats(0, 3)), max_size=40))
def test_what_is_read_is_as_long_as_asked_for(steps: list[tuple[int, int, float]]) -> None:
    far = FarSound()
    far.begin(16_000)
    for sent, samples, position_s in steps:
        far.sent(ramp(sent))
        assert len(far.read(samples, position_s)) == 2 * samples


@pytest.mark.parametrize("for_engine", [True, False])
def test_both_paths_of_a_microphone_are_cleaned_or_one(for_engine: bool) -> None:
    cleaner = Cleaner(Subtract(), for_engine=for_engine)
    microphone = Microphone(16_000, VadGate(LoudIsSpeech(), VadSettings()), 160_000, cleaner)
    cleaner.far_sound.begin(16_000)
    cleaner.far_sound.sent(ramp(16_000, start=1000))
    echo = ramp(FRAME * 10, start=1000)
    events = []
    for number in range(10):
        frame = echo[number * 640 : (number + 1) * 640]
        events += microphone.push(frame, SILENT_DBFS, (number + 1) * FRAME / 16_000)
    assert events == [], "nothing but the answer was in it"
    assert microphone.recording.read(0, 1 << 30) == (bytes(len(echo)) if for_engine else echo)


def test_positions_of_speech_stay_valid_with_a_cleaner() -> None:
    cleaner = Cleaner(Subtract(), for_engine=True)
    microphone = Microphone(24_000, VadGate(LoudIsSpeech(), VadSettings()), 160_000, cleaner)
    loud = np.full(24_000, 3000, np.int16).tobytes()
    sound = bytes(48_000) + loud
    events = [event for at in range(0, len(sound), 700) for event in microphone.push(sound[at : at + 700])]
    kept = np.frombuffer(microphone.recording.read(0, 1 << 30), np.int16)
    assert events[0].at == pytest.approx(int(np.argmax(kept > 1000)), abs=FRAME)
    microphone.set_rate(16_000)
    microphone.push(loud)
    assert microphone.recording.end == pytest.approx(32_000 + 24_000, abs=2 * FRAME)


def test_a_conversation_hears_its_user_and_not_itself() -> None:
    """The client plays as it is sent, and its microphone hears nothing but that."""
    now = 100.0
    conversation = Conversation(duplex(output_rate_hz=16_000), LoudIsSpeech(), now, Subtract())
    effects = conversation.receive(AppendAudio(bytes(32_000)), now)
    conversation.receive_engine(EngineText("Well, "), now)
    voice = (4000 * np.sin(np.arange(72_000) / 20)).astype(np.int16).tobytes()
    played = b""
    for effect in conversation.receive_engine(EngineAudio(voice), now):
        assert isinstance(effect, Speak)
        conversation.receive_sent(effect.generation, effect.message, now)
        played += getattr(effect.message, "pcm", b"")
    for number in range(len(played) // 640):
        now += 0.02
        effects += conversation.receive(AppendAudio(played[number * 640 : (number + 1) * 640]), now)
    words = np.frombuffer(heard(effects), np.int16)
    assert len(words) > 16_000
    assert np.abs(words.astype(int)).max() < 2500, "a jittering estimate costs some samples at the edges of frames"


def test_the_canceller_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with pytest.raises(ImportError):
        canceller_maker()


def test_the_real_canceller_is_asked_for_one_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    class Aec3:
        def __init__(self, *, sample_rate: int) -> None:
            assert sample_rate == 16_000

        def process(self, near: "np.typing.NDArray[np.int16]", far: "np.typing.NDArray[np.int16]") -> object:
            return near - far

    monkeypatch.setitem(sys.modules, "pywebrtc_audio", SimpleNamespace(EchoCanceller=Aec3))
    canceller = canceller_maker()()
    assert canceller.clean(ramp(FRAME), ramp(FRAME)) == bytes(2 * FRAME)
