"""Clips over answers in one live call, one after the other, and what the server made of each."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.caller import Caller, calling
from bench.errors import BenchError
from bench.overlap.home import Echo, Home
from bench.overlap.sounds import Clip, Kind
from bench.server import Server
from bench.speech import RATE_HZ, Samples
from duplex.barge_in import BargeIn
from duplex.engine.base import Mode
from web.talk_log import Reply

__all__ = ["ANSWER_S", "Condition", "Overlap", "Trial", "overlap"]

ANSWER_S = 14.0
"""How long the parrot is told to speak."""
_LATEST_S = 9.0
"""After so much of an answer no clip begins any more: it must be over before the answer is."""
_EARLIEST_S = 0.3
_APART_S = 1.4
_AFTER_S = 0.8
"""So long after a clip its consequences are waited for."""
_LEARN_S = {"noise": 9.0, "quiet": 0.5}
"""The server follows a noise floor by 2 dB a second."""
_LIMIT_S = 20.0
_ANSWER_WITHIN_S = 6.0
_ASKED_AT_MOST = 4
"""In loud noise a question may be missed."""
_ACK_EVERY_S = 0.2
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Condition:
    """What one call is like."""

    name: str
    barge_in: BargeIn
    noise: Samples | None = None
    echo: Echo | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """One clip. Times are seconds after its onset; None is never."""

    condition: str
    barge_in: BargeIn
    kind: Kind
    clip: str
    into_answer_s: float
    """How much of the answer's sound had come when the clip began."""
    held_s: float | None
    released_s: float | None
    cut_s: float | None
    last_byte_s: float | None
    """Of the answer that was held or cut: the last audio before it stopped."""
    clip_s: float
    answered_s: float | None
    """From the end of the clip to the first sound of the next answer, after a cut."""
    stale_bytes: int


@dataclass(slots=True)
class _Seen:
    """What came from the server since the last clip began."""

    held: list[float] = field(default_factory=list)
    released: list[float] = field(default_factory=list)
    audio: list[float] = field(default_factory=list)


class _Listener:
    """Plays what the server says as a client would, and notes when it came."""

    def __init__(self, caller: Caller, home: Home) -> None:
        self.seen = _Seen()
        self.is_held = False
        self.response_id = ""
        self._home = home
        caller.on_message = self._hear

    def _hear(self, message: dict[str, object] | bytes, now_s: float) -> None:
        speaker = self._home.loudspeaker
        if isinstance(message, bytes):
            self.seen.audio.append(now_s)
            speaker.receive(message)
            return
        match message["type"]:
            case "response.created":
                response = message["response"]
                assert isinstance(response, dict)
                self.response_id = str(response["id"])
                speaker.begin()
            case "output_audio_buffer.ducked":
                self.seen.held.append(now_s)
                self.is_held = True
                speaker.hold()
            case "output_audio_buffer.resumed":
                self.seen.released.append(now_s)
                self.is_held = False
                speaker.release()
            case "output_audio_buffer.cleared":
                self.is_held = False
                speaker.flush()

    async def report(self, caller: Caller) -> None:
        """Tell the server how far the loudspeaker has come, for ever."""
        while True:
            await asyncio.sleep(_ACK_EVERY_S)
            played_ms = self._home.loudspeaker.played * 1000 // RATE_HZ
            if played_ms:
                await caller.send({"type": "playback.ack", "response_id": self.response_id, "played_ms": played_ms})


@dataclass(frozen=True, slots=True)
class Overlap:
    """What one call gave: its trials, and between them seconds without a clip, with holds and cuts for nothing."""

    condition: Condition
    trials: list[Trial]
    quiet_s: float
    false_holds: int
    false_cuts: int
    asked_s: list[float]
    """From the end of each question that nobody interrupted to the first sound of its answer."""


async def overlap(server: Server, condition: Condition, clips: Sequence[Clip], question: Clip, *, seed: int) -> Overlap:
    """One call: every clip over an answer. `question` is said when there is none."""
    home = Home(condition.noise, condition.echo)
    # As the page does: without an echo, a client says that there is none to expect.
    echo = "cancelled" if condition.echo is None else "open"
    url = server.url(conversation=str(Mode.SIMPLEX), barge_in=str(condition.barge_in), output_rate="16000", echo=echo)
    async with server.one_call(), calling(url, home) as caller:
        run = _Run(caller, home, condition, question, np.random.default_rng(seed))
        reporting = asyncio.create_task(run.listener.report(caller), name="report")
        try:
            await run.all(clips)
        finally:
            reporting.cancel()
    return Overlap(condition, run.trials, run.quiet_s, run.false_holds, run.false_cuts, run.asked_s)


