import struct
from collections.abc import Callable

import numpy as np

from duplex.engine.parrot.options import Speeds
from tests.duplex.engine.parrot.harness import FAST, Harness, Hold, in_background, silence, speech, then


def test_a_round_on_disk(parrot: Harness) -> None:
    parrot.init()
    parrot.prefill(speech(1), cnt=0)
    answer = parrot.decode(round_idx=0)
    assert answer.text == "I heard 1.0 s of speech: there it was."
    assert answer.events[-2:] == [{"content": "", "stop": True, "is_listen": False, "end_of_turn": True}, "[DONE]"]
    parrot.until_flag("round_000", "1\n")
    root = parrot.root / "round_000"
    assert (root / "llm_debug" / "chunk_0" / "llm_text.txt").read_text() == answer.text
    assert (root / "tts_wav" / "wav_timing.txt").stat().st_size == 187
    tokens = (root / "tts_wav" / "audio_tokens_chunk_0.bin").read_bytes()
    # 0.26 s of earcon, 0.12 s of gap, 1.2 s of words with their margins cut at the file's start, 0.24 s of tail.
    count = len(tokens) // 4
    assert struct.unpack(f"<{count}i", tokens) == tuple(
        map(int, (root / "tts_wav" / "audio_tokens_chunk_0.txt").read_text().split(","))
    )
    assert len(parrot.wavs("round_000")[0]) == 40_364
    assert parrot.sound_tokens("round_000") == count + 3
    assert list((root / "tts_txt").iterdir()) == []
    # The next round's directory is made in advance, and holds nothing.
    assert sorted(path.name for path in (parrot.root / "round_001").iterdir()) == ["tts_wav"]
    assert list((parrot.root / "round_001" / "tts_wav").iterdir()) == []
    assert (root.stat().st_mode & 0o777) & 0o700 == 0o700


def test_the_users_words_come_back(parrot: Harness) -> None:
    parrot.init()
    for cnt, part in enumerate((silence(1), speech(1.2), then(speech(0.3), silence(0.5)))):
        parrot.prefill(part, cnt=cnt)
    assert parrot.decode(round_idx=0).text.startswith("I heard 1.5 s of speech:")
    parrot.until_flag("round_000")
    sound = parrot.sound("round_000")
    wanted = speech(1.2, rate_hz=24_000)[2400:12_000]
    best = np.max(np.correlate(sound, wanted, mode="valid"))
    assert best > 0.95 * np.dot(wanted, wanted)


def test_numbers_of_later_rounds(parrot: Harness) -> None:
    parrot.init()
    for number in range(3):
        parrot.round(number)
        parrot.until_flag(f"round_{number:03d}", f"{1000 * number + 1}\n")
        assert sorted(parrot.wavs(f"round_{number:03d}")) == [1000 * number, 1000 * number + 1]
    assert len(parrot.wavs("round_001")[1000]) == 48_044
    assert parrot.flag("round_000") == "1\n"


def test_a_given_round_number_counts(parrot: Harness) -> None:
    parrot.init()
    parrot.round(7)
    parrot.until_flag("round_007", "7001\n")
    parrot.prefill(speech(1), cnt=0)
    parrot.decode()
    parrot.until_flag("round_008", "8001\n")


def test_nothing_heard_is_a_short_answer(parrot: Harness) -> None:
    parrot.init()
    assert parrot.round(0, silence(1)).text == "I heard nothing."
    parrot.until_flag("round_000", "0\n")
    assert parrot.sound_tokens("round_000") == 13 + 3


def test_a_context_starts_anew_and_an_old_flag_stays(parrot: Harness) -> None:
    parrot.init()
    parrot.round(0)
    parrot.until_flag("round_000")
    parrot.init()
    assert parrot.flag("round_000") == "1\n"
    parrot.round(0)
    parrot.until_quiet()
    assert len(parrot.wavs("round_000")[0]) == 40_364


