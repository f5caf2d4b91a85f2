"""The events of a stream, byte for byte."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from http_compat.sse import break_event, chunk_event, done_event, error_event, listen_event, turn_done_event

PCM = st.binary(max_size=200).filter(lambda pcm: len(pcm) % 2 == 0)
BEYOND_THE_BMP = "\N{MUSICAL SYMBOL G CLEF}"


def read(event: bytes) -> Any:
    """As a client with `iter_lines` does it."""
    assert event.isascii()
    head, end = event[:6], event[-2:]
    assert (head, end) == (b"data: ", b"\n\n")
    assert b"\n" not in event[:-2]
    assert b"\r" not in event
    return json.loads(event[6:-2])


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (done_event(), rb'data: {"done": true}'),
        (break_event(), rb'data: {"break": true, "done": true, "message": "\u7528\u6237\u6253\u65ad"}'),
        (error_event("no"), rb'data: {"error": "no"}'),
        (error_event("坏"), rb'data: {"error": "\u574f"}'),
        (listen_event(7), rb'data: {"is_listen": true, "chunks_received": 7}'),
        (
            turn_done_event(listens=False, chunks=3, seconds=0.96),
            rb'data: {"done": true, "is_listen": false, "chunks_received": 3, "audio_duration_seconds": 0.96}',
        ),
        (
            turn_done_event(listens=True, chunks=0, seconds=0.0),
            rb'data: {"done": true, "is_listen": true, "chunks_received": 0, "audio_duration_seconds": 0.0}',
        ),
        (
            chunk_event(0, b"\x00\x01\xff\x7f", ""),
            rb'data: {"chunk_idx": 0, "chunk_data": {"wav": "AAH/fw==", "sample_rate": 24000}}',
        ),
        (
            chunk_event(12, b"\x00\x01", 'a "b"\n'),
            rb'data: {"chunk_idx": 12, "chunk_data": {"wav": "AAE=", "sample_rate": 24000, "text": "a \"b\"\n"}}',
        ),
        (
            chunk_event(1, b"", "好" + BEYOND_THE_BMP),
            rb'data: {"chunk_idx": 1, "chunk_data": {"wav": "", "sample_rate": 24000, "text": "\u597d\ud834\udd1e"}}',
        ),
    ],
)
def test_the_bytes_of_each_event(event: bytes, expected: bytes) -> None:
    assert event == expected + b"\n\n"


@given(st.integers(0, 10**9), PCM, st.text())
def test_a_chunk_holds_exactly_its_sound_and_its_words(index: int, pcm: bytes, text: str) -> None:
    said = {"text": text} if text else {}
    assert read(chunk_event(index, pcm, text)) == {
        "chunk_idx": index,
        "chunk_data": {"wav": base64.b64encode(pcm).decode(), "sample_rate": 24_000, **said},
    }


@given(st.integers(0, 10**9), PCM, st.text())
def test_a_chunk_is_written_as_json_would_write_it(index: int, pcm: bytes, text: str) -> None:
    event = chunk_event(index, pcm, text)
    assert event == b"data: " + json.dumps(read(event)).encode() + b"\n\n"


@given(st.text())
def test_any_reason_fits_on_one_ascii_line(reason: str) -> None:
    assert read(error_event(reason)) == {"error": reason}


@given(st.booleans(), st.integers(0), st.integers(0, 10**10))
def test_the_end_of_a_turn_tells_its_length_to_the_microsecond(listens: bool, chunks: int, samples: int) -> None:
    event = read(turn_done_event(listens=listens, chunks=chunks, seconds=samples / 24_000))
    assert (event["done"], event["is_listen"], event["chunks_received"]) == (True, listens, chunks)
    assert event["audio_duration_seconds"] == pytest.approx(samples / 24_000, abs=1e-6)


@given(PCM, st.text())
def test_only_the_ends_hold_the_letters_that_clients_end_at(pcm: bytes, text: str) -> None:
    assert b'"done": true' in done_event()
    assert b'"done": true' in break_event()
    assert b'"done": true' in turn_done_event(listens=False, chunks=1, seconds=1.0)
    # In a text the quotes are escaped, so words cannot end a stream.
    for event in (chunk_event(0, pcm, text + '"done": true'), error_event('"done": true'), listen_event(1)):
        assert b'"done": true' not in event
        assert b'"done":true' not in event