class _Run:
    def __init__(
        self, caller: Caller, home: Home, condition: Condition, question: Clip, random: np.random.Generator
    ) -> None:
        self.trials: list[Trial] = []
        self.quiet_s = 0.0
        self.asked_s: list[float] = []
        self.false_holds = self.false_cuts = 0
        self.listener = _Listener(caller, home)
        self._caller = caller
        self._home = home
        self._condition = condition
        self._question = question
        self._random = random
        self._free_s = 0.0
        self._asked_until_s: float | None = None

    async def all(self, clips: Sequence[Clip]) -> None:
        noisy = self._condition.noise is not None
        self._free_s = time.monotonic() + _LEARN_S["noise" if noisy else "quiet"]
        for clip in clips:
            reply = await self._answering()
            await self._try(reply, clip)

    async def _answering(self) -> Reply:
        """An answer with enough left of it, asked for if need be."""
        while True:
            reply = self._caller.log.active
            now_s = time.monotonic()
            if reply is None or reply.cleared_s is not None:
                await self._ask()
            elif reply.first_audio_s is None:
                await asyncio.sleep(_LOOK_S)
            elif now_s - reply.first_audio_s < _LATEST_S:
                if self._asked_until_s is not None:
                    self.asked_s.append(reply.first_audio_s - self._asked_until_s)
                    self._asked_until_s = None
                return reply
            else:
                await self._caller.until(lambda: self._caller.log.active is None, "end of an answer", _LIMIT_S)
                self._free_s = time.monotonic() + 0.5

    async def _ask(self) -> None:
        """Say the question, unless what was said last is being answered already."""
        known = len(self._caller.log.replies)
        give_up_s = max(self._free_s, time.monotonic()) + 1.5
        while time.monotonic() < give_up_s:
            if len(self._caller.log.replies) > known:
                return
            await asyncio.sleep(_LOOK_S)
        for _ in range(_ASKED_AT_MOST):
            said = self._home.say(self._question, onset=self._caller.sample_at(time.monotonic() + 0.3))
            self._free_s = self._caller.heard_at_s(said.start + len(self._question.samples))
            self._asked_until_s = self._caller.heard_at_s(said.end)
            give_up_s = self._free_s + _ANSWER_WITHIN_S
            while time.monotonic() < give_up_s:
                if len(self._caller.log.replies) > known:
                    return
                await asyncio.sleep(_LOOK_S)
        raise BenchError(f"{self._condition.name}: {_ASKED_AT_MOST} questions were not answered.")

    async def _try(self, reply: Reply, clip: Clip) -> None:
        caller = self._caller
        assert reply.first_audio_s is not None
        wish_s = max(time.monotonic() + 0.25, self._free_s + _APART_S, reply.first_audio_s + _EARLIEST_S)
        wish_s += self._random.uniform(0.0, 0.5)
        began_s = time.monotonic()
        said = self._home.say(clip, onset=caller.sample_at(wish_s) + int(self._random.integers(320)))
        onset_s, end_s = caller.heard_at_s(said.onset), caller.heard_at_s(said.end)
        self._free_s = end_s
        await asyncio.sleep(max(0.0, onset_s - time.monotonic()))
        self.false_holds += len(self.listener.seen.held)
        self.false_cuts += reply.cleared_s is not None
        self.quiet_s += onset_s - began_s
        self.listener.seen = seen = _Seen()
        if reply.cleared_s is not None or reply.done_s is not None:
            return
        while time.monotonic() < end_s + _AFTER_S or self.listener.is_held:
            if reply.cleared_s is not None:
                break
            await asyncio.sleep(_LOOK_S)
        await self._keep(reply, clip, seen, onset_s, end_s)

    async def _keep(self, reply: Reply, clip: Clip, seen: _Seen, onset_s: float, end_s: float) -> None:
        cut_s, answered_s = reply.cleared_s, None
        if cut_s is not None and clip.kind is Kind.INTERRUPTION:
            answered_s = await self._next_sound_s(reply, end_s)
        stopped_s = seen.held[0] if seen.held else cut_s
        before_stop = [at_s for at_s in seen.audio if stopped_s is not None and at_s <= stopped_s + 0.1]
        self.trials.append(
            Trial(
                condition=self._condition.name,
                barge_in=self._condition.barge_in,
                kind=clip.kind,
                clip=clip.name,
                into_answer_s=onset_s - (reply.first_audio_s or onset_s),
                held_s=seen.held[0] - onset_s if seen.held else None,
                released_s=seen.released[-1] - onset_s if seen.released else None,
                cut_s=None if cut_s is None else cut_s - onset_s,
                last_byte_s=before_stop[-1] - onset_s if before_stop else None,
                clip_s=end_s - onset_s,
                answered_s=answered_s,
                stale_bytes=reply.stale_bytes,
            )
        )
        # What comes from here on until the next clip is nobody's doing.
        self.listener.seen = _Seen()

    async def _next_sound_s(self, reply: Reply, end_s: float) -> float | None:
        """From the end of a clip to the first sound of the answer to it; None when there was none."""
        replies = self._caller.log.replies
        give_up_s = end_s + _ANSWER_WITHIN_S
        while time.monotonic() < give_up_s:
            first_audio_s = replies[-1].first_audio_s
            if replies[-1] is not reply and first_audio_s is not None:
                return first_audio_s - end_s
            await asyncio.sleep(_LOOK_S)
        return None
