"""What is made of the events of HTTP streams, and of the delays of sound."""

import base64
import json
from io import BytesIO

import pytest
from PIL import Image

from bench.beside import Compared, Heard, Turn
from bench.errors import BenchError
from bench.hand_off import WsHandOffs
from bench.hand_off import rows as ws_rows
from bench.http_call import Event, read_event
from bench.http_client import Piece
from bench.http_hand_off import HttpHandOffs
from bench.http_hand_off import rows as http_rows
from bench.http_pictures import HeldUp, noisy_jpeg
from bench.http_pictures import rows as picture_rows
from bench.http_turns import Broken, Listened, break_rows, listen_rows
from bench.scripted_engine import Decode, EngineLog
from duplex.engine.base import Mode
from http_compat.sse import break_event, chunk_event, done_event, error_event, turn_done_event

SOUND = b"\x07\x00" * 100


def read(event: bytes) -> Event:
    return read_event(Piece(event.removesuffix(b"\n\n"), 1.0))


def test_a_chunk_says_which_wav_it_came_from() -> None:
    event = read(chunk_event(0, SOUND, "words"))
    assert (event.pcm, event.value, event.is_done, event.is_end) == (SOUND, 7, False, False)


def test_a_chunk_of_text_alone_has_no_sound() -> None:
    assert read(chunk_event(0, b"", "words")).value == 0


def test_a_chunk_of_two_wavs_is_no_result() -> None:
    with pytest.raises(BenchError, match="several"):
        read(chunk_event(0, SOUND + b"\x08\x00", ""))


@pytest.mark.parametrize("event", [done_event(), turn_done_event(listens=True, chunks=1, seconds=1.0)])
def test_the_done_event_is_known_in_both_conversations(event: bytes) -> None:
    assert read(event).is_done
    assert not read(event).is_break


def test_a_break_is_done_too() -> None:
    assert (read(break_event()).is_break, read(break_event()).is_done) == (True, True)


def test_an_error_is_no_result() -> None:
    with pytest.raises(BenchError, match="the engine died"):
        read(error_event("the engine died"))


def test_the_end_of_the_stream_is_an_event_of_its_own() -> None:
    assert read_event(Piece(b"", 2.0)) == Event(2.0, is_end=True)


def test_the_relays_line_is_read_like_ours() -> None:
    line = json.dumps({"chunk_data": {"wav": base64.b64encode(SOUND).decode()}}).encode()
    assert read(b"data: " + line + b"\n\n").value == 7


LOG = EngineLog(closed_ns={7: 1_000_000_000, 8: 1_100_000_000}, over_ns={8: 1_110_000_000})


def turn(first_s: float, second_s: float, over_s: float | None = None) -> Turn:
    return Turn([Heard(7, first_s), Heard(8, second_s)], over_s)


def test_delays_run_from_the_closing_of_each_wav_and_of_the_flag_behind_the_last() -> None:
    heard = turn(1.002, 1.103, 1.114)
    assert heard.delays_ms(LOG.closed_ns) == pytest.approx([2.0, 3.0])
    assert heard.over_ms(LOG.over_ns) == pytest.approx([4.0])
    assert turn(1.0, 1.1).over_ms(LOG.over_ns) == []


@pytest.mark.parametrize("values", [(7, 7), (7, 9)])
def test_sound_that_came_twice_or_from_nowhere_is_no_result(values: tuple[int, int]) -> None:
    with pytest.raises(BenchError, match="twice"):
        Turn([Heard(value, 1.2) for value in values], 1.3).delays_ms(LOG.closed_ns)


