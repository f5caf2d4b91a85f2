import shutil
from collections.abc import Callable

import numpy as np
import pytest

from tests.duplex.engine.parrot.harness import Harness, pcm_of, silence, speech, then

QUESTION = then(speech(0.3), silence(0.7))
OVER = {"content": "", "stop": True, "is_listen": False, "end_of_turn": True}
LISTEN = {"content": "", "stop": False, "is_listen": True, "end_of_turn": True}


@pytest.fixture
def talking(parrot: Harness) -> Harness:
    """A duplex context whose answers last 4 s: groups of 26, 26, 26 and 22 tokens."""
    parrot.init(duplex=True)
    parrot.fault(answer_s=4)
    return parrot


def bins(parrot: Harness) -> dict[int, int]:
    """How many tokens every token file holds."""
    found = (parrot.root / "tts_wav").glob("audio_tokens_chunk_*.bin")
    return {int(path.stem.rpartition("_")[2]): path.stat().st_size // 4 for path in found}


def settle_speak(parrot: Harness, samples: object) -> None:
    """One spoken step, to the last WAV of it."""
    assert not parrot.step(samples).listens
    parrot.until_quiet()


def test_listening_leaves_no_file(talking: Harness) -> None:
    for samples in (silence(1), speech(1)):
        assert talking.step(samples).events == [LISTEN, "[DONE]"]
    talking.until_quiet()
    assert talking.wavs() == {}
    assert list((talking.root / "llm_debug").iterdir()) == []
    assert sorted(path.name for path in talking.root.iterdir()) == ["heard.wav", "llm_debug", "tts_txt", "tts_wav"]


def test_a_turn(talking: Harness) -> None:
    texts = []
    for samples in (QUESTION, silence(1), silence(1), silence(1)):
        answer = talking.step(samples)
        assert answer.events[1:] == [OVER, "[DONE]"]
        texts.append(answer.text)
        talking.until_quiet()
    assert talking.step(silence(1)).events == [LISTEN, "[DONE]"]
    assert bins(talking) == {0: 26, 1: 26, 2: 26, 3: 22}
    # 103 tokens with the silent prefix: three windows of 25, and a tail of 28.
    assert {number: len(wav) for number, wav in talking.wavs().items()} == {
        0: 40_364,
        1: 48_044,
        2: 48_044,
        3: 44 + 2 * (8 + 2 * 28) * 480,
    }
    assert talking.flag() == "3\n"
    assert talking.sound_tokens() == 103
    lines = (talking.root / "llm_debug" / "llm_text.txt").read_text().splitlines()
    assert lines == [text.strip() for text in texts]
    assert not (talking.root / "round_000").exists()


def test_numbers_run_on_over_turns_and_the_flag_is_written_again(talking: Harness) -> None:
    talking.fault(answer_s=1.5)
    for _ in range(2):
        settle_speak(talking, QUESTION)
        settle_speak(talking, silence(1))
        assert talking.step(silence(1)).listens
    talking.until_flag(text="3\n")
    assert sorted(talking.wavs()) == [0, 1, 2, 3]
    assert bins(talking) == {0: 26, 1: 12, 2: 26, 3: 12}


def test_an_open_turn_keeps_its_tail(talking: Harness) -> None:
    settle_speak(talking, QUESTION)
    settle_speak(talking, silence(1))
    assert sorted(talking.wavs()) == [0, 1]
    assert talking.flag() is None
    assert talking.state()["leftover_tokens"] == 3 + 52 - 50
    assert talking.state()["in_turn"] is True


def test_trap_1_the_broken_answer_goes_on(talking: Harness) -> None:
    settle_speak(talking, QUESTION)
    talking.post("break")
    assert talking.step(silence(1)).text == " here is part 1 of 3,"
    assert not talking.octx.break_event


def test_trap_1_made_to_listen_it_answers_the_new_words(talking: Harness) -> None:
    settle_speak(talking, QUESTION)
    talking.post("break")
    talking.prefill(speech(1))
    talking.prefill(then(speech(0.5), silence(0.5)))
    assert talking.decode().text == "I heard 1.5 s of speech:"


def long_answer(parrot: Harness) -> None:
    """Three spoken seconds of an answer to five of a 300 Hz voice: tone without a gap from 0.4 s on."""
    parrot.fault(answer_s=None)
    for _ in range(5):
        parrot.prefill(speech(1))
    for samples in (QUESTION, silence(1), silence(1)):
        settle_speak(parrot, samples)


def test_trap_2_a_stale_head_opens_the_next_answer(talking: Harness) -> None:
    """The vocoder sleeps when the flag goes up: its buffer stays, numbering runs on."""
    long_answer(talking)
    assert talking.sound_tokens() == 75 - 4
    talking.post("break")
    assert talking.octx.break_event
    assert talking.state()["leftover_tokens"] == 3 + 78 - 75
    talking.prefill(speech(1, hz=1000))
    talking.prefill(silence(1))
    assert talking.decode().text.startswith("I heard 1.0 s")
    talking.until_quiet()
    assert sorted(talking.wavs()) == [0, 1, 2, 3]
    head = pcm_of(talking.wavs()[3])
    # Four tokens that the vocoder held back, then the six of its buffer, all of them the broken answer's.
    stale = (4 + 6) * 960
    for at in range(0, stale, 960):
        assert strongest_hz(head[at : at + 960]) == pytest.approx(300, abs=30)
    # The earcon of the new answer begins right behind them.
    assert strongest_hz(head[stale : stale + 3120]) == pytest.approx(659, abs=30)


def test_trap_2_an_awake_vocoder_restarts_at_wav_0(talking: Harness) -> None:
    long_answer(talking)
    talking.fault(slow_t2w=41)
    t2w = talking.hold(41)
    assert not talking.step(silence(1)).listens
    t2w.reached()
    talking.post("break")
    t2w.release()
    talking.until(lambda: not talking.octx.break_event and talking.octx.quiet)
    assert talking.state()["leftover_tokens"] == 3
    before = talking.wavs()
    assert sorted(before) == [0, 1, 2, 3]
    talking.prefill(speech(1, hz=1000))
    talking.prefill(silence(1))
    talking.decode()
    talking.until_quiet()
    assert sorted(talking.wavs()) == [0, 1, 2, 3]
    assert talking.wavs()[0] != before[0]
    # A restart empties the token buffer; what the vocoder held back stays: four tokens, then three of silence.
    head = pcm_of(talking.wavs()[0])
    assert strongest_hz(head[:3840]) == pytest.approx(300, abs=30)
    assert not head[3840 : 3840 + 2880].any()
    assert strongest_hz(head[6720 : 6720 + 3120]) == pytest.approx(659, abs=30)


def test_a_vanished_directory_loses_sound_silently(talking: Harness) -> None:
    talking.log.wait_for("TTS thread started")
    shutil.rmtree(talking.root / "tts_wav")
    settle_speak(talking, QUESTION)
    settle_speak(talking, silence(1))
    assert not (talking.root / "tts_wav").exists()
    (talking.root / "tts_wav").mkdir()
    settle_speak(talking, silence(1))
    assert sorted(talking.wavs()) == [0]


def strongest_hz(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * 24_000 / len(samples)


def test_update_session_config_ends_the_turn(talking: Harness) -> None:
    settle_speak(talking, QUESTION)
    talking.post("break")
    talking.post("update_session_config", {"voice_audio": "voice.wav"})
    assert talking.step(silence(1)).events == [LISTEN, "[DONE]"]
    assert talking.step(QUESTION).text == "I heard 0.3 s of speech:"


def test_a_break_is_gone_at_the_next_decode(talking: Harness) -> None:
    talking.post("break")
    assert talking.step(silence(1)).listens
    assert not talking.octx.break_event
    settle_speak(talking, QUESTION)


def test_simplex_after_duplex_needs_a_new_context(started: Callable[..., Harness]) -> None:
    parrot = started()
    parrot.init(duplex=True)
    settle_speak(parrot, QUESTION)
    parrot.init(duplex=False)
    parrot.round(0)
    parrot.until_flag("round_000", "1\n")