def test_the_first_cnt_0_is_eaten_without_a_voice(parrot: Harness) -> None:
    parrot.init(voice="")
    parrot.prefill(speech(1), cnt=0)
    assert parrot.decode(round_idx=0).text == "I heard nothing."
    assert parrot.state()["prefills"] == []


def test_update_session_config_eats_the_next_cnt_0_or_takes_a_voice(parrot: Harness) -> None:
    parrot.init()
    parrot.round(0)
    parrot.until_flag("round_000")
    parrot.post("update_session_config", {})
    assert parrot.round(0).text == "I heard nothing."
    parrot.until_quiet()
    parrot.post("update_session_config", {"voice_audio": "voice.wav"})
    assert parrot.state()["round_idx"] == 0
    assert parrot.round(0).text.startswith("I heard 1.0 s")


def test_without_a_prompt_the_second_decode_hangs(parrot: Harness) -> None:
    parrot.init(voice="")
    parrot.prefill(speech(1), cnt=1)
    assert parrot.decode().text == "I heard nothing."
    second = in_background(parrot.decode)
    parrot.until(lambda: parrot.parrot.engine.state()["counts"]["decode"] == 2)  # type: ignore[index]
    assert parrot.request("GET", "/health").status == 200
    assert parrot.octx.need_speak
    assert not parrot.body.prefill_done
    parrot.body.abandoned.set()
    assert second().events[-1] == "[DONE]"


def test_text_without_tts_leaves_no_files(parrot: Harness) -> None:
    parrot.init(use_tts=False)
    assert parrot.round(0).text.startswith("I heard 1.0 s")
    assert sorted(path.name for path in parrot.root.iterdir()) == ["heard.wav"]


def test_decode_waits_for_tts(started: Callable[..., Harness]) -> None:
    """TTS holds one waiting group: with three, decode ends while at most the last two are still to be said."""
    parrot = started("answer_s=6")
    parrot.init()
    assert len(parrot.round(0).events) == 3 + 2
    parrot.until_flag("round_000")
    assert len(list((parrot.root / "round_000" / "llm_debug").iterdir())) == 3


TTS_MS, T2W_MS = 43, 41


def two_groups(started: Callable[..., Harness]) -> tuple[Harness, Hold, Hold]:
    """The text of a 50 and a 30 token group is over; TTS stops at its 30th token, the vocoder in its first window."""
    parrot = started("answer_s=3.2", f"slow_tts={TTS_MS}", f"slow_t2w={T2W_MS}", speeds=Speeds(load_ms=0, tts_ms=1))
    parrot.init()
    tts, t2w = parrot.hold(TTS_MS, nth=30), parrot.hold(T2W_MS)
    parrot.round(0)
    tts.reached()
    t2w.reached()
    return parrot, tts, t2w


def test_a_break_that_tts_sees_first_ends_the_round(started: Callable[..., Harness]) -> None:
    parrot, tts, t2w = two_groups(started)
    parrot.post("break")
    tts.release()
    parrot.until(lambda: parrot.octx.simplex_round_idx == 1)
    t2w.release()
    parrot.until(lambda: not parrot.octx.break_event)
    parrot.until_quiet()
    assert sorted(parrot.wavs("round_000")) == [0]
    assert parrot.flag("round_000") is None
    assert parrot.octx.wav_turn_base == 1000
    assert parrot.octx.simplex_round_idx == 1
    assert parrot.round(1).text.startswith("I heard")
    parrot.until_flag("round_001", "1003\n")


def test_a_break_that_the_vocoder_sees_first_is_lost(started: Callable[..., Harness]) -> None:
    """R2: TTS speaks on, and numbers of the next thousand appear in the old directory."""
    parrot, tts, t2w = two_groups(started)
    parrot.post("break")
    t2w.release()
    parrot.until(lambda: not parrot.octx.break_event)
    tts.release()
    parrot.until_flag("round_000")
    assert sorted(parrot.wavs("round_000"))[:2] == [0, 1000]
    assert (parrot.flag("round_000") or "").startswith("100")


