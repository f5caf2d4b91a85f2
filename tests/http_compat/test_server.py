"""The old HTTP contract on a real server: real sockets, a real engine process, and the clients that exist."""

import asyncio
import base64
import contextlib
import io
import json
import socket
import time
import wave
from typing import Any

import aiohttp
import numpy as np
import pytest
import requests
from PIL import Image
from websockets.exceptions import InvalidStatus

from duplex.engine.base import Mode
from tests.http_compat.backend import Call
from tests.http_compat.node import Node, running_node
from tests.realtime.server import peer
from tests.speech import silence, speech

RATE_HZ = 16_000
NO_SESSION = "未找到活跃会话，请先调用 /omni/init_sys_prompt 初始化会话"
BREAK = {"break": True, "done": True, "message": "用户打断"}


def wav(pcm: bytes, rate_hz: int = RATE_HZ, channels: int = 1) -> str:
    """A WAV as clients send it."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((channels, 2, rate_hz, 0, "NONE", ""))
        writer.writeframes(pcm)
    return base64.b64encode(file.getvalue()).decode()


def jpeg(width: int = 64, height: int = 48) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (20, 90, 160)).save(file, "JPEG")
    return base64.b64encode(file.getvalue()).decode()


def post(node: Node, route: str, **body: Any) -> requests.Response:
    return requests.post(f"{node.url}/omni/{route}", json=body, timeout=60)


def begin(node: Node, **body: Any) -> dict[str, Any]:
    answer = post(node, "init_sys_prompt", **body)
    assert answer.status_code == 200, answer.text
    opened: dict[str, Any] = answer.json()
    return opened


def prefill(node: Node, pcm: bytes, **body: Any) -> dict[str, Any]:
    answer = post(node, "streaming_prefill", audio=wav(pcm), **body)
    assert answer.status_code == 200, answer.text
    heard: dict[str, Any] = answer.json()
    return heard


def generate(node: Node, **body: Any) -> list[dict[str, Any]]:
    """All events of a stream, which has exactly one done event, the last."""
    answer = requests.post(f"{node.url}/omni/streaming_generate", json=body or None, stream=True, timeout=60)
    assert answer.status_code == 200, answer.text
    events = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith(b"data: ")]
    assert [bool(event.get("done")) for event in events] == [False] * (len(events) - 1) + [True]
    return events


def sound(events: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(e["chunk_data"]["wav"]) for e in events if "chunk_data" in e)


def words(events: list[dict[str, Any]]) -> str:
    return "".join(e["chunk_data"].get("text", "") for e in events if "chunk_data" in e)


def hears(answer: bytes, question: bytes) -> float:
    """How much of the question's voice is in the parrot's answer: the best match of its first second, 0 to 1."""
    reply = np.frombuffer(answer, "<i2").astype(float)
    said = np.frombuffer(question, "<i2").astype(float)
    said = np.interp(np.arange(0, len(said) / RATE_HZ, 1 / 24_000), np.arange(len(said)) / RATE_HZ, said)[:24_000]
    if len(reply) < len(said):
        return 0.0
    # Through the spectrum: sample by sample it would take half a minute on a busy machine.
    size = 1 << (len(reply) + len(said)).bit_length()
    spectrum = np.fft.rfft(reply, size) * np.conj(np.fft.rfft(said, size))
    match = np.fft.irfft(spectrum, size)[: len(reply) - len(said) + 1]
    power = np.concatenate([[0.0], np.cumsum(reply**2)])
    energy = np.sqrt((power[len(said) :] - power[: -len(said)]) * np.sum(said**2))
    return float(np.max(match / np.maximum(energy, 1.0)))


# --- documented answers


def test_health(node: Node) -> None:
    health = requests.get(f"{node.url}/health", timeout=10)
    assert health.status_code == 200
    assert '"healthy"' in health.text
    assert health.json() == {
        "status": "healthy",
        "message": "服务正常 (C++ backend)",
        "backend": "cpp",
        "duplex_mode": False,
        "initialized": False,
    }
    begin(node, duplex_mode=True)
    changed = requests.get(f"{node.url}/health", timeout=10).json()
    assert (changed["duplex_mode"], changed["initialized"]) == (True, True)
    assert requests.head(f"{node.url}/health", timeout=10).status_code == 405


def test_init(node: Node) -> None:
    first = begin(node, media_type="audio")
    assert set(first) == {"success", "message", "msg_type", "duplex_mode", "session_id", "fast_resume"}
    assert first["success"] is True
    assert (first["msg_type"], first["duplex_mode"]) == (1, False)
    assert len(first["session_id"]) == 8
    assert int(first["session_id"], 16) >= 0
    again = begin(node, media_type="AUDIO", high_quality_mode=True, high_fps_mode=True, language="zh")
    assert again["message"] == "初始化成功（audio模式，单工，高清画质，高刷，快速恢复）"
    assert again["fast_resume"] is True
    assert begin(node, media_type=None)["message"] == "模式切换完成（omni模式，单工，普通画质，标准帧率）"
    assert begin(node, media_type=2, duplex_mode=True)["message"] == "初始化完成（omni模式，双工，普通画质，标准帧率）"
    assert begin(node, msg_type=1)["msg_type"] == 1
    assert post(node, "init_sys_prompt", media_type="smell").json() == {"detail": "不支持的media_type: smell"}
    backend = begin(node, highImage=True, highRefresh=True, timbreBase64=wav(speech(1.0)), language="en", unknown=[1])
    assert "高清画质，高刷" in backend["message"]
    assert [line.partition(":")[0] for line in backend["ignored"]] == ["timbreBase64", "language"]


def test_prefill_answers(node: Node) -> None:
    session_id = begin(node)["session_id"]
    first = prefill(node, silence(1.0), session_id="somebody else's room", round=3, max_slice_nums=4)
    assert {key: first[key] for key in ("success", "session_id", "request_idx", "backend")} == {
        "success": True,
        "session_id": session_id,
        "request_idx": 1,
        "backend": "cpp_simplex",
    }
    assert first["audio_duration_seconds"] == 1.0
    assert set(first["timing"]) == {"audio_decode_ms", "image_decode_ms", "model_prefill_ms", "total_ms", "rtf"}
    assert prefill(node, silence(0.5, 48_000), last_chunk=True)["request_idx"] == 2
    seen = post(node, "streaming_prefill", image=jpeg()).json()
    assert (seen["request_idx"], seen["timing"]["rtf"]) == (3, None)
    generate(node)
    assert prefill(node, silence(1.0))["request_idx"] == 1
    generate(node)
    begin(node, duplex_mode=True)
    heard = prefill(node, silence(1.0), image=jpeg())
    assert (heard["cnt"], heard["backend"]) == (0, "cpp_duplex")
    assert set(heard["timing"]) == {"audio_decode", "image_decode", "audio_save", "image_save", "cpp_http", "total"}


def test_high_refresh(node: Node) -> None:
    """Frames without an index, as the backend sends them, and sound that never waits for one."""
    begin(node, highRefresh=True)
    seen = [post(node, "streaming_prefill", image=jpeg(), image_audio_id=7).json() for _ in range(5)]
    assert seen[0]["backend"] == "cpp_highfps_simplex"
    assert [answer["mode"] for answer in seen[1:]] == ["high_fps_cache"] * 3 + ["high_fps_cache_ready"]
    assert [answer["cached_frames"] for answer in seen[1:]] == [1, 2, 3, 4]
    before = node.engine_state()["counts"]["prefill"]
    assert prefill(node, silence(1.0), image_audio_id=7)["backend"] == "cpp_highfps_simplex"
    prefill(node, silence(1.0), image_audio_id=8)
    assert node.engine_state()["counts"]["prefill"] == before + 2


@pytest.mark.parametrize(
    ("route", "body", "status", "words"),
    [
        ("streaming_prefill", {}, 400, "必须提供音频或图片至少一项"),
        ("streaming_prefill", {"audio": "", "image": None}, 400, "必须提供音频或图片至少一项"),
        ("streaming_prefill", {"audio": "!!!"}, 400, "音频数据解码失败"),
        ("streaming_prefill", {"audio": base64.b64encode(b"raw pcm" * 99).decode()}, 400, "音频数据解码失败"),
        ("streaming_prefill", {"image": base64.b64encode(b"no picture").decode()}, 400, "图片数据解码失败"),
        ("streaming_prefill", {"audio": 5}, 422, "string_type"),
        ("streaming_prefill", {"is_last_chunk": None}, 422, "bool_type"),
        ("init_sys_prompt", {"media_type": "smell"}, 400, "不支持的media_type: smell"),
    ],
)
def test_bad_input_is_refused_and_loses_nothing_else(
    node: Node, route: str, body: dict[str, Any], status: int, words: str
) -> None:
    begin(node)
    prefill(node, speech(1.0))
    refused = post(node, route, **body)
    assert refused.status_code == status
    assert words in refused.text
    prefill(node, silence(1.0))
    assert "1.0 s of speech" in "".join(
        event["chunk_data"].get("text", "") for event in generate(node) if "chunk_data" in event
    )


def test_requests_of_no_session(node: Node) -> None:
    for route in ("streaming_prefill", "streaming_generate", "reset"):
        refused = post(node, route, audio=wav(silence(0.1)))
        assert (refused.status_code, refused.json()) == (400, {"detail": NO_SESSION})
    assert post(node, "break").json() == {"success": True, "message": "当前轮对话已打断", "state": "break"}
    assert post(node, "stop").json() == {
        "success": True,
        "message": "生成已中止，会话保留，可直接继续对话",
        "state": "generation_stopped",
        "session_id": None,
        "kv_cache_preserved": True,
    }


def test_after_a_stop_on_the_main_port_the_session_is_over(node: Node) -> None:
    session_id = begin(node)["session_id"]
    assert post(node, "stop").json()["session_id"] == session_id
    assert post(node, "streaming_prefill", audio=wav(silence(0.1))).json() == {"detail": NO_SESSION}


def test_reset_forgets_and_goes_on(node: Node) -> None:
    begin(node)
    prefill(node, speech(2.0))
    assert post(node, "reset").json()["success"] is True
    prefill(node, speech(1.0))
    prefill(node, silence(1.0))
    assert words(generate(node)).startswith("I heard 1.")


def test_other_methods_and_paths(node: Node) -> None:
    assert requests.get(f"{node.url}/omni/break", timeout=10).status_code == 405
    assert requests.post(f"{node.url}/omni/nothing", timeout=10).json() == {"detail": "Not Found"}


def test_a_body_that_is_too_long_is_refused_before_it_is_read(node: Node) -> None:
    begin(node)
    head = f"POST /omni/streaming_prefill HTTP/1.1\r\nHost: 127.0.0.1:{node.port}\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
        connection.sendall(f"{head}Content-Length: {100 * 2**20}\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
    prefill(node, silence(0.2))


def test_a_minute_of_sound_in_one_prefill_is_heard(node: Node) -> None:
    begin(node)
    assert prefill(node, silence(61.0))["audio_duration_seconds"] == 61.0
    assert sum(one["seconds"] for one in node.engine_state()["prefills"][-7:]) == pytest.approx(61.0)
    assert "120" in post(node, "streaming_prefill", audio=wav(silence(121.0))).json()["detail"]


# --- calls


def test_a_question_by_pieces(node: Node) -> None:
    begin(node, media_type="audio")
    question = speech(2.5)
    for at in range(0, len(question), 32_000):
        prefill(node, question[at : at + 32_000])
    events = generate(node)
    assert hears(sound(events), question) > 0.9
    assert [event["chunk_idx"] for event in events[:-1]] == list(range(len(events) - 1))
    assert events[-1] == {"done": True}
    assert all(event["chunk_data"]["sample_rate"] == 24_000 for event in events[:-1])


def test_the_stream_is_ascii_and_names_its_charset(node: Node) -> None:
    node.fault(fffd=True)
    begin(node)
    prefill(node, speech(4.0))
    answer = requests.post(f"{node.url}/omni/streaming_generate", stream=True, timeout=60)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    text = "".join(answer.iter_content(chunk_size=None, decode_unicode=True))
    assert text.isascii()
    assert '"done": true' in text
    events = [json.loads(line[6:]) for line in text.splitlines() if line]
    assert "好" in words(events)
    assert "\ufffd" not in words(events)


@pytest.mark.parametrize("fault", [{"partial_writes": 120}, {"open_empty": 60}])
def test_sound_that_is_written_slowly_arrives_whole(node: Node, fault: dict[str, int]) -> None:
    begin(node)
    prefill(node, speech(3.0))
    whole = sound(generate(node))
    node.fault(**fault)
    prefill(node, speech(3.0))
    assert len(sound(generate(node))) >= len(whole) - 2 * 3840
    assert len(whole) > 3 * 48_000


def test_words_come_out_although_there_is_no_sound(node: Node) -> None:
    node.fault(no_t2w=True)
    begin(node, duplex_mode=True)
    node.fault(no_t2w=None)
    begin(node, duplex_mode=False)
    node.fault(n_predict_end=True)
    prefill(node, speech(1.0))
    assert words(generate(node)).startswith("I heard")


def test_duplex_in_lock_step_gets_the_whole_answer(node: Node) -> None:
    begin(node, duplex_mode=True)
    question = speech(2.0)
    dones: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for second in (question[:32_000], question[32_000:], silence(1.0), silence(1.0)):
        prefill(node, second)
        events = generate(node)
        answers += events
        dones.append(events[-1])
    assert hears(sound(answers), question) > 0.9
    assert all(done["is_listen"] for done in dones), "a plain false would end a page's call"
    chunks = [event["chunk_idx"] for event in answers if "chunk_idx" in event]
    assert chunks == list(range(len(chunks)))
    assert dones[-1]["chunks_received"] == len(chunks)
    assert dones[0] == {"done": True, "is_listen": True, "chunks_received": 0, "audio_duration_seconds": 0.0}


def test_break_and_stop_on_the_control_port(node: Node) -> None:
    begin(node)
    node.fault(answer_s=8, slow_tts=20)
    prefill(node, speech(1.0))
    with requests.post(f"{node.url}/omni/streaming_generate", stream=True, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)
        broken = requests.post(f"{node.control_url}/omni/break", timeout=10)
        assert broken.json() == {"success": True, "message": "当前轮对话已打断", "state": "break", "cpp_break": True}
        events = [json.loads(line[6:]) for line in lines if line]
    assert events[-1] == BREAK
    assert sum("done" in event for event in events) == 1
    node.fault(answer_s=None, slow_tts=None)
    prefill(node, speech(1.0))
    assert words(generate(node)).startswith("I heard 1.0 s"), "the session goes on"
    stopped = requests.post(f"{node.control_url}/omni/stop", timeout=10)
    assert stopped.json() == {
        "success": True,
        "message": "会话已停止",
        "state": "session_stop",
        "cpp_break": False,
    }
    prefill(node, speech(1.0))
    assert words(generate(node)).startswith("I heard"), "a stop there does not end the session"


def test_the_control_port_is_as_documented(node: Node) -> None:
    for path in ("/", "/health"):
        health = requests.get(f"{node.control_url}{path}", timeout=10)
        assert health.json() == {"status": "healthy", "message": "服务正常 (C++ backend)", "backend": "cpp"}
        assert health.headers["access-control-allow-origin"] == "*"
    options = requests.options(f"{node.control_url}/anything", timeout=10)
    assert options.status_code == 200
    assert options.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"
    assert options.headers["access-control-allow-headers"] == "*"
    missing = requests.get(f"{node.control_url}/omni/streaming_prefill", timeout=10)
    assert (missing.status_code, missing.content) == (404, b"")
    assert requests.get(f"{node.control_url}/omni/break", timeout=10).status_code == 405
    assert requests.post(f"{node.control_url}/omni/init_sys_prompt", json={}, timeout=10).status_code == 404


def test_silent_connections_hold_up_nobody_on_the_control_port(node: Node) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(socket.create_connection(("127.0.0.1", node.port + 1), timeout=10))
        half = stack.enter_context(socket.create_connection(("127.0.0.1", node.port + 1), timeout=10))
        half.sendall(b"POST /omni/break HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
        assert requests.get(f"{node.control_url}/health", timeout=5).status_code == 200


def test_a_client_that_hangs_up_leaves_nothing_for_the_next(node: Node) -> None:
    begin(node)
    node.fault(answer_s=4, slow_tts=8)
    prefill(node, speech(1.0, pitch_hz=110.0))
    with requests.post(f"{node.url}/omni/streaming_generate", stream=True, timeout=60) as stream:
        next(stream.iter_lines())
    node.fault(answer_s=None, slow_tts=None)
    question = speech(2.0, pitch_hz=190.0)
    prefill(node, question)
    events = generate(node)
    assert words(events).startswith("I heard 2.0 s")
    assert hears(sound(events), question) > 0.9
    assert len(sound(events)) < 4 * 48_000


def test_a_second_caller_never_hears_the_first(node: Node) -> None:
    """Defect 6. Both are told apart by nothing but their connections."""
    with requests.Session() as first, requests.Session() as second:
        assert first.post(f"{node.url}/omni/init_sys_prompt", json={}, timeout=60).status_code == 200
        node.fault(answer_s=5, slow_tts=10)
        question = speech(1.0)
        first.post(f"{node.url}/omni/streaming_prefill", json={"audio": wav(question)}, timeout=60)
        with first.post(f"{node.url}/omni/streaming_generate", stream=True, timeout=60) as stream:
            lines = stream.iter_lines()
            next(lines)
            refused = second.post(f"{node.url}/omni/init_sys_prompt", json={}, timeout=60)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            events = [json.loads(line[6:]) for line in lines if line]
        assert events[-1] == {"done": True}
        assert len(sound(events)) > 3 * 48_000


def test_the_same_script_twice(node: Node) -> None:
    """It never says that it has finished; it just ends."""
    for _ in range(2):
        begin(node, media_type="audio", language="zh")
        prefill(node, speech(1.0))
        assert generate(node)[-1] == {"done": True}


# --- the backend's way of calling


async def test_the_backend_in_simplex(node: Node) -> None:
    """Silence all the time, then a question whose tail and generate race on two connections."""
    question = speech(2.6)
    for generate_first in (False, True):
        async with Call(base_url=node.url, mode=Mode.SIMPLEX) as call:
            assert await call.begin() == 200
            for second in (silence(1.0), question[:32_000], question[32_000:64_000]):
                await call.say(second)
            call.finish(question[64_000:], generate_first=generate_first)
            await call.settle()
            assert call.text.startswith("I heard 2.6 s of speech")
            assert hears(call.pcm, question) > 0.9
            assert [json.dumps(done) for done in call.done_events] == ['{"done": true}']
            assert await call.end() == 200
            assert {status for _, status in call.statuses} == {200}


async def test_the_backend_in_duplex(node: Node) -> None:
    """A prefill and a generate each second, neither waited for."""
    question = speech(3.0)
    async with Call(base_url=node.url, mode=Mode.DUPLEX) as call:
        assert await call.begin(duplex_mode=True) == 200
        seconds = [question[at : at + 32_000] for at in range(0, len(question), 32_000)]
        for number, second in enumerate([silence(1.0), *seconds, *[silence(1.0)] * 8]):
            fired = await call.say(second, generate_first=number % 2 == 1)
            assert fired.prefill is not None
            await fired.prefill
        await call.settle()
        assert hears(call.pcm, question) > 0.9
        assert [chunk.chunk_idx for chunk in call.chunks] == list(range(len(call.chunks)))
        assert len(call.done_events) == 12
        assert call.done_events[-1]["is_listen"] is True
        assert {status for _, status in call.statuses} == {200}
        assert await call.end() == 200


async def test_the_backend_breaks_a_duplex_answer_and_hears_nothing_of_it_again(node: Node) -> None:
    node.fault(answer_s=20)
    async with Call(base_url=node.url, mode=Mode.DUPLEX) as call:
        await call.begin(duplex_mode=True)
        for second in (speech(1.0, pitch_hz=110.0), silence(1.0)):
            await call.say(second)
        await call.until(lambda: bool(call.chunks))
        assert await call.break_off() == 200
        await call.settle()
        assert call.done_events[-1] == BREAK
        heard = len(call.chunks)
        node.fault(answer_s=None)
        question = speech(2.0, pitch_hz=190.0)
        for second in (question[:32_000], question[32_000:], *[silence(1.0)] * 6):
            fired = await call.say(second)
            assert fired.prefill is not None
            await fired.prefill
        await call.settle()
        answer = b"".join(chunk.pcm for chunk in call.chunks[heard:])
        assert hears(answer, question) > 0.9
        assert len(answer) < 4 * 48_000
        await call.end()


async def test_aiohttp_reads_the_stream_whole(node: Node) -> None:
    """The client library of the backend, over its own connections."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as client:
        await client.post(f"{node.url}/omni/init_sys_prompt", json={"media_type": None})
        question = speech(1.5)
        await client.post(f"{node.url}/omni/streaming_prefill", json={"audio": wav(question)})
        body = {"session_id": "room1", "mode": "simplex", "stream": True}
        async with client.post(f"{node.url}/omni/streaming_generate", json=body) as answer:
            text = (await answer.read()).decode()
        events = [json.loads(message.removeprefix("data: ")) for message in text.split("\n\n") if message]
        assert hears(sound(events), question) > 0.9
        async with client.post(f"{node.control_url}/omni/stop") as stopped:
            assert stopped.ok


