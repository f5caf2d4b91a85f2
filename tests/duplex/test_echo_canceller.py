"""A microphone that hears the answer, with a canceller that takes it out."""

import sys
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from bench.rooms import as_pcm, echo_of, level_db, reduction_db
from bench.speech import RATE_HZ, levelled, synthetic_speech
from duplex.conversation import Conversation
from duplex.detectors import level_dbfs
from duplex.echo_canceller import EchoCanceller, canceller_maker
from duplex.effects import Speak
from duplex.engine.base import EngineAudio, EngineText
from duplex.evidence import NO_SOUND, SILENT_DBFS, Evidence
from duplex.far_end import FarEnd
from duplex.hearing import Ear, Microphone
from duplex.messages import AppendAudio
from duplex.vad import GateEvent, GateMoment, VadGate, VadSettings
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


@pytest.mark.parametrize("for_engine", [True, False])
def test_both_paths_of_a_microphone_are_cleaned_or_one(for_engine: bool) -> None:
    far_end = FarEnd(16_000)
    ear = Ear(far_end, Subtract(), for_engine=for_engine)
    microphone = Microphone(16_000, VadGate(LoudIsSpeech(), VadSettings()), 160_000, ear)
    microphone.push(bytes(2 * FRAME), 0.02)
    far_end.sent(ramp(16_000, start=1000), 0.02)
    echo = ramp(FRAME * 10, start=1000)
    events: list[GateEvent] = []
    for number in range(10):
        events += microphone.push(echo[number * 640 : (number + 1) * 640], 0.04 + 0.02 * number)
    assert events == [], "nothing but the answer was in it"
    recorded = microphone.recording.read(FRAME, 1 << 30)
    assert recorded == (bytes(len(echo)) if for_engine else echo)


def test_without_a_canceller_the_model_hears_the_microphone_whatever_it_is_set_to() -> None:
    microphone = Microphone(
        16_000, VadGate(LoudIsSpeech(), VadSettings()), 160_000, Ear(FarEnd(16_000), for_engine=True)
    )
    microphone.push(ramp(FRAME), 0.02)
    assert microphone.recording.read(0, 1 << 30) == ramp(FRAME)


def test_the_detector_is_told_what_of_the_answer_plays_in_each_frame() -> None:
    levels: list[float] = []

    class Noting:
        def judge(self, frame: bytes, far: bytes = NO_SOUND) -> Evidence:
            levels.append(level_dbfs(far))
            return Evidence(0.0)

    far_end = FarEnd(16_000)
    microphone = Microphone(16_000, VadGate(Noting(), VadSettings()), 160_000, Ear(far_end))
    list(microphone.push(bytes(4 * FRAME), 0.04))
    far_end.sent(np.full(2 * FRAME, 3277, np.int16).tobytes(), 0.04)
    list(microphone.push(bytes(8 * FRAME), 0.12))
    assert levels == pytest.approx([SILENT_DBFS, SILENT_DBFS, -20.0, -20.0, SILENT_DBFS, SILENT_DBFS], abs=0.1)


def test_positions_of_speech_stay_valid_with_a_canceller() -> None:
    ear = Ear(FarEnd(24_000), Subtract(), for_engine=True)
    microphone = Microphone(24_000, VadGate(LoudIsSpeech(), VadSettings()), 160_000, ear)
    loud = np.full(24_000, 3000, np.int16).tobytes()
    sound = bytes(48_000) + loud
    pieces = [(sound[at : at + 700], (at + 700) / 48_000) for at in range(0, len(sound), 700)]
    events = [event for piece, now in pieces for event in microphone.push(piece, now)]
    kept = np.frombuffer(microphone.recording.read(0, 1 << 30), np.int16)
    onset = next(event for event in events if event.moment is GateMoment.ONSET)
    assert onset.at == pytest.approx(int(np.argmax(kept > 1000)), abs=FRAME)
    microphone.set_rate(16_000)
    microphone.push(loud, 3.5)
    assert microphone.recording.end == pytest.approx(32_000 + 24_000, abs=2 * FRAME)