def test_a_break_between_the_groups_may_be_seen_by_nobody(started: Callable[..., Harness]) -> None:
    """R2: TTS obeys and waits, the vocoder sleeps and is not woken; the next decode finds the flag."""
    parrot, tts, t2w = two_groups(started)
    t2w.release()
    parrot.until(lambda: "t2w" not in parrot.octx.busy)
    parrot.post("break")
    tts.release()
    parrot.until(lambda: parrot.octx.simplex_round_idx == 1)
    assert parrot.decode(round_idx=1).text == ""
    assert parrot.octx.break_event


def test_an_idle_break_sticks_until_a_warm_cnt_0(parrot: Harness) -> None:
    parrot.init()
    parrot.round(0)
    parrot.until_flag("round_000")
    parrot.post("break")
    assert parrot.octx.break_event
    empty = parrot.decode(round_idx=1)
    assert [event for event in empty.events if event != "[DONE]"] == [
        {"content": "", "stop": True, "is_listen": False, "end_of_turn": True}
    ]
    assert parrot.octx.break_event
    assert parrot.round(1).text.startswith("I heard")
    parrot.until_flag("round_001", "1001\n")


def test_a_break_before_the_first_round_sticks_until_the_config_is_updated(parrot: Harness) -> None:
    parrot.init()
    parrot.post("break")
    assert parrot.round(0).text == ""
    assert parrot.round(0).text == ""
    parrot.post("update_session_config", {"voice_audio": "voice.wav"})
    assert parrot.round(0).text.startswith("I heard")
    parrot.until_flag("round_000")


def test_a_new_round_waits_for_the_last_ones_tokens(started: Callable[..., Harness]) -> None:
    """R7: cnt=0 waits with the mutex, then empties the queue: the finish mark of the last round is lost."""
    parrot = started(speeds=Speeds(load_ms=0, init_ms=0, evaluate_ms=0, tts_ms=1, previous_round_wait_s=0.05))
    parrot.init()
    parrot.round(0)
    parrot.until_flag("round_000")
    parrot.fault(slow_tts=TTS_MS, answer_s=3.2)
    tts = parrot.hold(TTS_MS)
    parrot.round(1)
    tts.reached()
    assert len(parrot.octx.tts_queue) == 1
    assert not parrot.octx.speak_done
    parrot.prefill(speech(1), cnt=0)
    assert not parrot.octx.tts_queue
    tts.release()
    parrot.until_quiet()
    assert parrot.flag("round_001") is None


def test_a_new_round_goes_on_as_soon_as_the_last_ones_tokens_are_made(started: Callable[..., Harness]) -> None:
    parrot = started(speeds=Speeds(load_ms=0, init_ms=0, evaluate_ms=0, tts_ms=1, previous_round_wait_s=60))
    parrot.init()
    parrot.round(0)
    parrot.until_flag("round_000")
    parrot.fault(slow_tts=TTS_MS)
    tts = parrot.hold(TTS_MS)
    parrot.round(1)
    tts.reached()
    prefill = in_background(lambda: parrot.prefill(speech(1), cnt=0))
    parrot.log.wait_for("handle_stream_prefill", 3)
    tts.release()
    assert prefill().status == 200
    parrot.until_flag("round_001", "1001\n")


def test_n_predict_ends_a_decode_without_a_finish(parrot: Harness) -> None:
    parrot.init(n_predict=6)
    parrot.fault(answer_s=6)
    answer = parrot.round(0)
    assert answer.text == "I heard 1.0 s of speech:"
    assert answer.events[-2]["stop"] is True
    parrot.until_quiet()
    assert parrot.wavs("round_000")
    assert parrot.flag("round_000") is None


def test_the_speeds_used_here_change_no_result(started: Callable[..., Harness]) -> None:
    sounds = []
    for speeds in (FAST, Speeds(load_ms=0, tts_ms=0.5, t2w_ms=5)):
        parrot = started(speeds=speeds)
        parrot.init()
        parrot.round(0)
        parrot.until_flag("round_000", "1\n")
        sounds.append(parrot.wavs("round_000"))
    assert sounds[0] == sounds[1]