async def test_small_pieces_under_a_stream_that_is_kept_open(node: Node) -> None:
    """Bridges send 80 ms one after the other, and read one stream."""
    question = speech(2.0) + silence(8.0)
    async with aiohttp.ClientSession() as client:
        await client.post(f"{node.url}/omni/init_sys_prompt", json={"duplex_mode": True})
        answer = await client.post(f"{node.url}/omni/streaming_generate", json={"keep_open": True, "mode": "duplex"})
        for at in range(0, len(question), 2560):
            async with client.post(
                f"{node.url}/omni/streaming_prefill", json={"audio": wav(question[at : at + 2560])}
            ) as heard:
                assert (await heard.json())["success"] is True
        async with client.post(f"{node.control_url}/omni/break") as broken:
            assert broken.ok
        text = (await answer.read()).decode()
    events = [json.loads(message.removeprefix("data: ")) for message in text.split("\n\n") if message]
    assert events[-1] == BREAK
    assert hears(sound(events), question[: 2 * 32_000]) > 0.9


async def test_a_websocket_call_takes_the_engine_of_a_session_that_is_over_and_of_no_other(node: Node) -> None:
    await asyncio.to_thread(begin, node)
    address, simplex = node.url.removeprefix("http://"), "?audio=binary&conversation=simplex"
    with pytest.raises(InvalidStatus):
        async with peer(address, simplex + "&queue=0"):
            pass
    async with aiohttp.ClientSession() as client, client.post(f"{node.control_url}/omni/stop") as stopped:
        assert stopped.ok
    async with peer(address, simplex) as call:
        await call.until("session.created")
        busy = await asyncio.to_thread(post, node, "init_sys_prompt")
        assert busy.status_code == 503
        assert "retry-after" in busy.headers
        health = await asyncio.to_thread(requests.get, f"{node.control_url}/health", timeout=10)
        assert health.status_code == 200, "a node in a call is a healthy one"


