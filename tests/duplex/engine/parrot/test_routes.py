import json
import socket
from collections.abc import Callable

import pytest

from duplex.engine.parrot.options import Speeds
from tests.duplex.engine.parrot.harness import Harness, in_background, silence, speech, wav_bytes

NOT_READY = (
    b'{"error":{"code":400,"message":"omni context not initialized. call /v1/stream/omni_init first",'
    b'"type":"invalid_request_error"}}'
)
STRING = b'{"error":{"code":400,"message":"\\"audio_path_prefix\\" must be provided as string",' + (
    b'"type":"invalid_request_error"}}'
)
INTEGER = b'{"error":{"code":400,"message":"\\"cnt\\" must be provided as integer","type":"invalid_request_error"}}'
MEDIA = (
    b'{"error":{"code":400,"message":"\\"msg_type\\" or \\"media_type\\" must be provided as integer '
    b'(1=audio, 2=omni)","type":"invalid_request_error"}}'
)
NOT_FOUND = b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}'


@pytest.mark.parametrize(
    ("call", "body", "status", "answer"),
    [
        ("prefill", b'{"audio_path_prefix":"","cnt":1}', 400, NOT_READY),
        ("decode", b"{}", 400, NOT_READY),
        ("decode", b"[]", 400, NOT_READY),
        ("break", b"", 400, NOT_READY),
        ("reset", b"{}", 400, NOT_READY),
        ("update_session_config", b"", 400, NOT_READY),
        ("prefill", b"[]", 400, STRING),
        ("prefill", b'{"audio_path_prefix":3,"cnt":1}', 400, STRING),
        ("prefill", b'{"audio_path_prefix":""}', 400, INTEGER),
        ("prefill", b'{"audio_path_prefix":"","cnt":1.0}', 400, INTEGER),
        ("prefill", b'{"audio_path_prefix":"","cnt":true}', 400, INTEGER),
        ("omni_init", b"{}", 400, MEDIA),
        ("omni_init", b'{"media_type":"1"}', 400, MEDIA),
        ("omni_init", b"[]", 400, MEDIA),
        ("nothing", b"{}", 404, NOT_FOUND),
    ],
)
def test_answers_before_init(parrot: Harness, call: str, body: bytes, status: int, answer: bytes) -> None:
    found = parrot.request("POST", f"/v1/stream/{call}", body)
    assert (found.status, found.body) == (status, answer)


@pytest.mark.parametrize("call", ["omni_init", "prefill", "decode", "break", "reset", "update_session_config"])
def test_malformed_json(parrot: Harness, call: str) -> None:
    found = parrot.request("POST", f"/v1/stream/{call}", b'{"a":')
    assert found.status == 500
    assert found.json["error"]["message"].startswith("[json.exception.parse_error.101]")


@pytest.mark.parametrize(("call", "status"), [("omni_init", 500), ("prefill", 500), ("decode", 500), ("break", 400)])
def test_an_empty_body(parrot: Harness, call: str, status: int) -> None:
    assert parrot.post(call).status == status


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/v1/health", 200),
        ("HEAD", "/health", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/models", 200),
        ("GET", "/props", 200),
        ("GET", "/slots", 200),
        ("GET", "/metrics", 501),
        ("GET", "/", 200),
        ("GET", "/nope", 404),
        ("POST", "/health", 404),
        ("PUT", "/health", 404),
        ("DELETE", "/health", 404),
        ("GET", "/v1/stream/decode", 404),
    ],
)
def test_other_paths(parrot: Harness, method: str, path: str, status: int) -> None:
    assert parrot.request(method, path).status == status


def test_health_and_its_log(parrot: Harness) -> None:
    assert parrot.request("GET", "/health").body == b'{"status":"ok"}'
    parrot.request("GET", "/v1/health")
    assert "srv  log_server_r: request: GET /health 127.0.0.1 200" in parrot.log.lines
    assert not any("/v1/health" in line for line in parrot.log.lines)


def test_options(parrot: Harness) -> None:
    found = parrot.request("OPTIONS", "/v1/stream/decode", Origin="http://a")
    assert (found.status, found.body) == (200, b"")
    assert found.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert found.headers["Access-Control-Allow-Headers"] == "*"
    assert found.headers["Access-Control-Allow-Origin"] == "http://a"


