"""The scripted engine keeps the part of the contract that the hand-off needs."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from bench.rig import make_model_dir
from bench.scripted_engine import EngineLog, Script, ScriptedEngine
from duplex.engine.llama_wire import (
    DecodeDone,
    DecodeEvent,
    DecodeListen,
    DecodeOver,
    DecodeText,
    check_success,
    parse_decode_event,
)
from duplex.engine.model_files import find_model_files
from duplex.engine.parrot.http import Request, Response
from duplex.engine.spool import DONE_FLAG, parse_flag
from duplex.engine.sse import SseDecoder
from duplex.engine.watch import make_watcher
from duplex.wav import read_wav


def post(engine: ScriptedEngine, call: str, body: Mapping[str, object]) -> Response:
    return engine(Request("POST", f"/v1/stream/{call}", {}, json.dumps(body).encode(), "127.0.0.1"))


@pytest.fixture
def engine(tmp_path: Path) -> ScriptedEngine:
    engine = ScriptedEngine()
    post(engine, "omni_init", {"output_dir": str(tmp_path / "out")})
    return engine


def direct(engine: ScriptedEngine, script: Script) -> None:
    assert engine(Request("POST", "/script", {}, json.dumps(asdict(script)).encode(), "127.0.0.1")).status == 200


def log(engine: ScriptedEngine) -> EngineLog:
    return EngineLog.read(engine(Request("GET", "/script/log", {}, b"", "127.0.0.1")).body)


def decode(engine: ScriptedEngine, **body: int) -> list[DecodeEvent]:
    response = post(engine, "decode", {"stream": True, **body})
    assert response.stream is not None
    decoder = SseDecoder()
    return [parse_decode_event(payload) for piece in response.stream for payload in decoder.feed(piece)]


async def until_written(path: Path) -> None:
    watcher = make_watcher()
    try:
        watch = watcher.watch(path.parent)
        while not await asyncio.to_thread(path.exists):
            await watch.wait()
        watch.close()
    finally:
        watcher.close()


@pytest.mark.parametrize("call", ["prefill", "break", "update_session_config"])
def test_plain_calls_succeed(engine: ScriptedEngine, call: str) -> None:
    response = post(engine, call, {})
    check_success(call, response.status, response.body)


def test_it_is_healthy_and_knows_nothing_else(engine: ScriptedEngine) -> None:
    assert engine(Request("GET", "/health", {}, b"", "127.0.0.1")).status == 200
    assert engine(Request("GET", "/slots", {}, b"", "127.0.0.1")).status == 404


def test_a_decode_says_one_line_and_ends(engine: ScriptedEngine) -> None:
    assert [type(event) for event in decode(engine, round_idx=0)] == [DecodeText, DecodeOver, DecodeDone]


def test_a_decode_listens_when_the_script_says_so(engine: ScriptedEngine) -> None:
    direct(engine, Script(wavs=0, listens=True))
    assert [type(event) for event in decode(engine)] == [DecodeListen, DecodeDone]


def test_each_decode_is_remembered_with_the_prefill_before_it(engine: ScriptedEngine) -> None:
    direct(engine, Script(wavs=0, listens=True))
    post(engine, "prefill", {})
    decode(engine)
    decode(engine)
    first, second = log(engine).decodes
    assert first.heard_ns == second.heard_ns <= first.began_ns <= first.over_ns <= second.began_ns


def test_a_turn_leaves_whole_wavs_their_flag_and_the_moment_each_was_closed(
    engine: ScriptedEngine, tmp_path: Path
) -> None:
    directory = tmp_path / "round_003" / "tts_wav"
    engine.speak(directory, 3000, [0.0, 0.0])
    for number, value in ((3000, 1), (3001, 2)):
        content = (directory / f"wav_{number}.wav").read_bytes()
        wav = read_wav(content)
        assert len(content) == 48_044
        assert (wav.rate_hz, wav.channels) == (24_000, 1)
        assert set(np.frombuffer(wav.pcm, "<i2")) == {value}
    assert parse_flag((directory / DONE_FLAG).read_bytes()) == 3001
    closed_ns = log(engine).closed_ns
    assert list(closed_ns) == [1, 2]
    assert closed_ns[1] <= closed_ns[2]


async def test_a_simplex_round_has_a_directory_of_its_own(engine: ScriptedEngine, tmp_path: Path) -> None:
    directory = tmp_path / "out" / "round_002" / "tts_wav"
    directory.mkdir(parents=True)
    direct(engine, Script(wavs=2, gap_s=(0.0, 0.0)))
    decode(engine, round_idx=2)
    await until_written(directory / DONE_FLAG)
    assert {path.name for path in directory.iterdir()} == {"wav_2000.wav", "wav_2001.wav", DONE_FLAG}


async def test_duplex_counts_on_in_one_directory_until_it_is_initialised_again(
    engine: ScriptedEngine, tmp_path: Path
) -> None:
    directory = tmp_path / "out" / "tts_wav"
    directory.mkdir(parents=True)
    direct(engine, Script(wavs=2, gap_s=(0.0, 0.0)))
    for expected in ({"wav_0.wav", "wav_1.wav"}, {"wav_2.wav", "wav_3.wav"}):
        decode(engine)
        await until_written(directory / DONE_FLAG)
        assert {path.name for path in directory.iterdir()} == {*expected, DONE_FLAG}
        for path in directory.iterdir():
            path.unlink()
    post(engine, "omni_init", {"output_dir": str(tmp_path / "out")})
    decode(engine)
    await until_written(directory / DONE_FLAG)
    assert {path.name for path in directory.iterdir()} == {"wav_0.wav", "wav_1.wav", DONE_FLAG}


async def test_it_writes_for_somebody_else_without_a_decode(engine: ScriptedEngine, tmp_path: Path) -> None:
    body = json.dumps({"directory": str(tmp_path)}).encode()
    engine(Request("POST", "/script/write", {}, body, "127.0.0.1"))
    await until_written(tmp_path / DONE_FLAG)
    assert (tmp_path / "wav_0.wav").exists()
    assert not log(engine).decodes


def test_the_model_directory_in_name_only_is_complete(tmp_path: Path) -> None:
    assert find_model_files(make_model_dir(tmp_path / "model")).llm.name == "MiniCPM-o-4_5-Q4_K_M.gguf"
