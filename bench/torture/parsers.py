"""All that reads what others send: with messages that are right, and the refusals that may come of wrong ones."""

import asyncio
import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import soundfile
from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from PIL import Image
from starlette.types import Message

from bench.torture.voice import utterance
from duplex.conversation_settings import ConversationSettings
from duplex.engine.base import Mode
from duplex.engine.llama_wire import check_success, is_not_initialised, parse_decode_event
from duplex.engine.sse import SseDecoder
from duplex.errors import (
    ClientError,
    ClientStalled,
    EngineRefused,
    InvalidAudio,
    InvalidEvent,
    MessageTooBig,
    NoSession,
    NotAuthorised,
    OriginRefused,
)
from duplex.pictures import check_picture
from duplex.wav import IncompleteWav, read_wav, write_wav
from http_compat.body import read_model, read_object
from http_compat.decode import decode_image, decode_sound
from http_compat.opening import choose
from http_compat.schemas import InitRequest, PrefillRequest
from http_compat.uploads import decode_base64, plain_pcm
from realtime.access import Access
from realtime.client_secrets import ClientSecrets, parse_wish
from realtime.dialects.base import Dialect, SessionFacts
from realtime.dialects.choice import make_dialect
from realtime.dialects.session_object import SessionObject
from realtime.keys import KeyRing, parse_keys
from realtime.options import DEFAULT_MODEL, Protocol, parse_options
from realtime.resume import parse_resume
from realtime.voices import check_voice

__all__ = ["Parser", "parsers"]

_FACTS = SessionFacts("abc", "minicpm-o-4.5", "parrot", stand_in=True)
_DIALECT_LIVES = 100
"""Messages that one dialect reads, so that what one of them changes meets the next."""
_REQUEST_REFUSALS = (RequestValidationError, HTTPException, MessageTooBig, ClientStalled, InvalidEvent, InvalidAudio)


@dataclass(frozen=True, slots=True)
class Parser:
    """`read` takes one message and raises one of `refusals`, or nothing. `share`: of the messages of a run."""

    name: str
    share: float
    seeds: Sequence[bytes]
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]


def parsers() -> Mapping[str, Parser]:
    """All of them, by name. Each process makes its own: some remember what they have read."""
    return {parser.name: parser for parser in (*_dialects(), *_connections(), *_engine(), *_uploads(), *_bodies())}


# --- the WebSocket


def _dialects() -> Iterator[Parser]:
    openai = [json.dumps(event).encode() for event in _OPENAI]
    flat = json.dumps({"type": "session.update", "session": {"voice": "ash", "turn_detection": {"type": "server_vad"}}})
    yield _dialect("openai", 0.18, openai, Protocol.OPENAI, {"ext": "1"})
    yield _dialect("openai-beta", 0.1, [*openai, flat.encode()], Protocol.OPENAI_BETA, {})
    yield _dialect("binary", 0.04, [utterance(0, 0.05), bytes(640), b"\0", b""], Protocol.OPENAI, {"audio": "binary"})
    yield _dialect("live", 0.1, [json.dumps(event).encode() for event in _LIVE], Protocol.LIVE, {})
    demo = [json.dumps(event).encode() for event in _DEMO]
    yield _dialect("minicpmo", 0.1, demo, Protocol.MINICPMO, {"mode": "video"})
    resume = {"session_id": "8c1f0a6b", "resume_token": "q0", "last_received_server_event_seq": 41}
    yield Parser(
        "resume",
        0.03,
        [json.dumps({"type": "session.resume", **resume}).encode()],
        lambda frame: parse_resume(_text(frame)),
        (NoSession,),
    )


def _dialect(name: str, share: float, seeds: Sequence[bytes], protocol: Protocol, query: Mapping[str, str]) -> Parser:
    options = parse_options(query, ConversationSettings(), protocol)
    read_so_far = 0
    dialect: Dialect = make_dialect(protocol, _FACTS, options, expires_at=0)

    def read(frame: bytes) -> None:
        nonlocal dialect, read_so_far
        read_so_far += 1
        if read_so_far % _DIALECT_LIVES == 0:
            dialect = make_dialect(protocol, _FACTS, options, expires_at=0)
        dialect.decode(frame if options.binary else _text(frame))

    return Parser(name, share, seeds, read, (ClientError,))