def test_while_loading(started: Callable[..., Harness]) -> None:
    parrot = started()
    parrot.parrot._routes.ready.clear()
    found = parrot.request("GET", "/health")
    assert found.status == 503
    assert found.body == b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}'
    assert parrot.post("omni_init", {"media_type": 1}).body == found.body
    assert parrot.request("GET", "/v1/models").status == 200
    assert parrot.request("OPTIONS", "/health").status == 200
    page = parrot.request("GET", "/index.html")
    assert (page.status, page.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    parrot.parrot._routes.ready.set()
    assert parrot.request("GET", "/health").status == 200


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"media_type": 2}, b'{"success":true,"media_type":2,"use_tts":true,"voice_audio_used":false}'),
        (
            {"msg_type": 1, "media_type": 2, "use_tts": False, "voice_audio": "/missing.wav"},
            b'{"success":true,"media_type":1,"use_tts":false,"voice_audio_used":true}',
        ),
        (
            {"media_type": 2, "use_tts": "no", "voice_audio": 3},
            b'{"success":true,"media_type":2,"use_tts":true,"voice_audio_used":false}',
        ),
    ],
)
def test_init(parrot: Harness, fields: dict[str, object], answer: bytes) -> None:
    assert parrot.post("omni_init", {"output_dir": str(parrot.root)} | fields).body == answer


def test_prefill_echoes(parrot: Harness) -> None:
    parrot.init()
    found = parrot.post("prefill", {"cnt": 99999999999, "audio_path_prefix": "/é", "img_posfix": ".jpg", "x": 1})
    assert (
        found.body
        == (
            '{"success":true,"audio_path_prefix":"/é","img_path_prefix":"","img_posfix":".jpg","cnt":99999999999}'
        ).encode()
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"img_path_prefix": 3}, "type must be string, but is number"),
        ({"img_posfix": None}, "type must be string, but is null"),
        ({"max_slice_nums": "a"}, "type must be number, but is string"),
    ],
)
def test_hard_fields_of_prefill(parrot: Harness, fields: dict[str, object], message: str) -> None:
    parrot.init()
    found = parrot.post("prefill", {"cnt": 1, "audio_path_prefix": ""} | fields)
    assert found.status == 500
    assert found.json["error"]["message"] == f"[json.exception.type_error.302] {message}"


@pytest.mark.parametrize(
    ("content", "status", "seconds"),
    [
        (wav_bytes(silence(0)), 200, 0),
        (wav_bytes(speech(0.05)), 200, 0.1),
        (wav_bytes(speech(1, rate_hz=48_000), rate_hz=48_000), 200, 1.0),
        (wav_bytes(silence(30)), 200, 30),
        (b"{}", 200, 0),
        (wav_bytes(silence(31)), 500, None),
    ],
    ids=["empty", "short", "48 kHz", "30 s", "no audio", "31 s"],
)
def test_audio_of_a_prefill(parrot: Harness, content: bytes, status: int, seconds: float | None) -> None:
    parrot.init()
    path = parrot.root / "a.wav"
    path.write_bytes(content)
    found = parrot.post("prefill", {"cnt": 1, "audio_path_prefix": str(path)})
    assert found.status == status
    heard = [prefill["seconds"] for prefill in parrot.state()["prefills"]]
    assert heard == ([] if seconds is None else [seconds])
    if status == 500:
        assert found.json["error"]["message"] == "Position encoding buffer overflow - view exceeds bounds"
        parrot.prefill(speech(1))


def test_a_directory_as_audio(parrot: Harness) -> None:
    parrot.init()
    found = parrot.post("prefill", {"cnt": 1, "audio_path_prefix": str(parrot.root)})
    assert (found.status, found.json["error"]["message"]) == (500, "std::bad_alloc")


@pytest.mark.parametrize(
    ("media_type", "content", "status"),
    [(2, b"\xff\xd8\xff", 200), (2, b"text", 500), (2, None, 500), (1, b"\xff\xd8\xff", 500)],
)
def test_images(parrot: Harness, media_type: int, content: bytes | None, status: int) -> None:
    parrot.init(media_type=media_type)
    path = parrot.root / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    found = parrot.post("prefill", {"cnt": 1, "audio_path_prefix": "", "img_path_prefix": str(path)})
    assert found.status == status
    if status == 500:
        assert found.json["error"]["message"] == "stream_prefill failed"


def test_break_and_reset_answers(parrot: Harness) -> None:
    parrot.init()
    interrupted = b'{"success":true,"message":"generation interrupted"}'
    bodies: list[object] = [None, {}, [], {"reason": 5}]
    assert [parrot.post("break", body).body for body in bodies] == [interrupted] * 4
    assert parrot.post("reset").body == b'{"success":true,"message":"KV caches cleared, ready for new session"}'
    assert parrot.post("reset", {"duplex_mode": 1}).status == 500
    assert not parrot.octx.break_event


