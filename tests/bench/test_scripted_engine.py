"""The scripted engine keeps the part of the contract that the hand-off needs."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from bench.hand_off import make_model_dir
from bench.scripted_engine import WAV_BYTES, ScriptedEngine
from duplex.engine.llama_wire import DecodeDone, DecodeOver, DecodeText, check_success, parse_decode_event
from duplex.engine.model_files import find_model_files
from duplex.engine.parrot.http import Request, Response
from duplex.engine.spool import parse_flag
from duplex.engine.sse import SseDecoder
from duplex.wav import read_wav


def post(engine: ScriptedEngine, call: str, body: Mapping[str, object]) -> Response:
    return engine(Request("POST", f"/v1/stream/{call}", {}, json.dumps(body).encode(), "127.0.0.1"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "closed.jsonl"


@pytest.fixture
def engine(tmp_path: Path, log: Path) -> ScriptedEngine:
    engine = ScriptedEngine(log)
    post(engine, "omni_init", {"output_dir": str(tmp_path / "out")})
    return engine


@pytest.mark.parametrize("call", ["prefill", "break", "update_session_config"])
def test_plain_calls_succeed(engine: ScriptedEngine, call: str) -> None:
    response = post(engine, call, {})
    check_success(call, response.status, response.body)


def test_it_is_healthy_and_knows_nothing_else(engine: ScriptedEngine) -> None:
    assert engine(Request("GET", "/health", {}, b"", "127.0.0.1")).status == 200
    assert engine(Request("GET", "/slots", {}, b"", "127.0.0.1")).status == 404


def test_a_decode_says_one_line_and_ends(engine: ScriptedEngine) -> None:
    response = post(engine, "decode", {"stream": True, "round_idx": 0})
    assert response.stream is not None
    decoder = SseDecoder()
    events = [parse_decode_event(payload) for piece in response.stream for payload in decoder.feed(piece)]
    assert [type(event) for event in events] == [DecodeText, DecodeOver, DecodeDone]


def test_a_round_leaves_one_whole_wav_its_flag_and_the_moment_it_was_closed(
    engine: ScriptedEngine, tmp_path: Path, log: Path
) -> None:
    engine.speak(3, 0.0)
    directory = tmp_path / "out" / "round_003" / "tts_wav"
    content = (directory / "wav_3000.wav").read_bytes()
    wav = read_wav(content)
    assert len(content) == WAV_BYTES
    assert (wav.rate_hz, wav.channels) == (24_000, 1)
    assert set(np.frombuffer(wav.pcm, "<i2")) == {4}
    assert parse_flag((directory / "generation_done.flag").read_bytes()) == 3000
    (line,) = log.read_text().splitlines()
    assert json.loads(line).keys() == {"value", "closed_ns"}
    assert json.loads(line)["value"] == 4


def test_the_model_directory_in_name_only_is_complete(tmp_path: Path) -> None:
    assert find_model_files(make_model_dir(tmp_path / "model")).llm.name == "MiniCPM-o-4_5-Q4_K_M.gguf"