def _connections() -> Iterator[Parser]:
    queries = [
        b"audio=binary&ext=1&conversation=simplex&input_rate=16000&output_rate=48000&barge_in=eager&echo=cancelled",
        b"mode=video&queue=0&pictures=high&voice=voice_a&model=m",
        b"session=kitchen&resume=1&input_transcript=marks&duplex=0",
    ]

    def read_query(query: bytes) -> None:
        for protocol in Protocol:
            parse_options(dict(parse_qsl(_text(query))), ConversationSettings(), protocol)

    yield Parser("query", 0.06, queries, read_query, (InvalidEvent, InvalidAudio))
    access = Access(KeyRing(["secret"]), ("https://a.example",), ClientSecrets(lambda: 0.0))
    heads = [
        b"authorization: Bearer secret\nhost: 127.0.0.1:9060\norigin: http://127.0.0.1:9060",
        b"x-api-key: secret\norigin: https://[::1]:80\nhost: [::1]:80",
        b"origin: null\nauthorization: bearer  ek_1",
    ]

    def read_head(head: bytes) -> None:
        # As ASGI servers hand them on.
        lines = (line.partition(": ") for line in head.decode("latin-1").split("\n"))
        access.check({name.lower(): value for name, _, value in lines})

    yield Parser("access", 0.05, heads, read_head, (NotAuthorised, OriginRefused))

    def read_keys(content: bytes) -> None:
        keys = parse_keys(content.decode("utf-8"))
        if keys:
            KeyRing(["one"]).exchange(keys)

    yield Parser("key file", 0.04, ["# Küche\n6f1c\n\na07b\r\n".encode()], read_keys, (UnicodeDecodeError,))
    wish = {"expires_after": {"anchor": "created_at", "seconds": 600}, "session": _OPENAI[0]["session"]}

    def read_wish(body: bytes) -> None:
        begun = SessionObject.begin("", DEFAULT_MODEL, ConversationSettings())
        begun.updated(parse_wish(body).session)

    yield Parser("client secret", 0.04, [json.dumps(wish).encode(), b""], read_wish, (ClientError,))


# --- the engine


def _engine() -> Iterator[Parser]:
    events = [
        {"content": "Hi", "stop": False, "is_listen": False, "end_of_turn": False},
        {"content": "", "stop": False, "is_listen": True, "end_of_turn": True},
        {"content": "", "stop": True, "is_listen": False, "end_of_turn": True},
    ]
    stream = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\r\n\r\n"

    def read_stream(content: bytes) -> None:
        decoder = SseDecoder()
        middle = len(content) // 2
        for piece in (content[:middle], content[middle:]):
            for payload in decoder.feed(piece):
                parse_decode_event(payload)
        decoder.close()

    yield Parser("engine stream", 0.06, [stream, b": hi\n" + stream], read_stream, (EngineRefused,))

    def read_answer(content: bytes) -> None:
        is_not_initialised(400, content)
        check_success("prefill", 200, content)

    answers = [b'{"success":true,"cnt":1}', b'{"error":{"code":400,"message":"not initialized","type":"t"}}']
    yield Parser("engine answer", 0.04, answers, read_answer, (EngineRefused,))

    def read_spooled(content: bytes) -> None:
        read_wav(content, torn=len(content) % 2 == 1)

    yield Parser("engine WAV", 0.06, [_WAV, _WAV[:60]], read_spooled, (IncompleteWav, InvalidAudio))


# --- sound and pictures


def _uploads() -> Iterator[Parser]:
    yield Parser("picture", 0.04, _pictures("PNG", "JPEG"), lambda it: check_picture(it, "image"), (InvalidEvent,))
    voice = write_wav(bytes(6 * 16_000), rate_hz=16_000)
    yield Parser("voice", 0.005, [voice[:4000], _WAV, voice], check_voice, (InvalidEvent, InvalidAudio))
    sounds = [_WAV, *(_sound(form) for form in ("FLAC", "OGG", "MP3", "AIFF", "AU"))]
    yield Parser("sound over HTTP", 0.015, sounds, lambda it: _hear(_base64(it)), (InvalidAudio,))
    pictures = _pictures("PNG", "JPEG", "GIF", "WEBP", "BMP")
    yield Parser("picture over HTTP", 0.01, pictures, lambda it: _see(_base64(it)), (InvalidEvent,))


def _sound(form: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.frombuffer(utterance(1, 0.1), dtype="<i2"), 16_000, format=form)
    return file.getvalue()


def _pictures(*forms: str) -> list[bytes]:
    files = []
    for form in forms:
        file = io.BytesIO()
        Image.new("RGB", (20, 10), (200, 30, 40)).save(file, form)
        files.append(file.getvalue())
    return files


def _hear(upload: str) -> bytes:
    content = decode_base64(upload, "audio")
    pcm = plain_pcm(content)
    return decode_sound(content) if pcm is None else pcm


def _see(upload: str) -> bytes:
    return decode_image(decode_base64(upload, "image"))