@pytest.mark.parametrize(
    ("mode", "ours_s", "floor_s", "old_s", "is_met"),
    [
        (Mode.SIMPLEX, 0.00125, 0.001, 0.0151, True),
        (Mode.SIMPLEX, 0.0014, 0.001, 0.0300, False),
        (Mode.SIMPLEX, 0.0013, 0.001, 0.0150, False),
        (Mode.DUPLEX, 0.0013, 0.001, 0.0156, False),
        (Mode.DUPLEX, 0.00125, 0.001, 0.0751, True),
        (Mode.DUPLEX, 0.0090, 0.008, 0.6000, False),
    ],
)
def test_the_hand_off_is_held_against_the_floor_and_the_old_way(
    mode: Mode, ours_s: float, floor_s: float, old_s: float, is_met: bool
) -> None:
    ours, floor, old = ([turn(1.0 + late_s, 1.1 + late_s, 1.11 + late_s)] for late_s in (ours_s, floor_s, old_s))
    found = Compared(ours, floor, old)
    handed = list(http_rows([HttpHandOffs(mode, found, LOG)]))
    assert [row.is_met for row in handed] == [is_met, ours_s <= 0.005]
    assert [len(row.old) for row in handed] == [2, 1]


@pytest.mark.parametrize(("dialect", "kept"), [("openai", [False, False]), ("live", [True])])
def test_what_leaves_on_a_beat_is_held_against_the_floor_alone(dialect: str, kept: list[bool]) -> None:
    over_s = None if dialect == "live" else 1.14
    late = [turn(1.02, 1.12, over_s)]
    assert [row.is_met for row in ws_rows([WsHandOffs(dialect, Compared(late, late, late))], LOG)] == kept


def test_the_pause_before_a_decode_is_the_engines_as_far_as_it_is_left() -> None:
    decode = Decode(heard_ns=1_000_000_000, began_ns=1_011_000_000, over_ns=1_051_000_000)
    soon = Listened(1.002, 1.054, decode)
    assert soon.beyond_decode_ms == pytest.approx(12.0)
    assert soon.ours_ms == pytest.approx(4.0)
    late = Listened(1.020, 1.064, decode)
    assert late.ours_ms == pytest.approx(late.beyond_decode_ms) == pytest.approx(4.0)
    ours, with_pause = listen_rows([soon])
    assert ours.is_met
    assert not with_pause.goals


def test_a_break_is_measured_to_the_last_sound_and_to_the_end() -> None:
    events = [Event(1.0, SOUND), Event(2.003, SOUND), Event(2.004, is_break=True), Event(2.005, is_end=True)]
    broken = Broken(Mode.DUPLEX, 2.0, 2.006, events)
    assert broken.last_sound_ms == pytest.approx(3.0)
    assert broken.end_ms == pytest.approx(5.0)
    assert broken.stale_bytes == 0
    assert all(row.is_met for row in break_rows([broken]))


def test_sound_before_the_break_counts_for_nothing_and_sound_after_its_answer_is_stale() -> None:
    end = Event(2.5, is_end=True)
    assert Broken(Mode.SIMPLEX, 2.0, 2.1, [Event(1.9, SOUND), end]).last_sound_ms == 0.0
    stale = Broken(Mode.SIMPLEX, 2.0, 2.1, [Event(1.9, SOUND), Event(2.2, SOUND), end])
    assert stale.stale_bytes == len(SOUND)
    assert not any(row.is_met for row in break_rows([stale]))


def test_the_longest_wait_of_each_picture_is_counted_from_the_usual_one() -> None:
    found = HeldUp(quiet_ms=[[0.4, 0.5], [0.5, 1.5]], busy_ms=[[0.5, 2.5], [7.5]], pictures_ms=[20.0, 30.0])
    assert found.longest_ms(found.busy_ms) == pytest.approx([2.0, 7.0])
    assert found.longest_ms(found.quiet_ms) == pytest.approx([0.0, 1.0])
    beside, quiet, pictures = picture_rows(found)
    assert beside.is_met
    assert not quiet.goals
    assert not pictures.goals


def test_the_picture_is_large_and_of_the_documented_size() -> None:
    content = noisy_jpeg()
    assert 100_000 <= len(content) <= 300_000
    image = Image.open(BytesIO(content))
    assert (image.format, image.size) == ("JPEG", (640, 480))
