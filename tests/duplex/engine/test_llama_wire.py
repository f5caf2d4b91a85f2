import json
from pathlib import Path

import pytest

from duplex.engine.base import Mode
from duplex.engine.llama_wire import (
    DEFAULT_VOICE,
    DecodeDone,
    DecodeEvent,
    DecodeListen,
    DecodeOver,
    DecodeText,
    OmniInit,
    check_success,
    decode_body,
    image_suffix,
    init_body,
    is_not_initialised,
    parse_decode_event,
    prefill_body,
    update_body,
)
from duplex.errors import EngineRefused

INIT = OmniInit(model_dir=Path("/models/omni"), tts_bin_dir=Path("/models/omni/tts"), n_predict=7)


def test_init_says_all_that_the_engine_would_guess_wrong() -> None:
    body = init_body(INIT, mode=Mode.DUPLEX, output_dir=Path("/run/out"), voice=None)
    assert body == {
        "media_type": 2,
        "use_tts": True,
        "duplex_mode": True,
        "model_dir": "/models/omni/",
        "tts_bin_dir": "/models/omni/tts",
        "tts_gpu_layers": 100,
        "token2wav_device": "gpu",
        "output_dir": "/run/out",
        "n_predict": 7,
        "vision_backend": "metal",
        "voice_audio": DEFAULT_VOICE,
    }


@pytest.mark.parametrize(
    ("default", "asked", "sent"),
    [
        (None, None, DEFAULT_VOICE),
        (Path("/v/own.wav"), None, "/v/own.wav"),
        (Path("/v/own.wav"), Path("/v/asked.wav"), "/v/asked.wav"),
    ],
)
def test_a_voice_is_always_named(default: Path | None, asked: Path | None, sent: str) -> None:
    init = OmniInit(model_dir=Path("/m"), tts_bin_dir=Path("/m/tts"), voice=default)
    assert update_body(init, mode=Mode.SIMPLEX, vision=True, voice=asked) == {
        "media_type": 2,
        "duplex_mode": False,
        "voice_audio": sent,
    }
    assert update_body(init, mode=Mode.DUPLEX, vision=False, voice=asked)["media_type"] == 1
    assert init_body(init, mode=Mode.SIMPLEX, output_dir=Path("/o"), voice=asked)["voice_audio"] == sent


def test_prefill_and_decode() -> None:
    audio, image = Path("/i/a.wav"), Path("/i/b.png")
    assert prefill_body(audio=audio, image=None, slices=2, cnt=0) == {
        "audio_path_prefix": "/i/a.wav",
        "img_path_prefix": "",
        "cnt": 0,
    }
    assert prefill_body(audio=None, image=image, slices=2, cnt=3) == {
        "audio_path_prefix": "",
        "img_path_prefix": "/i/b.png",
        "cnt": 3,
        "max_slice_nums": 2,
    }
    assert decode_body(round_idx=4) == {"stream": True, "round_idx": 4}
    assert decode_body(round_idx=None) == {"stream": True}


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        ('{"content":"好 x","stop":false,"is_listen":false,"end_of_turn":false}', DecodeText("好 x")),
        ('{"content":"","stop":false,"is_listen":true,"end_of_turn":true}', DecodeListen()),
        ('{"content":"","stop":true,"is_listen":false,"end_of_turn":true}', DecodeOver()),
        ("[DONE]", DecodeDone()),
    ],
)
def test_the_four_events(payload: str, event: DecodeEvent) -> None:
    assert parse_decode_event(payload) == event


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "[done]",
        "[" * 10_000,
        "[]",
        "null",
        "{}",
        '{"text":"secret","stop":false,"is_listen":false,"end_of_turn":false}',
        '{"content":"","stop":false,"is_listen":false,"end_of_turn":false}',
        '{"content":"secret","stop":true,"is_listen":false,"end_of_turn":true}',
        '{"content":"","stop":false,"is_listen":true,"end_of_turn":false}',
        '{"content":null,"stop":true,"is_listen":false,"end_of_turn":true}',
        '{"content":"secret","stop":0,"is_listen":"no","end_of_turn":false}',
        '{"content":"secret","stop":false,"is_listen":false,"end_of_turn":false,"more":1}',
    ],
)
def test_unknown_shapes_are_refused_without_quoting_them(payload: str) -> None:
    with pytest.raises(EngineRefused) as refusal:
        parse_decode_event(payload)
    assert "secret" not in str(refusal.value)


def _error(code: int, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "type": "x"}}).encode()


def test_an_answer_too_deep_to_read_is_refused() -> None:
    with pytest.raises(EngineRefused, match="no reason given"):
        check_success("break", 200, b"[" * 10_000)


def test_success_is_accepted() -> None:
    check_success("break", 200, b'{"success":true,"message":"generation interrupted"}')


@pytest.mark.parametrize(
    ("status", "content", "said"),
    [
        (500, _error(500, "stream_prefill failed"), "stream_prefill failed"),
        (503, _error(503, "Loading model"), "Loading model"),
        (200, b'{"success":false}', "no reason"),
        (200, b'{"success":1}', "no reason"),
        (200, b"[]", "no reason"),
        (200, b"", "no reason"),
        (404, b"<html>", "no reason"),
        (400, b'{"error":"text"}', "no reason"),
    ],
)
def test_anything_else_is_refused_with_the_reason(status: int, content: bytes, said: str) -> None:
    with pytest.raises(EngineRefused, match=said) as refusal:
        check_success("prefill", status, content)
    assert "prefill" in str(refusal.value)
    assert str(status) in str(refusal.value)


@pytest.mark.parametrize(
    ("status", "message", "result"),
    [
        (400, "omni context not initialized. call /v1/stream/omni_init first", True),
        (500, "omni context not initialized. call /v1/stream/omni_init first", False),
        (400, '"cnt" must be provided as integer', False),
    ],
)
def test_a_process_that_does_not_know_us(status: int, message: str, *, result: bool) -> None:
    assert is_not_initialised(status, _error(status, message)) is result


@pytest.mark.parametrize(
    ("head", "suffix"),
    [(b"\xff\xd8\xff\xe0", ".jpg"), (b"\x89PNG\r\n\x1a\n", ".png"), (b"GIF89a", None), (b"", None)],
)
def test_image_kinds(head: bytes, suffix: str | None) -> None:
    assert image_suffix(head) == suffix
