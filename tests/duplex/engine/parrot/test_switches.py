"""Every fault, where its effect is seen from outside."""

import http.client
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.duplex.engine.parrot.harness import LIMIT_S, Harness, Hold, in_background, silence, speech, then

T2W_MS = 41
QUESTION = then(speech(0.3), silence(0.7))
Start = Callable[..., Harness]


def test_slow_start(started: Start) -> None:
    parrot = started("slow_start=0.01")
    assert parrot.request("GET", "/health").status == 200


def assert_set(event: threading.Event) -> None:
    assert event.wait(LIMIT_S)


def pauses(parrot: Harness) -> list[float]:
    """The pretended work from now on, without waiting for it."""
    found: list[float] = []
    parrot.octx.pause_ms = found.append
    return found


def test_slow_tts_t2w_and_llm(started: Start) -> None:
    parrot = started("slow_tts=7", "slow_t2w=123", "slow_llm=4")
    parrot.body.speeds = type(parrot.body.speeds)(load_ms=0, tts_ms=3, t2w_ms=1, evaluate_ms=0)
    parrot.init()
    found = pauses(parrot)
    parrot.round(0, silence(1))
    parrot.until_flag("round_000")
    assert found.count(21) == 13
    assert found.count(123) == 1
    assert found.count(3 * 4) == 1


def test_answer_s(started: Start) -> None:
    parrot = started("answer_s=3")
    parrot.init()
    parrot.round(0)
    parrot.until_flag("round_000")
    assert parrot.sound_tokens("round_000") == 75 + 3


@pytest.mark.parametrize("fault", ["die_in_decode", "die_in_decode=2"])
def test_die_in_decode(started: Start, fault: str) -> None:
    parrot = started(fault)
    parrot.init()
    if fault.endswith("2"):
        parrot.round(0)
        parrot.until_flag("round_000")
    parrot.prefill(speech(1), cnt=0)
    connection = http.client.HTTPConnection("127.0.0.1", parrot.parrot.port, timeout=LIMIT_S)
    connection.request("POST", "/v1/stream/decode", b"{}")
    response = connection.getresponse()
    assert b"I heard" in response.readline()
    assert parrot.deaths.acquire(timeout=LIMIT_S)
    connection.close()


def test_die_in_decode_while_listening(started: Start) -> None:
    parrot = started("die_in_decode")
    parrot.init(duplex=True)
    parrot.prefill(silence(1))
    in_background(parrot.decode)
    assert parrot.deaths.acquire(timeout=LIMIT_S)


def test_die_in_prefill(started: Start) -> None:
    parrot = started("die_in_prefill=2")
    parrot.init()
    parrot.prefill(speech(1))
    in_background(lambda: parrot.post("prefill", {"audio_path_prefix": "", "cnt": 1}))
    assert parrot.deaths.acquire(timeout=LIMIT_S)


def test_init_fails_and_poisons(started: Start) -> None:
    parrot = started("init_fails")
    body = {"media_type": 2, "output_dir": str(parrot.root)}
    found = parrot.post("omni_init", body)
    assert (found.status, found.json["error"]["message"]) == (500, "omni_init failed")
    assert parrot.request("GET", "/health").status == 200
    assert parrot.post("break").status == 400
    parrot.fault(init_fails=None)
    in_background(lambda: parrot.post("omni_init", body))
    assert parrot.deaths.acquire(timeout=LIMIT_S)


def test_early_done(started: Start) -> None:
    parrot = started("early_done=1")
    parrot.init()
    assert parrot.round(0).events == ["[DONE]"]
    parrot.until_flag("round_000")
    assert len(parrot.round(1).events) == 3


def test_stale_prefill(started: Start) -> None:
    parrot = started("stale_prefill=1")
    parrot.init(duplex=True)
    held = threading.Event()
    parrot.octx.pause_ms = lambda _: assert_set(held)
    parrot.prefill(QUESTION)
    assert parrot.decode().listens
    held.set()
    assert not parrot.decode().listens


def test_no_flag(started: Start) -> None:
    parrot = started("no_flag")
    parrot.init()
    parrot.round(0)
    parrot.until_quiet()
    assert sorted(parrot.wavs("round_000")) == [0, 1]
    assert parrot.flag("round_000") is None


def sizes_while_paused(parrot: Harness, fault: str, path: Path) -> list[int]:
    """Sizes of `path` whenever its writer pauses for `fault` (which must be 77 ms)."""
    parrot.fault(**{fault: 77})
    sizes: list[int] = []

    def pause(duration_ms: float) -> None:
        if duration_ms == 77 and path.exists():
            sizes.append(path.stat().st_size)

    parrot.octx.pause_ms = pause
    parrot.round(0)
    parrot.until_flag("round_000")
    return sizes


def test_partial_writes(parrot: Harness) -> None:
    parrot.init()
    wav = parrot.root / "round_000" / "tts_wav" / "wav_0.wav"
    (size, *_) = sizes_while_paused(parrot, "partial_writes", wav)
    assert (size - 44) % 4096 == 0
    assert 44 < size < 40_364
    assert wav.stat().st_size == 40_364


def test_open_empty(parrot: Harness) -> None:
    parrot.init()
    wav = parrot.root / "round_000" / "tts_wav" / "wav_0.wav"
    assert sizes_while_paused(parrot, "open_empty", wav)[0] == 0
    assert wav.stat().st_size == 40_364


def test_lost_break(started: Start) -> None:
    parrot = started("lost_break")
    parrot.init()
    assert parrot.post("break").body == b'{"success":true,"message":"generation interrupted"}'
    assert not parrot.octx.break_event
    assert parrot.round(0).text.startswith("I heard")


