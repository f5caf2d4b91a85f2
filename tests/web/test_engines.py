import asyncio
from pathlib import Path

import pytest

from duplex.clock import MonotonicClock
from duplex.engine.base import EngineSession, Mode
from duplex.engine.host import EngineState
from duplex.engine.spec import EngineKind
from duplex.errors import EngineError, EngineStartFailed
from web.engines import engine_client, engine_spec, engine_specs, open_engines
from web.settings import SettingsError, load_settings

MODEL_FILES = (
    "MiniCPM-o-4_5-Q4_K_M.gguf",
    "audio/MiniCPM-o-4_5-audio-F16.gguf",
    "vision/MiniCPM-o-4_5-vision-F16.gguf",
    "tts/MiniCPM-o-4_5-tts-F16.gguf",
    "tts/MiniCPM-o-4_5-projector-F16.gguf",
    "token2wav-gguf/encoder.gguf",
    "token2wav-gguf/flow_matching.gguf",
    "token2wav-gguf/flow_extra.gguf",
    "token2wav-gguf/hifigan2.gguf",
    "token2wav-gguf/prompt_cache.gguf",
)


@pytest.fixture
def real(tmp_path: Path) -> dict[str, object]:
    names = [tmp_path / "model" / name for name in MODEL_FILES] + [tmp_path / "root/build/bin/llama-server"]
    for path in names:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return {"engine.llamacpp_root": tmp_path / "root", "engine.model_dir": f"{tmp_path}/model/"}


def test_a_real_engine(real: dict[str, object], tmp_path: Path) -> None:
    spec = engine_spec(load_settings(real, {"OMNI_DUPLEX_MODE": "simplex"}))
    assert (spec.kind, spec.port, spec.mode) == (EngineKind.LLAMA_SERVER, 19060, Mode.SIMPLEX)
    assert spec.binary == tmp_path / "root/build/bin/llama-server"
    assert spec.llm == tmp_path / "model/MiniCPM-o-4_5-Q4_K_M.gguf"
    assert spec.init is not None
    assert spec.init.tts_bin_dir == tmp_path / "model/tts"
    assert (spec.init.token2wav_device, spec.init.tts_gpu_layers) == ("gpu", 100)


def test_without_a_gpu_nothing_is_put_on_one(real: dict[str, object]) -> None:
    spec = engine_spec(load_settings(real, {"N_GPU_LAYERS": "0"}))
    assert spec.init is not None
    assert (spec.init.token2wav_device, spec.init.tts_gpu_layers) == ("cpu", 0)
    chosen = engine_spec(load_settings(real, {"N_GPU_LAYERS": "0", "TOKEN2WAV_DEVICE": "gpu:1"}))
    assert chosen.init is not None
    assert chosen.init.token2wav_device == "gpu:1"


def test_variables_for_the_engine_are_passed_on_or_set(real: dict[str, object]) -> None:
    settings = load_settings({**real, "engine.environment": ["HF_TOKEN", "GGML_X=a=b", "EMPTY="]}, {})
    assert engine_spec(settings, {"HF_TOKEN": "t", "GGML_X": "c"}).environment == {
        "HF_TOKEN": "t",
        "GGML_X": "a=b",
        "EMPTY": "",
    }
    with pytest.raises(SettingsError, match="--engine-env HF_TOKEN: this variable is not set"):
        engine_spec(settings, {})


def test_a_missing_file_is_named(real: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "model/vision/MiniCPM-o-4_5-vision-F16.gguf").unlink()
    with pytest.raises(EngineStartFailed, match=r"vision/MiniCPM-o-4_5-vision-F16\.gguf"):
        engine_spec(load_settings(real, {}))


def test_an_adopted_engine_needs_no_binary(real: dict[str, object]) -> None:
    flags = {"engine.model_dir": real["engine.model_dir"], "engine.url": "http://127.0.0.1:8080/"}
    spec = engine_spec(load_settings(flags, {}))
    assert (spec.url, spec.binary, spec.kind) == ("http://127.0.0.1:8080", None, EngineKind.LLAMA_SERVER)


def test_each_engine_has_its_own_port_spool_and_gpu(real: dict[str, object], tmp_path: Path) -> None:
    flags = {**real, "engine.count": 3, "engine.gpu_devices": "0,1,2", "engine.output_dir": tmp_path / "out"}
    specs = engine_specs(load_settings(flags, {}))
    assert [spec.port for spec in specs] == [19060, 19061, 19062]
    assert [spec.gpu_devices for spec in specs] == ["0", "1", "2"]
    assert [spec.output_dir for spec in specs] == [tmp_path / "out" / f"engine_{n}" for n in range(3)]
    assert len({spec.llm for spec in specs}) == 1


@pytest.mark.parametrize(
    ("devices", "count", "shares"),
    [
        (None, 2, [None, None]),
        ("", 2, ["", ""]),
        ("0,1", 1, ["0,1"]),
        ("0,1", 2, ["0", "1"]),
        ("0,1,2,3", 2, ["0,1", "2,3"]),
        ("0,1,2", 2, ["0", "1,2"]),
        ("0", 3, ["0", "0", "0"]),
        ("0,1", 3, ["0", "1", "0"]),
        ("GPU-8f,GPU-1c", 2, ["GPU-8f", "GPU-1c"]),
    ],
)
def test_the_gpus_are_shared_out(
    real: dict[str, object], devices: str | None, count: int, shares: list[str | None]
) -> None:
    chosen = {} if devices is None else {"engine.gpu_devices": devices}
    specs = engine_specs(load_settings({**real, **chosen, "engine.count": count, "server.port": 0}, {}))
    assert [spec.gpu_devices for spec in specs] == shares
    assert {spec.port for spec in specs} == {0}, "any free port for each"


async def test_the_parrot_starts_and_takes_a_conversation() -> None:
    spec = engine_spec(load_settings({"server.port": 0}, {}))
    async with open_engines([spec], clock=MonotonicClock()) as pool:
        await pool.wait_ready()
        assert [(status.state, status.stand_in) for status in pool.status()] == [(EngineState.READY, True)]
        async with pool.lease() as engine:
            assert engine.kind is EngineKind.PARROT
            await engine.begin(EngineSession(mode=Mode.SIMPLEX))
            await engine.prefill(bytes(32_000))
            await engine.decode()
            await engine.finish()
        assert pool.status()[0].state is EngineState.READY


async def test_a_parrot_that_dies_in_a_decode_is_replaced() -> None:
    flags: dict[str, object] = {"server.port": 0, "engine.parrot_faults": ["die_in_decode=1"]}
    async with open_engines([engine_spec(load_settings(flags, {}))], clock=MonotonicClock()) as pool:
        await pool.wait_ready()
        async with pool.lease() as engine:
            await engine.begin(EngineSession(mode=Mode.SIMPLEX))
            await engine.prefill(bytes(32_000))
            with pytest.raises(EngineError):
                await engine.decode()
        assert pool.status()[0].state is EngineState.RESTARTING
        await pool.wait_ready()
        async with pool.lease() as engine:
            await engine.begin(EngineSession(mode=Mode.SIMPLEX))


async def test_a_request_that_is_broken_off_at_any_moment_leaves_no_connection() -> None:
    accepted: list[asyncio.StreamReader] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(reader)
        while await reader.read(65_536):
            pass
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, engine_client() as client:
        for turns in range(40):
            asking = asyncio.create_task(client.post(url, json={}))
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        async with asyncio.timeout(10.0):
            while not (accepted and all(reader.at_eof() for reader in accepted)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
