"""A short call in every dialect and over HTTP, with names and words of the test's own wherever a client may put any.

What is refused is refused: these calls want to know what becomes of what they say, not whether they are allowed to.
"""

import base64
import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
from PIL import Image
from websockets.exceptions import InvalidStatus

from duplex.wav import write_wav
from tests.realtime.server import Peer, peer
from tests.speech import silence, speech
from tests.web.live import RunningServer

__all__ = ["ENDS_LATE", "WAYS", "Sayings", "call_every_way"]

RATE_HZ = 16_000
_LONGEST_QUERY_NAME = 128
_QUESTION = speech(0.8) + silence(1.2)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _picture() -> str:
    content = io.BytesIO()
    Image.new("RGB", (64, 48), (9, 90, 190)).save(content, "JPEG")
    return _base64(content.getvalue())


@dataclass(frozen=True)
class Sayings:
    """What a client says."""

    name: str
    """Of sessions, voices, models, items, files, and whatever else."""
    word: str
    """In texts."""
    key: str | None = None

    sound: str = field(default_factory=lambda: _base64(_QUESTION))
    picture: str = field(default_factory=_picture)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    @property
    def query(self) -> str:
        """Names in an address are short, or nothing is let in."""
        name = quote(self.name[:_LONGEST_QUERY_NAME], safe="")
        return f"model={name}&voice=voice_{name}&session={name}&echo=cancelled&conversation=simplex"


async def call_every_way(server: RunningServer, says: Sayings) -> None:
    """One call after the other, each to the first sound of its answer."""
    for way in WAYS:
        await way(server, says)
        await server.until_engine("ready")


async def _beside_calls(server: RunningServer, says: Sayings) -> None:
    """The routes that are no call: voices, short-lived keys, pages."""
    voice = write_wav(speech(3.0), rate_hz=RATE_HZ)
    wanted: dict[str, Any] = {"type": "realtime", "model": says.name, "instructions": says.word}
    wanted |= {"audio": {"output": {"voice": says.name}}}
    async with _http(server, says) as client:
        named = {"Content-Disposition": f"attachment; filename={quote(says.name[:1000])}"}
        assert (await client.post("/v1/realtime/voices", content=voice, headers=named)).status_code == 200
        await client.post("/v1/realtime/voices", files={"file": (says.name, voice)})
        await client.post("/v1/realtime/client_secrets", json={"session": wanted})
        for path in ("static/", "v1/", ""):
            assert (await client.get(f"/{path}{quote(says.name[:1000], safe='')}")).status_code == 404


async def _over_http(server: RunningServer, says: Sayings) -> None:
    control = f"http://127.0.0.1:{server.control_port}"
    short = quote(says.name[:1000], safe="")
    others = dict.fromkeys(("session_id", "ref_audio", "output_dir", "model_dir", "audio_path_prefix"), says.name)
    prompts = dict.fromkeys(("audio_prompt_text", "task_prompt_text", "assistant_prompt"), says.word)
    async with _http(server, says) as client:
        for voice in (says.name, _base64(write_wav(speech(1.0), rate_hz=RATE_HZ))):
            opens = {"duplex_mode": True, "voice": voice, "language": says.name, **others, **prompts}
            assert (await client.post("/omni/init_sys_prompt", json=opens)).status_code == 200
        assert (await client.post("/omni/init_sys_prompt", json={"media_type": says.name})).status_code == 400
        assert (await client.post("/omni/init_sys_prompt", json={"duplex_mode": False})).status_code == 200
        heard = {"audio": _base64(write_wav(_QUESTION, rate_hz=RATE_HZ)), "image": says.picture}
        answer = await client.post("/omni/streaming_prefill", json={**heard, **others, "img_path_prefix": says.name})
        assert answer.status_code == 200
        for field_name in ("audio", "image", "frame_index"):
            assert (await client.post("/omni/streaming_prefill", json={field_name: says.name})).status_code in {
                400,
                422,
            }
        file = {"file": (says.name, b"RIFF")}
        assert (await client.post("/omni/streaming_prefill", files=file)).status_code == 422
        asks = {**others, "round_idx": says.name, "prompt": says.word}
        answer = await client.post("/omni/streaming_generate", json=asks)
        assert "chunk_data" in answer.text
        for url in ("/omni/break", "/omni/stop", f"{control}/omni/break", f"{control}/omni/stop"):
            assert (await client.post(f"{url}?session_id={short}", json=others)).status_code == 200


def _http(server: RunningServer, says: Sayings) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, headers=says.headers, trust_env=False, timeout=60)


async def _openai(server: RunningServer, says: Sayings) -> None:
    session: dict[str, Any] = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    named: dict[str, Any] = {"type": "realtime", "instructions": says.word, "model": says.name, "tools": [_tool(says)]}
    named |= {"audio": {"output": {"voice": says.name}}, "prompt": {"id": says.name}}
    await _converse(server, says, f"?{says.query}", [session, named], "response.output_audio.delta")


async def _beta(server: RunningServer, says: Sayings) -> None:
    session: dict[str, Any] = {"turn_detection": None}
    named: dict[str, Any] = {"instructions": says.word, "model": says.name, "voice": says.name, "tools": [_tool(says)]}
    beta = {"OpenAI-Beta": "realtime=v1"}
    await _converse(server, says, f"?{says.query}", [session, named], "response.audio.delta", beta)