def test_a_conversation_hears_its_user_and_not_itself() -> None:
    """The client plays as it is sent, and its microphone hears nothing but that."""
    now = 100.0
    conversation = Conversation(duplex(output_rate_hz=RATE_HZ), LoudIsSpeech(), now, Subtract())
    effects = conversation.receive(AppendAudio(bytes(2 * RATE_HZ)), now)
    conversation.receive_engine(EngineText("Well, "), now)
    voice = (4000 * np.sin(np.arange(72_000) / 40)).astype(np.int16).tobytes()
    played = b""
    for effect in conversation.receive_engine(EngineAudio(voice), now):
        assert isinstance(effect, Speak)
        conversation.receive_sent(effect.generation, effect.message, now)
        played += getattr(effect.message, "pcm", b"")
    for at in range(0, len(played) - 2 * FRAME + 1, 2 * FRAME):
        now += 0.02
        effects += conversation.receive(AppendAudio(played[at : at + 2 * FRAME]), now)
    words = np.frombuffer(heard(effects), np.int16)
    assert len(words) > 16_000
    assert np.abs(words.astype(int)).max() < 400, "the two paths of a resampler differ a little"


def test_the_canceller_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)
    with pytest.raises(ImportError):
        canceller_maker()


def test_the_canceller_is_asked_for_one_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    class Aec3:
        def __init__(self, *, sample_rate: int) -> None:
            assert sample_rate == 16_000

        def process(self, near: npt.NDArray[np.int16], far: npt.NDArray[np.int16]) -> object:
            return near - far

    monkeypatch.setitem(sys.modules, "pywebrtc_audio", SimpleNamespace(EchoCanceller=Aec3))
    assert canceller_maker()().clean(ramp(FRAME), ramp(FRAME)) == bytes(2 * FRAME)


# --- the real one


def cleaned(
    canceller: EchoCanceller, near: npt.NDArray[np.float64], far: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    pieces = [slice(at, at + 2 * FRAME) for at in range(0, 2 * len(near) - 2 * FRAME + 1, 2 * FRAME)]
    heard, played = as_pcm(near), as_pcm(far)
    pcm = b"".join(canceller.clean(heard[piece], played[piece]) for piece in pieces)
    return np.asarray(np.frombuffer(pcm, "<i2") / 32767)


@pytest.mark.parametrize("gain_db", [-6.0, -20.0])
@pytest.mark.parametrize("delay_ms", [20, 80, 300])
def test_the_echo_of_an_answer_is_taken_out(delay_ms: int, gain_db: float) -> None:
    answer = levelled(synthetic_speech(6.0, pitch_hz=120.0, seed=1))
    echo = echo_of(answer, gain_db=gain_db, seed=delay_ms, delay_ms=delay_ms)
    left = cleaned(canceller_maker()(), echo, answer)
    late = slice(3 * RATE_HZ, len(left))
    assert reduction_db(echo[late], left[late]) > 15


def test_a_voice_over_the_echo_stays() -> None:
    answer = levelled(synthetic_speech(8.0, pitch_hz=140.0, seed=2))
    echo = echo_of(answer, gain_db=-10.0, seed=3, delay_ms=100)
    said = levelled(synthetic_speech(1.5, pitch_hz=210.0, seed=9))
    at = 6 * RATE_HZ
    near = echo.copy()
    near[at : at + len(said)] += said
    left = cleaned(canceller_maker()(), near, answer)
    assert level_db(left[at : at + len(said)]) > level_db(said) - 8
    assert level_db(left[at - RATE_HZ : at]) < level_db(echo[at - RATE_HZ : at]) - 15


def test_a_voice_without_an_answer_passes_unharmed() -> None:
    said = levelled(synthetic_speech(2.0, pitch_hz=140.0, seed=4))
    left = cleaned(canceller_maker()(), said, np.zeros_like(said))
    assert level_db(left) == pytest.approx(level_db(said), abs=1.0)
