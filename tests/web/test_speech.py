"""The fake microphone must speak clearly enough for the strictest detector, else the page's tests test nothing."""

import wave
from pathlib import Path

import numpy as np
import pytest
import webrtcvad

from tests.web.speech import MICROPHONE_RATE_HZ, Samples, silence, speech, write_microphone

FRAME_SAMPLES = MICROPHONE_RATE_HZ // 50


def voiced_share(samples: Samples) -> float:
    """The share of 20 ms frames that webrtcvad's strictest mode calls speech."""
    detector = webrtcvad.Vad(3)
    pcm = np.rint(samples * 32767).astype("<i2")
    frames = [pcm[i : i + FRAME_SAMPLES].tobytes() for i in range(0, pcm.size - FRAME_SAMPLES + 1, FRAME_SAMPLES)]
    voiced = [bool(detector.is_speech(frame, MICROPHONE_RATE_HZ)) for frame in frames]
    return sum(voiced) / len(voiced)


@pytest.mark.parametrize("pitch_hz", [100.0, 128.0, 180.0])
def test_the_utterance_is_speech_to_the_strictest_detector(pitch_hz: float) -> None:
    assert voiced_share(speech(4, pitch_hz=pitch_hz)) > 0.95


def test_silence_is_not() -> None:
    assert voiced_share(silence(1)) == 0


def test_the_microphone_file_holds_the_parts_in_order(tmp_path: Path) -> None:
    path = write_microphone(tmp_path / "microphone.wav", silence(0.5), speech(1), silence(0.25))
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (MICROPHONE_RATE_HZ, 1, 2)
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert pcm.size == round(1.75 * MICROPHONE_RATE_HZ)
    assert not pcm[: MICROPHONE_RATE_HZ // 2].any()
    assert pcm[MICROPHONE_RATE_HZ // 2 : -MICROPHONE_RATE_HZ // 4].any()
    assert not pcm[-MICROPHONE_RATE_HZ // 4 :].any()
    assert np.abs(pcm).max() == pytest.approx(0.5 * 32767, abs=20)