async def _converse(
    server: RunningServer,
    says: Sayings,
    query: str,
    sessions: list[dict[str, Any]],
    answer: str,
    headers: Mapping[str, str] | None = None,
) -> None:
    async with peer(server.address, query, additional_headers={**says.headers, **(headers or {})}) as client:
        for session in sessions:
            await client.send({"type": "session.update", "event_id": says.name, "session": session})
        await client.send({"type": "input_audio_buffer.append", "event_id": says.name, "audio": says.sound})
        await client.send({"type": "input_audio_buffer.commit"})
        await client.send(
            {"type": "response.create", "response": {"conversation": says.name, "instructions": says.word}}
        )
        await client.send({"type": "response.create", "event_id": says.name})
        await client.until(answer)
        await client.send({"type": "response.cancel", "response_id": says.name})
        await _name_items(client, says)


async def _name_items(client: Peer, says: Sayings) -> None:
    """After the answer: what holds words that the engine cannot read keeps it from giving one."""
    content = [{"type": "input_text", "text": says.word}]
    item = {"id": says.name, "type": "message", "role": "user", "content": content}
    await client.send({"type": "conversation.item.create", "previous_item_id": says.name, "item": item})
    await client.send({"type": "conversation.item.create", "item": item})
    picture = {"type": "input_image", "image_url": f"data:image/jpeg;base64,{says.picture}"}
    for content in ([picture], [{**picture, "file_id": says.name}], [{**picture, "image_url": says.name}]):
        seen = {"type": "message", "role": "user", "content": content}
        await client.send({"type": "conversation.item.create", "item": seen})
    output = {"type": "function_call_output", "call_id": says.name, "output": says.word}
    await client.send({"type": "conversation.item.create", "item": output})
    for kind in ("retrieve", "truncate", "delete"):
        event = {"type": f"conversation.item.{kind}", "item_id": says.name, "content_index": 0, "audio_end_ms": 0}
        await client.send(event)
    await client.send({"type": "conversation.item.retrieve", "event_id": "last", "item_id": "none"})
    await client.wait(lambda: any(event.get("error", {}).get("event_id") == "last" for event in client.events))


def _tool(says: Sayings) -> dict[str, Any]:
    return {"type": "function", "name": says.name, "description": says.word, "parameters": {}}


async def _binary(server: RunningServer, says: Sayings) -> None:
    query = f"?audio=binary&input_rate={RATE_HZ}&{says.query}"
    async with peer(server.address, query, additional_headers=says.headers) as client:
        await client.until("session.created")
        await client.send({"type": "session.resume", "session_id": says.name, "token": says.name, "last_event_seq": 0})
        for at in range(0, len(_QUESTION), 640):
            await client.send(_QUESTION[at : at + 640])
        await client.wait(lambda: bool(client.sound))
        await _name_items(client, says)


async def _live(server: RunningServer, says: Sayings) -> None:
    audio = {"format": {"type": "audio/pcm", "rate": RATE_HZ}, "output": {"voice": {"id": says.name}}}
    start = {"model": says.name, "instructions": says.word, "audio": audio}
    path = "/v1/live/sessions"
    async with peer(server.address, f"?{says.query}", path=path, additional_headers=says.headers) as client:
        await client.send({"type": "session.start", "event_id": says.name, "session": start})
        for kind in ("instructions", "thinking", "commentary"):
            event = {"type": f"session.{kind}.append", "content": says.word, "delegation_id": says.name}
            await client.send(event)
        for at in range(0, len(_QUESTION), 3200):
            sound = _base64(_QUESTION[at : at + 3200])
            await client.send({"type": "session.input_audio.append", "audio": sound})
        await client.until("session.output_transcript.delta")
        await client.send({"type": "session.close"})
        await client.closed()


async def _demo(server: RunningServer, says: Sayings) -> None:
    query = f"?mode=video&{says.query}".replace("&conversation=simplex", "")
    sound = np.frombuffer(_QUESTION + silence(1.0), "<i2").astype("<f4") / 32_768
    async with peer(server.address, query, additional_headers=says.headers) as client:
        await client.until("session.queue_done")
        voices = dict.fromkeys(("ref_audio", "tts_ref_audio"), says.name)
        session = {"instructions": says.word, **voices, "voice_config": {says.name: says.name}}
        await client.send({"type": "session.update", "session": session})
        await client.until("session.created")
        for at in range(0, len(sound), RATE_HZ):
            heard = _base64(sound[at : at + RATE_HZ].tobytes())
            event = {"type": "input_audio_buffer.append", "audio": heard, "video_frames": [says.picture]}
            await client.send(event)
        await client.wait(lambda: any(event.get("audio") for event in client.events))
        await client.send({"type": "session.close", "reason": says.name})
        await client.closed()


async def _refused(server: RunningServer, says: Sayings) -> None:
    """Connections and messages that are let in nowhere."""
    for query in (f"?session={quote(says.name * 200, safe='')[:4000]}", f"?conversation={quote(says.name[:1000])}"):
        with contextlib.suppress(InvalidStatus):
            async with peer(server.address, query, additional_headers=says.headers) as client:
                await client.closed()
    async with peer(server.address, f"?{says.query}", additional_headers=says.headers) as client:
        await client.send({"type": says.name, says.name: says.word})
        await client.send(json.dumps({"type": "input_audio_buffer.append", "audio": says.word}))
        await client.send(f"{says.name} {says.word}")
        await client.until("error", times=3)


ENDS_LATE = (_live, _demo)
WAYS = (_beside_calls, _over_http, _openai, _beta, _binary, _live, _demo, _refused)
