import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from http_compat.wav_timing import StopReason, WavTimingLog

NOW_S = 1_780_000_000.25
MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}"


def written(path: Path, use: Callable[[WavTimingLog], None], **options: int) -> str:
    log = WavTimingLog(path, now_s=lambda: NOW_S, **options)
    use(log)
    log.close()
    return path.read_text(encoding="utf-8")


def a_session(log: WavTimingLog) -> None:
    log.start()
    log.wav("wav_0.wav", NOW_S, NOW_S + 0.0125, 0.96)
    log.wav("wav_1.wav", NOW_S + 1, NOW_S + 1.1, 1.0)
    log.stop(StopReason.SESSION_STOPPED)


def test_a_session_is_a_header_its_rows_and_a_footer(tmp_path: Path) -> None:
    lines = written(tmp_path / "wav.log", a_session).splitlines()
    assert len(lines) == 8
    assert (lines[0], lines[1], lines[3]) == ("", "=" * 80, "=" * 80)
    assert re.fullmatch(rf"\[{MOMENT}\] 新会话开始 \(双工模式\)", lines[2])
    assert lines[6] == "-" * 120
    assert re.fullmatch(rf"\[会话停止\] {MOMENT}", lines[7])


def test_the_columns_of_a_row_stand_where_they_always_stood(tmp_path: Path) -> None:
    first, second = written(tmp_path / "wav.log", a_session).splitlines()[4:6]
    assert first[:21] == "wav_0.wav            "
    assert first[44:48] == "    "
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.250", first[21:44])
    assert first[48:71].endswith(".262")
    assert first[75:] == "      12.5ms           0.0ms     0.960s"
    assert second[75:] == "     100.0ms        1087.5ms     1.000s"


def test_times_are_those_of_the_place_where_the_server_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def log_a_wav(log: WavTimingLog) -> None:
        log.wav("w", NOW_S, NOW_S, 1.0)

    rows = {}
    for place in ("UTC0", "CST-8"):
        with monkeypatch.context() as there:
            there.setenv("TZ", place)
            time.tzset()
            rows[place] = written(tmp_path / f"{place[:3]}.log", log_a_wav).splitlines()[4][21:44]
    time.tzset()
    assert rows == {"UTC0": "2026-05-28 20:26:40.250", "CST-8": "2026-05-29 04:26:40.250"}


def test_a_row_begins_a_session_and_a_second_start_does_not_begin_another(tmp_path: Path) -> None:
    def use(log: WavTimingLog) -> None:
        log.wav("wav_0.wav", NOW_S, NOW_S, 1.0)
        log.start()
        log.start()

    assert written(tmp_path / "wav.log", use).count("新会话开始") == 1


def test_a_session_that_never_began_has_no_footer(tmp_path: Path) -> None:
    def use(log: WavTimingLog) -> None:
        log.stop(StopReason.NEW_SESSION)
        a_session(log)
        log.stop(StopReason.SESSION_STOPPED)

    text = written(tmp_path / "wav.log", use)
    assert text.startswith("\n=")
    assert text.count("-" * 120) == 1


def test_the_next_session_says_so_and_counts_its_intervals_anew(tmp_path: Path) -> None:
    def use(log: WavTimingLog) -> None:
        log.wav("wav_0.wav", NOW_S, NOW_S, 1.0)
        log.stop(StopReason.NEW_SESSION)
        log.wav("wav_0.wav", NOW_S + 60, NOW_S + 60, 1.0)

    text = written(tmp_path / "wav.log", use)
    assert re.search(rf"^\[新会话初始化，关闭旧日志\] {MOMENT}$", text, re.MULTILINE)
    assert text.count("       0.0ms     1.000s") == 2


def test_a_wav_whose_file_is_gone_has_no_delay(tmp_path: Path) -> None:
    text = written(tmp_path / "wav.log", lambda log: log.wav("wav_3.wav", 0, NOW_S, 0.5))
    row = text.splitlines()[4]
    assert (row[21:48], row[75:]) == ("-".ljust(27), "         -ms           0.0ms     0.500s")


def test_it_adds_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "wav.log"
    once = written(path, a_session)
    assert written(path, a_session) == once * 2


def test_a_file_that_grew_too_big_makes_way_and_one_old_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "wav.log"

    def use(log: WavTimingLog) -> None:
        for number in range(20):
            log.wav(f"wav_{number}.wav", NOW_S, NOW_S, 1.0)

    newest = written(path, use, largest_bytes=500)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["wav.log", "wav.log.1"]
    assert path.stat().st_size <= 500
    old = (tmp_path / "wav.log.1").read_text(encoding="utf-8")
    assert re.findall(r"wav_\d+", old + newest)[-1] == "wav_19"
    assert old.startswith("wav_"), "the first old one, with the header, is gone"


@pytest.mark.parametrize("name", ["absent/wav.log", "folder"])
def test_a_file_that_cannot_be_written_is_one_warning(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder").mkdir()
    log = WavTimingLog(tmp_path / name)
    a_session(log)
    a_session(log)
    log.close()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert name in record.getMessage()


def test_closing_twice_is_as_good_as_once_and_leaves_no_thread(tmp_path: Path) -> None:
    log = WavTimingLog(tmp_path / "wav.log")
    log.close()
    log.close()
    assert not log._writer.is_running
    assert not (tmp_path / "wav.log").exists(), "without a session nothing is written"


def test_a_disk_that_hangs_makes_nobody_wait(tmp_path: Path) -> None:
    # Opening a pipe for writing waits until somebody opens it for reading.
    path = tmp_path / "wav.log"
    os.mkfifo(path)
    log = WavTimingLog(path)
    for number in range(3000):
        log.wav(f"wav_{number}.wav", NOW_S, NOW_S, 1.0)
    assert log._writer.waiting <= 1000
    with path.open("rb"):
        log.close()
    assert not log._writer.is_running