def test_update_session_config(parrot: Harness) -> None:
    parrot.init()
    found = parrot.post("update_session_config", {"highImage": True, "sliding_window_low_water": 9, "language": "en"})
    assert found.body == (
        b'{"success":true,"message":"Session config updated","media_type":2,"duplex_mode":false,"highImage":true,'
        b'"highRefresh":false,"sliding_window":{"mode":"off","high_water_tokens":4000,"low_water_tokens":9}}'
    )
    broken = parrot.post("update_session_config", {"media_type": 1, "sliding_window_mode": 3})
    assert broken.status == 500
    assert parrot.post("update_session_config").json["media_type"] == 1


def test_decode_without_a_stream(parrot: Harness) -> None:
    parrot.init()
    found = parrot.post("decode", {"stream": False, "debug_dir": "x", "round_idx": "a"})
    assert found.body == b'{"success":true,"debug_dir":"x"}'
    assert parrot.post("decode", {"stream": False, "debug_dir": 3}).body == b'{"success":true,"debug_dir":"./"}'


def test_bytes_of_a_stream(parrot: Harness) -> None:
    parrot.init()
    found = parrot.round(0, silence(1), stream="yes")
    assert found.headers == {
        "Connection": "close",
        "Content-Type": "text/event-stream",
        "Server": "llama.cpp",
        "Transfer-Encoding": "chunked",
        "Access-Control-Allow-Origin": "",
    }
    assert found.body == (
        b'data: {"content":"I heard nothing.","stop":false,"is_listen":false,"end_of_turn":false}\n\n'
        b'data: {"content":"","stop":true,"is_listen":false,"end_of_turn":true}\n\n'
        b"data: [DONE]\n\n"
    )


def test_everything_waits_for_a_decode_but_health(started: Callable[..., Harness]) -> None:
    parrot = started("hang_decode=1")
    parrot.init()
    parrot.prefill(speech(1))
    decode = in_background(parrot.decode)
    parrot.log.wait_for("handle_stream_decode")
    parrot.until(lambda: parrot.parrot.engine.state()["counts"]["decode"] == 1)  # type: ignore[index]
    waiting = in_background(lambda: parrot.post("break"))
    parrot.log.wait_for("handle_stream_break")
    assert parrot.request("GET", "/health").status == 200
    assert not parrot.octx.break_event
    assert parrot.state()["counts"]["break"] == 0
    parrot.body.abandoned.set()
    assert decode().events[-1] == "[DONE]"
    assert waiting().status == 200
    assert parrot.state()["counts"]["break"] == 1


def test_a_fourth_request_waits(started: Callable[..., Harness]) -> None:
    parrot = started("hang_decode=1")
    parrot.init()
    calls = [in_background(parrot.decode)]
    parrot.log.wait_for("handle_stream_decode")
    calls += [in_background(lambda: parrot.post("break")), in_background(lambda: parrot.post("break"))]
    parrot.log.wait_for("handle_stream_break", 2)
    health = in_background(lambda: parrot.request("GET", "/health"))
    assert not any("GET /health" in line for line in parrot.log.lines)
    parrot.body.abandoned.set()
    assert health().status == 200
    assert [call().status for call in calls] == [200, 200, 200]


def test_a_client_that_leaves_does_not_end_a_decode(started: Callable[..., Harness]) -> None:
    parrot = started(speeds=Speeds(load_ms=0, init_ms=0, evaluate_ms=0, llm_ms=0, tts_ms=0.2, t2w_ms=0))
    parrot.init(duplex=False)
    parrot.fault(answer_s=20)
    parrot.prefill(speech(1), cnt=0)
    body = json.dumps({"stream": True, "round_idx": 0}).encode()
    with socket.create_connection(("127.0.0.1", parrot.parrot.port)) as client:
        head = f"POST /v1/stream/decode HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        assert client.recv(10)
    parrot.until_flag("round_000")
    assert len(list((parrot.root / "round_000" / "llm_debug").iterdir())) == 10
    assert parrot.sound_tokens("round_000") == 500 + 3


def test_faults_over_http(parrot: Harness) -> None:
    assert parrot.fault(slow_t2w=5).json == {"success": True, "faults": {"slow_t2w": 5.0}}
    assert parrot.state()["faults"] == {"slow_t2w": 5.0}
    assert parrot.fault(slow_t2w=None, no_flag=True).json["faults"] == {"no_flag": True}
    for body in (b'{"nonsense":1}', b"[]", b'{"slow_t2w":"x"}'):
        assert parrot.request("POST", "/parrot/faults", body).status == 400


def test_state_before_and_after_init(parrot: Harness) -> None:
    assert parrot.state()["initialised"] is False
    parrot.init(duplex=True)
    state = parrot.state()
    assert (state["stand_in"], state["initialised"], state["duplex_mode"], state["in_turn"]) == (
        True,
        True,
        True,
        False,
    )
    assert state["counts"] == {
        "omni_init": 1,
        "prefill": 0,
        "decode": 0,
        "break": 0,
        "reset": 0,
        "update_session_config": 0,
    }