# --- engines that fail


def hear_again(node: Node) -> requests.Response:
    """A prefill of a session that lost its engine, as soon as it has another one."""
    while (heard := post(node, "streaming_prefill", audio=wav(speech(1.0)))).status_code == 503:
        # Another process: there is no event to wait for, only its answers.
        time.sleep(0.02)
    return heard


def test_an_engine_that_dies_is_no_healthy_one() -> None:
    with running_node() as node:
        node.engine().kill()
        for health in (node.until_healthy(code=503), requests.get(f"{node.control_url}/health", timeout=10)):
            assert health.status_code == 503
            assert "healthy" not in health.text
            assert "SIGKILL" in health.json()["message"]


def test_a_session_whose_engine_dies_goes_on_with_the_next() -> None:
    with running_node() as node:
        session_id = begin(node)["session_id"]
        prefill(node, speech(4.0))
        node.fault(slow_llm=200)
        with requests.post(f"{node.url}/omni/streaming_generate", stream=True, timeout=60) as stream:
            node.engine().kill()
            events = [json.loads(line[6:]) for line in stream.iter_lines() if line]
        assert "error" in events[-2]
        assert events[-1] == {"done": True}
        for url in (node.url, node.control_url):
            assert requests.get(f"{url}/health", timeout=10).status_code == 200, "or the backend would end the call"
        refused = post(node, "streaming_prefill", audio=wav(silence(0.1)))
        assert refused.status_code == 503
        assert "服务正在重启中，请稍后重试" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) >= 1
        assert requests.post(f"{node.control_url}/omni/break", timeout=10).json()["cpp_break"] is False
        assert hear_again(node).json()["session_id"] == session_id
        assert words(generate(node)).startswith("I heard 1.0 s")