def working_vocoder(parrot: Harness) -> Hold:
    """A round whose tokens are all made, with the vocoder stopped in its first window."""
    parrot.init()
    parrot.fault(slow_t2w=T2W_MS, answer_s=6)
    t2w = parrot.hold(T2W_MS)
    parrot.round(0)
    t2w.reached()
    parrot.until(lambda: parrot.octx.speak_done)
    return t2w


@pytest.mark.parametrize("cure", ["update_session_config", "omni_init", "cnt_0"])
def test_sticky_break(started: Start, cure: str) -> None:
    parrot = started("sticky_break")
    t2w = working_vocoder(parrot)
    parrot.post("break")
    t2w.release()
    parrot.until_quiet()
    assert parrot.octx.break_event
    parrot.fault(slow_t2w=None, answer_s=None)
    assert parrot.decode(round_idx=1).text == ""
    assert parrot.decode(round_idx=1).text == ""
    if cure == "update_session_config":
        parrot.post(cure, {"voice_audio": "voice.wav"})
    elif cure == "omni_init":
        parrot.init()
    assert parrot.round(1).text.startswith("I heard")


def test_break_never_stops_audio(started: Start) -> None:
    parrot = started("break_never_stops_audio")
    t2w = working_vocoder(parrot)
    parrot.post("break")
    assert parrot.octx.break_event
    t2w.release()
    parrot.until_flag("round_000")
    assert parrot.sound_tokens("round_000") == 150 + 3
    parrot.until(lambda: not parrot.octx.break_event)
    assert parrot.round(1).text.startswith("I heard")


def test_wav_restart_forced(started: Start) -> None:
    parrot = started("wav_restart=on", "answer_s=4")
    parrot.init(duplex=True)
    parrot.step(QUESTION)
    parrot.until_quiet()
    parrot.post("break")
    parrot.until(lambda: not parrot.octx.break_event)
    assert parrot.state()["leftover_tokens"] == 3
    assert not parrot.step(silence(1)).listens
    parrot.until_quiet()
    assert sorted(parrot.wavs()) == [0]


def test_wav_restart_never(started: Start) -> None:
    parrot = started("wav_restart=off", "answer_s=4", f"slow_t2w={T2W_MS}")
    parrot.init(duplex=True)
    t2w = parrot.hold(T2W_MS)
    parrot.step(QUESTION)
    t2w.reached()
    parrot.post("break")
    t2w.release()
    parrot.until_quiet()
    assert parrot.octx.break_event
    assert not parrot.step(silence(1)).listens
    parrot.until_quiet()
    assert sorted(parrot.wavs()) == [0, 1]


@pytest.mark.parametrize("duplex", [False, True])
def test_fffd(started: Start, duplex: bool) -> None:
    parrot = started("fffd", "answer_s=4")
    parrot.init(duplex=duplex)
    if duplex:
        fragments = [parrot.step(samples).text for samples in (QUESTION, silence(1), silence(1), silence(1))]
    else:
        events: list[Any] = parrot.round(0).events[:-2]
        fragments = [event["content"] for event in events]
    assert all(fragment.endswith("\ufffd") for fragment in fragments[:-1])
    assert all(fragment.startswith("\ufffd\ufffd") for fragment in fragments[1:])
    parrot.until_quiet()
    if duplex:
        clean = (parrot.root / "llm_debug" / "llm_text.txt").read_text()
    else:
        chunks = sorted((parrot.root / "round_000" / "llm_debug").glob("chunk_*/llm_text.txt"))
        clean = "".join(path.read_text() for path in chunks)
    assert "\ufffd" not in clean
    assert clean.count("好") == len(fragments) - 1


def test_no_t2w(started: Start) -> None:
    parrot = started("no_t2w")
    parrot.init()
    assert any("Token2Wav: initialization failed" in line for line in parrot.log.lines)
    assert parrot.round(0).text.startswith("I heard")
    parrot.until_quiet()
    assert parrot.wavs("round_000") == {}
    assert parrot.flag("round_000") is None
    assert (parrot.root / "round_000" / "tts_wav" / "audio_tokens_chunk_0.bin").exists()


def test_no_tts(started: Start) -> None:
    parrot = started("no_tts")
    parrot.init()
    assert parrot.round(0).text.startswith("I heard")
    parrot.until_quiet()
    assert sorted(path.name for path in (parrot.root / "round_000").rglob("*") if path.is_file()) == ["wav_timing.txt"]


@pytest.mark.parametrize("duplex", [False, True])
def test_no_answer(started: Start, *, duplex: bool) -> None:
    parrot = started("no_answer")
    parrot.init(duplex=duplex)
    if duplex:
        assert parrot.step(silence(1)).events == ["[DONE]"]
    else:
        over, done = parrot.round(0).events
        assert (isinstance(over, dict) and over["stop"], done) == (True, "[DONE]")


def test_n_predict_end(started: Start) -> None:
    parrot = started("n_predict_end")
    parrot.init()
    assert parrot.round(0).events[-2]["stop"] is True
    parrot.until_quiet()
    assert parrot.flag("round_000") is None
    # The round was never finished: the next one's sound lands in its directory.
    parrot.fault(n_predict_end=None)
    assert parrot.octx.simplex_round_idx == 0


def test_script(started: Start) -> None:
    parrot = started("script=LSTE")
    parrot.init(duplex=True)
    assert parrot.step(silence(1)).listens
    assert parrot.step(silence(1)).text == "I heard nothing."
    both = parrot.step(silence(1))
    assert [event if event == "[DONE]" else event["is_listen"] for event in both.events] == [True, False, "[DONE]"]
    assert both.text
    parrot.until_quiet()
    assert parrot.flag() is None
    assert not parrot.step(silence(1)).listens
    parrot.until_flag(text="3\n")
