"""`omni-duplex talk`: speak a file to a running server in real time, hear the answer, and cut it off when asked to."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from duplex.clock import Clock, MonotonicClock
from duplex.engine.base import ENGINE_INPUT_RATE_HZ, ENGINE_OUTPUT_RATE_HZ, Mode
from duplex.errors import OmniDuplexError
from web.talk_log import Reply, TalkLog

__all__ = ["Microphone", "TalkError", "TalkLimits", "TalkOptions", "read_speech", "talk"]

FRAME_S = 0.02
_FRAME_SAMPLES = ENGINE_INPUT_RATE_HZ // 50
_SILENCE = bytes(2 * _FRAME_SAMPLES)
_VOICED_SHARE = 0.05
"""A frame whose peak is above this share of the file's peak has speech in it; breath and noise lie below."""
_MAX_MESSAGE_BYTES = 16 * 2**20
_POLICY_VIOLATION = 1008


class TalkError(OmniDuplexError):
    """The talk could not be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class TalkOptions:
    """What to say to whom."""

    wav: Path
    url: str = "ws://127.0.0.1:9060/v1/realtime"
    out: Path | None = None
    interrupt_at_s: float | None = None
    """Speak again this long after the first audio of the answer."""
    mode: Mode | None = None
    """None leaves it to the server."""
    api_key: str | None = None
    trust: Path | None = None
    """The certificate of a wss server, PEM; trusted in place of the authorities of this machine."""


@dataclass(frozen=True, slots=True)
class TalkLimits:
    """How long each kind of waiting may last, in seconds."""

    start_s: float = 30.0
    """From the connection to `session.created`."""
    answer_s: float = 60.0
    """From the end of speech to the first audio of an answer."""
    quiet_s: float = 60.0
    """Between two messages while an answer goes on."""
    break_s: float = 10.0
    """From the onset of the interrupting speech to `output_audio_buffer.cleared`."""


@dataclass(slots=True)
class Utterance:
    """When one speaking of the file happened; None means "not yet"."""

    onset_s: float | None = None
    """When its first voiced frame was sent."""
    end_s: float | None = None
    """When its last voiced frame had been sent."""


class Microphone:
    """16-bit mono speech at 16 kHz as 20 ms frames, then silence for as long as one asks."""

    def __init__(self, speech: npt.NDArray[np.int16]) -> None:
        frames = -(-len(speech) // _FRAME_SAMPLES)
        padded = np.zeros(frames * _FRAME_SAMPLES, np.int16)
        padded[: len(speech)] = speech
        level = np.abs(padded.reshape(frames, _FRAME_SAMPLES).astype(np.int32)).max(axis=1)
        voiced = np.flatnonzero(level > _VOICED_SHARE * level.max())
        self._pcm = padded.astype("<i2").tobytes()
        self._position = 0
        self._onset_frame = int(voiced[0]) if len(voiced) else 0
        self._end_frame = int(voiced[-1]) + 1 if len(voiced) else frames
        self.frames = frames
        self.utterances = [Utterance()]

    @property
    def sent_frames(self) -> int:
        """Frames of the speech that have been sent."""
        return min(self._position, self.frames)

    @property
    def silent_since_s(self) -> float | None:
        """When the speech was over; None while it goes on."""
        return self.utterances[-1].end_s if self._position > self.frames else None

    def say_again(self) -> None:
        """The speech begins anew, without the pause a file may begin with: an interruption is timed from its onset."""
        self._position = self._onset_frame
        self.utterances.append(Utterance())

    def next_frame(self, now_s: float) -> bytes:
        """The frame to send now."""
        position = self._position
        if position == self._onset_frame:
            self.utterances[-1].onset_s = now_s
        if position == self._end_frame:
            self.utterances[-1].end_s = now_s
        self._position += 1
        size = len(_SILENCE)
        return self._pcm[position * size : (position + 1) * size] or _SILENCE


def read_speech(path: Path) -> npt.NDArray[np.int16]:
    """Any audio file libsndfile reads, as 16-bit mono at 16 kHz. Raises `TalkError`. Blocks."""
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise TalkError(f"{path} cannot be read as audio: {error}") from None
    mono = soxr.resample(samples.mean(axis=1), rate_hz, ENGINE_INPUT_RATE_HZ)
    if not len(mono):
        raise TalkError(f"{path} holds no audio.")
    return np.asarray(np.clip(np.rint(mono * 32768.0), -32768, 32767), dtype=np.int16)


async def talk(
    options: TalkOptions,
    *,
    console: Console,
    limits: TalkLimits | None = None,
    clock: Clock | None = None,
) -> list[Reply]:
    """Have the talk and return the replies. Raises `TalkError` when no answer came, or no break that was asked for."""
    microphone = Microphone(await asyncio.to_thread(read_speech, options.wav))
    conversation = _Talk(
        options,
        microphone,
        console=console,
        limits=limits or TalkLimits(),
        clock=clock or MonotonicClock(),
    )
    try:
        await conversation.run()
    finally:
        replies = conversation.log.replies
        if options.out is not None and any(reply.pcm for reply in replies):
            await asyncio.to_thread(_save, options.out, replies)
            console.print(f"Saved {options.out}", markup=False, highlight=False, soft_wrap=True)
    return replies


def _save(path: Path, replies: list[Reply]) -> None:
    pcm = b"".join(bytes(reply.pcm) for reply in replies)
    try:
        soundfile.write(path, np.frombuffer(pcm, "<i2"), ENGINE_OUTPUT_RATE_HZ, subtype="PCM_16", format="WAV")
    except (OSError, soundfile.LibsndfileError) as error:
        raise TalkError(f"{path} cannot be written: {error}") from None


class _Talk:
    """One connection: a task hears, the other speaks and checks the deadlines with each frame."""

    def __init__(
        self,
        options: TalkOptions,
        microphone: Microphone,
        *,
        console: Console,
        limits: TalkLimits,
        clock: Clock,
    ) -> None:
        self.log = TalkLog()
        self._options = options
        self._microphone = microphone
        self._console = console
        self._limits = limits
        self._clock = clock
        self._started_s = clock.now()
        self._interrupted: Reply | None = None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    async def run(self) -> None:
        try:
            async with connect(
                _with_query(self._options),
                additional_headers=_headers(self._options),
                compression=None,
                max_size=_MAX_MESSAGE_BYTES,
                ssl=await asyncio.to_thread(_trusting, self._options),
                # A proxy from the environment has no way to this machine.
                proxy=None if _is_local(self._options.url) else True,
            ) as socket:
                await self._converse(socket)
        except InvalidStatus as error:
            raise TalkError(f"{self._options.url} refused: HTTP {error.response.status_code}.") from None
        except (InvalidHandshake, InvalidURI) as error:
            raise TalkError(f"{self._options.url} is not a server of ours: {error}") from None
        except ssl.SSLCertVerificationError as error:
            raise TalkError(
                f"The certificate of {self._options.url} is not trusted: {error.verify_message}. The server prints at "
                "its start which file to give with --trust."
            ) from None
        except ssl.SSLError as error:
            raise TalkError(f"{self._options.url} does not speak TLS ({error.reason}): is it a ws:// server?") from None
        except OSError as error:
            raise TalkError(f"No server at {self._options.url} ({error}). Start one with `make run`.") from None
        self._summarise()

    async def _converse(self, socket: ClientConnection) -> None:
        try:
            with self._progress:
                async with asyncio.TaskGroup() as group:
                    hearing = group.create_task(self._hear(socket), name="hear")
                    await self._speak(socket)
                    hearing.cancel()
        except ExceptionGroup as group_error:
            raise _cause(group_error) from None

    async def _hear(self, socket: ClientConnection) -> None:
        async for message in socket:
            now_s = self._clock.now()
            if isinstance(message, bytes):
                self.log.receive_audio(message, now_s)
                continue
            try:
                line = self.log.receive_text(message, now_s)
            except (TypeError, ValueError) as error:
                raise TalkError(f"The server sent something that is not an event: {error}") from None
            if line is not None:
                self._print(f"{now_s - self._started_s:8.3f} s  {line}")
        raise TalkError(_farewell(socket.close_code, socket.close_reason))

    async def _speak(self, socket: ClientConnection) -> None:
        """A microphone never stops: frames of speech or of silence go out until the answer is over."""
        bar = self._progress.add_task("waiting for the session", total=self._microphone.frames)
        begun_s = self._clock.now()
        while not self.log.started:
            if self._clock.now() - begun_s > self._limits.start_s:
                raise TalkError(f"The server gave no session within {self._limits.start_s:.0f} s.")
            await asyncio.sleep(FRAME_S)
        due_s = self._clock.now()
        while not self._finished():
            now_s = self._clock.now()
            self._check_deadlines(now_s)
            self._interrupt_if_due(now_s)
            await socket.send(self._microphone.next_frame(now_s))
            self._progress.update(bar, description=self._description(), completed=self._microphone.sent_frames)
            due_s = max(due_s + FRAME_S, now_s - FRAME_S)
            await asyncio.sleep(max(0.0, due_s - self._clock.now()))

    def _finished(self) -> bool:
        silent_since_s = self._microphone.silent_since_s
        if silent_since_s is None or self.log.active is not None:
            return False
        if self._options.interrupt_at_s is None:
            return any(reply.answered and (reply.done_s or 0.0) >= silent_since_s for reply in self.log.replies)
        broken = self._interrupted
        if broken is None or broken.cleared_s is None:
            return False
        return any(reply.answered and reply.created_s >= broken.cleared_s for reply in self.log.replies)

    def _interrupt_if_due(self, now_s: float) -> None:
        silent_since_s = self._microphone.silent_since_s
        if self._options.interrupt_at_s is None or self._interrupted is not None or silent_since_s is None:
            return
        heard = (reply for reply in self.log.replies if reply.done_s is None or reply.done_s >= silent_since_s)
        answer = next((reply for reply in heard if reply.first_audio_s is not None), None)
        if answer is None or answer.first_audio_s is None:
            return
        if answer.done_s is not None:
            raise TalkError(
                f"The answer was over after {answer.duration_s:.1f} s, before it could be interrupted: "
                "choose a smaller --interrupt-at."
            )
        if now_s - answer.first_audio_s >= self._options.interrupt_at_s:
            self._interrupted = answer
            self._microphone.say_again()

    def _check_deadlines(self, now_s: float) -> None:
        limits, broken = self._limits, self._interrupted
        onset_s, silent_since_s = self._microphone.utterances[-1].onset_s, self._microphone.silent_since_s
        if broken is not None and broken.cleared_s is None:
            if broken.done_s is not None:
                raise TalkError("The answer ended by itself while it was being interrupted.")
            if onset_s is not None and now_s - onset_s > limits.break_s:
                raise TalkError(f"The answer went on for {limits.break_s:.0f} s although it was interrupted.")
        if silent_since_s is None:
            return
        if self.log.active is None and now_s - silent_since_s > limits.answer_s:
            raise TalkError(f"No answer within {limits.answer_s:.0f} s after the end of speech.")
        if self.log.active is not None and now_s - max(silent_since_s, self.log.last_message_s) > limits.quiet_s:
            raise TalkError(f"The answer stopped in the middle: nothing came for {limits.quiet_s:.0f} s.")

    def _description(self) -> str:
        if self._microphone.silent_since_s is None:
            return "interrupting" if self._interrupted else "speaking"
        return "listening" if self.log.active else "waiting"

    def _summarise(self) -> None:
        for number, reply in enumerate((reply for reply in self.log.replies if reply.pcm), start=1):
            self._print(f"Answer {number}: {reply.duration_s:.2f} s of audio, {reply.status}{self._latency(reply)}")
        broken, onset_s = self._interrupted, self._microphone.utterances[-1].onset_s
        if broken is not None and broken.cleared_s is not None and onset_s is not None:
            self._print(
                f"Break: cleared {1000 * (broken.cleared_s - onset_s):.0f} ms after speech onset, "
                f"{broken.stale_bytes} stale bytes after it"
            )

    def _latency(self, reply: Reply) -> str:
        first_s = reply.first_audio_s or 0.0
        ends = [said.end_s for said in self._microphone.utterances if said.end_s is not None and said.end_s <= first_s]
        return f", first audio {1000 * (first_s - ends[-1]):.0f} ms after the end of speech" if ends else ""

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _with_query(options: TalkOptions) -> str:
    parts = urlsplit(options.url)
    query = dict(parse_qsl(parts.query))
    query |= {"audio": "binary", "input_rate": str(ENGINE_INPUT_RATE_HZ), "output_rate": str(ENGINE_OUTPUT_RATE_HZ)}
    if options.mode is not None:
        query["conversation"] = str(options.mode)
    return urlunsplit(parts._replace(query=urlencode(query)))


def _trusting(options: TalkOptions) -> ssl.SSLContext | bool | None:
    """What a wss server is judged by; True is the authorities of this machine. None for a server without TLS."""
    encrypted = urlsplit(options.url).scheme == "wss"
    if options.trust is None:
        return encrypted or None
    if not encrypted:
        raise TalkError(f"--trust is for servers with TLS, and {options.url} is not one: write wss://.")
    try:
        return ssl.create_default_context(cafile=options.trust)
    except ssl.SSLError:
        raise TalkError(f"--trust {options.trust} holds no certificate in PEM format.") from None
    except OSError as error:
        raise TalkError(f"--trust {options.trust} cannot be read: {error.strerror}.") from None


def _headers(options: TalkOptions) -> dict[str, str]:
    return {"Authorization": f"Bearer {options.api_key}"} if options.api_key else {}


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}


def _cause(group: ExceptionGroup[Exception]) -> Exception:
    """What to tell the user: our own finding, else how the connection ended; anything else is a bug and stays whole."""
    for error in group.exceptions:
        if isinstance(error, TalkError):
            return error
    for error in group.exceptions:
        if isinstance(error, ConnectionClosed):
            close = error.rcvd
            return TalkError(_farewell(close.code if close else None, close.reason if close else None))
    return group


def _farewell(code: int | None, reason: str | None) -> str:
    hint = " Give the server's key with --api-key." if code == _POLICY_VIOLATION else ""
    return f"The server ended the talk (code {code or 'none'}): {reason or 'no reason given'}.{hint}".replace("..", ".")