# --- bodies of HTTP requests


def _bodies() -> Iterator[Parser]:
    loop = asyncio.new_event_loop()

    async def decode(upload: str) -> bytes:
        return _hear(upload)

    def read_init(body: bytes) -> None:
        async def read() -> None:
            await choose(await read_model(_request(body), InitRequest), Mode.DUPLEX, decode)

        loop.run_until_complete(read())

    def read_prefill(body: bytes) -> None:
        async def read() -> None:
            asked = await read_model(_request(body), PrefillRequest)
            if asked.audio:
                _hear(asked.audio)
            if asked.image:
                _see(asked.image)

        loop.run_until_complete(read())

    def read_generate(body: bytes) -> None:
        async def read() -> None:
            await read_object(_request(body))

        loop.run_until_complete(read())

    init = {"media_type": "omni", "msg_type": 2, "duplex_mode": True, "highImage": False, "language": "zh", "voice": ""}
    prefill = {"audio": _base64(_WAV), "image_audio_id": 1, "frame_index": 0, "is_last_chunk": True, "session_id": "a"}
    picture = {"image": _base64(_pictures("PNG")[0]), "max_slice_nums": 1, "last_chunk": None}
    yield Parser("init body", 0.015, [json.dumps(init).encode()], read_init, _REQUEST_REFUSALS)
    prefills = [json.dumps(body).encode() for body in (prefill, picture)]
    yield Parser("prefill body", 0.01, prefills, read_prefill, _REQUEST_REFUSALS)
    yield Parser("generate body", 0.005, [b'{"keep_open": true}', b""], read_generate, _REQUEST_REFUSALS)


def _request(body: bytes) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "headers": [(b"content-type", b"application/json")]}, receive)


def _text(content: bytes) -> str:
    """What a text message can hold: WebSocket libraries close the connection for anything else."""
    return content.decode("utf-8", "replace")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


_WAV = write_wav(utterance(2, 0.1), rate_hz=16_000)
_AUDIO = _base64(utterance(3, 0.05))
_PIXEL = _base64(_pictures("PNG")[0])
_TURNS = {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 500, "prefix_padding_ms": 300}

_OPENAI: Sequence[dict[str, Any]] = (
    {
        "type": "session.update",
        "event_id": "e1",
        "session": {
            "type": "realtime",
            "instructions": "Be brief.",
            "tools": [],
            "audio": {
                "input": {"format": {"type": "audio/pcm", "rate": 16000}, "turn_detection": _TURNS},
                "output": {"format": {"type": "audio/pcmu"}, "voice": "ash", "speed": 1.0},
            },
        },
    },
    {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}},
    {"type": "input_audio_buffer.append", "audio": _AUDIO, "video_frames": [_PIXEL]},
    {"type": "input_audio_buffer.commit"},
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {
            "id": "item_a",
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_audio", "audio": _AUDIO},
                {"type": "input_image", "image_url": f"data:image/png;base64,{_PIXEL}"},
                {"type": "input_text", "text": "Hi"},
            ],
        },
    },
    {"type": "conversation.item.retrieve", "item_id": "item_a"},
    {"type": "conversation.item.truncate", "item_id": "item_a", "content_index": 0, "audio_end_ms": 1240},
    {"type": "conversation.item.delete", "item_id": "item_a"},
    {"type": "response.create", "response": {"metadata": {"a": "b"}, "input": [], "tool_choice": "auto"}},
    {"type": "response.cancel", "response_id": "resp_1"},
    {"type": "playback.ack", "response_id": "resp_1", "played_ms": 1240},
    {"type": "session.event_ack", "server_event_seq": 1},
)

_LIVE: Sequence[dict[str, Any]] = (
    {
        "type": "session.start",
        "event_id": "e1",
        "session": {"model": "m", "audio": {"format": {"type": "audio/pcm", "rate": 24000}, "output": {"voice": "v"}}},
    },
    {"type": "session.input_audio.append", "audio": _AUDIO},
    {"type": "session.input_audio.mute"},
    {"type": "session.update", "session": {"delegation": {}, "triggers": []}},
    {"type": "session.instructions.append", "text": "t", "event_id": "e2"},
    {"type": "session.commentary.append", "text": "t"},
)

_DEMO: Sequence[dict[str, Any]] = (
    {"type": "session.update", "session": {"instructions": "Be brief.", "max_slice_nums": 1, "voice_config": {}}},
    {
        "type": "input_audio_buffer.append",
        "audio": _base64(np.zeros(4000, dtype="<f4").tobytes()),
        "video_frames": [_PIXEL],
        "force_listen": True,
    },
    {"type": "response.cancel"},
)
