"""A llama-server in a few lines, behind httpx's mock transport: the test scripts what each decode says and writes."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from duplex.engine.stale import HELD_SAMPLES
from duplex.wav import read_wav, write_wav

OVER = {"content": "", "stop": True, "is_listen": False, "end_of_turn": True}
LISTEN = {"content": "", "stop": False, "is_listen": True, "end_of_turn": True}
DONE = b"data: [DONE]\n\n"
NOT_INITIALISED = "omni context not initialized. call /v1/stream/omni_init first"


def text(fragment: str) -> dict[str, object]:
    """A text event."""
    return {"content": fragment, "stop": False, "is_listen": False, "end_of_turn": False}


def sse(*events: dict[str, object]) -> bytes:
    """Events as the engine sends them, without the last one."""
    return b"".join(
        b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n" for event in events
    )


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    name: str
    body: dict[str, object]


Decode = Callable[["FakeLlama", Path], AsyncIterator[bytes]]


@dataclass(slots=True)
class FakeLlama:
    """Remembers every call and answers with success unless told otherwise."""

    output_dir: Path
    calls: list[Call] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    decodes: list[Decode] = field(default_factory=list)
    answers: dict[str, list[httpx.Response | Exception]] = field(default_factory=dict)
    on_call: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    is_initialised: bool = False
    has_spoken: bool = False
    replays: bool = False

    def client(self) -> httpx.AsyncClient:
        """A client that reaches nothing but this."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._handle), trust_env=False)

    def replay(self) -> bytes:
        """What opens the next WAV: in the first of an answer the end of the last one, as the real vocoder does it."""
        replays, self.replays, self.has_spoken = self.replays, False, True
        return bytes(2 * HELD_SAMPLES) if replays else b""

    def names(self) -> list[str]:
        """The calls so far."""
        return [call.name for call in self.calls]

    def bodies(self, name: str) -> list[dict[str, object]]:
        """The bodies of one kind of call."""
        return [call.body for call in self.calls if call.name == name]

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        name = request.url.path.removeprefix("/v1/stream/")
        body = json.loads(request.content)
        self.calls.append(Call(name, body))
        if name in self.on_call:
            await self.on_call[name]()
        if self.answers.get(name):
            answer = self.answers[name].pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if name == "omni_init":
            self.is_initialised, self.has_spoken = True, False
        elif not self.is_initialised:
            return error(400, NOT_INITIALISED)
        if name == "prefill" and body["audio_path_prefix"]:
            self.heard.append(read_wav(Path(body["audio_path_prefix"]).read_bytes()).pcm)  # noqa: ASYNC240
        if name == "decode":
            self.replays = self.has_spoken
            wav_dir = self.output_dir / "tts_wav"
            if "round_idx" in body:
                wav_dir = self.output_dir / f"round_{body['round_idx']:03d}" / "tts_wav"
            return httpx.Response(200, content=self.decodes.pop(0)(self, wav_dir))
        return httpx.Response(200, json={"success": True})


def error(code: int, message: str) -> httpx.Response:
    """An error answer."""
    return httpx.Response(code, json={"error": {"code": code, "message": message, "type": "x"}})


def put_wav(wav_dir: Path, number: int, pcm: bytes = b"ab") -> None:
    """A finished WAV."""
    (wav_dir / f"wav_{number}.wav").write_bytes(write_wav(pcm, rate_hz=24_000))


def put_begun_group(root: Path, number: int) -> None:
    """What a duplex TTS writes before it makes a group."""
    (root / "llm_debug").mkdir(exist_ok=True)
    with (root / "llm_debug" / "llm_token_ids.txt").open("a") as file:
        file.write(f"[chunk_{number}] 11 12 13\n")


def put_tokens(wav_dir: Path, number: int, count: int) -> None:
    """A group of audio tokens."""
    (wav_dir / f"audio_tokens_chunk_{number}.bin").write_bytes(bytes(4 * count))


def put_flag(wav_dir: Path, number: int) -> None:
    """The done flag."""
    (wav_dir / "generation_done.flag").write_text(f"{number}\n")


def says(*fragments: str, wavs: int = 1, flag: bool = True) -> Decode:
    """A simplex answer: text, WAVs and the flag, all at once."""

    async def decode(llama: FakeLlama, wav_dir: Path) -> AsyncIterator[bytes]:
        yield sse(*(text(fragment) for fragment in fragments))
        first = 1000 * int(wav_dir.parent.name.removeprefix("round_"))
        for index in range(wavs):
            put_wav(wav_dir, first + index, llama.replay() + bytes([index, 1]))
        if flag:
            put_flag(wav_dir, first + wavs - 1)
        yield sse(OVER) + DONE

    return decode


async def says_nothing(_: FakeLlama, __: Path) -> AsyncIterator[bytes]:
    """A simplex answer to a break that nothing ran for."""
    yield sse(OVER) + DONE


async def listens(_: FakeLlama, __: Path) -> AsyncIterator[bytes]:
    """A duplex step without a word."""
    yield sse(LISTEN) + DONE