def test_an_engine_that_says_nothing_after_a_break_is_replaced_in_the_same_session() -> None:
    with running_node() as node:
        session_id = begin(node)["session_id"]
        node.fault(answer_s=20)
        prefill(node, speech(1.0))
        with requests.post(f"{node.url}/omni/streaming_generate", stream=True, timeout=60) as stream:
            lines = (line for line in stream.iter_lines() if line)
            next(lines)
            node.fault(no_answer=True)
            assert post(node, "break").status_code == 200
            assert json.loads(list(lines)[-1][6:])["break"] is True
        prefill(node, speech(1.0))
        failed, done = generate(node)
        assert failed["error"].startswith("the engine says nothing, although it was asked 2 times. The session goes on")
        assert done == {"done": True}
        answered = hear_again(node)
        assert answered.json()["session_id"] == session_id
        assert words(generate(node)).startswith("I heard 1.0 s")


def test_while_the_engine_loads_the_ports_answer_and_say_so() -> None:
    with running_node("--parrot-fault", "slow_start=3", wait=False) as node:
        loading = node.until_healthy(code=503)
        assert loading.json()["status"] == "loading"
        assert "healthy" not in loading.text
        assert requests.get(f"{node.control_url}/health", timeout=10).status_code == 503
        assert post(node, "init_sys_prompt").status_code == 503
        assert post(node, "break").json() == {"detail": "模型未初始化"}
        assert '"healthy"' in node.until_healthy().text


async def test_keys_are_asked_for_everywhere_but_of_health() -> None:
    with running_node("--api-key", "sesame") as node:
        for url in (f"{node.url}/omni/init_sys_prompt", f"{node.url}/omni/break", f"{node.control_url}/omni/stop"):
            refused = await asyncio.to_thread(requests.post, url, json={}, timeout=10)
            assert refused.status_code == 401
            known = {"Authorization": "Bearer sesame"}
            assert (await asyncio.to_thread(requests.post, url, json={}, headers=known, timeout=60)).status_code == 200
        for url in (node.url, node.control_url):
            assert (await asyncio.to_thread(requests.get, f"{url}/health", timeout=10)).status_code == 200
        foreign = {"Authorization": "Bearer sesame", "Origin": "https://evil.example"}
        refused = await asyncio.to_thread(requests.post, f"{node.url}/omni/break", json={}, headers=foreign, timeout=10)
        assert refused.status_code == 403
