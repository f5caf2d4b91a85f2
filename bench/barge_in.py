"""Interrupting an answer: from the onset of the user's speech to the order to be silent, and what must hold after it.

One call is a chain. The words that cut one answer off are the question of the next one, which the parrot answers by
saying them back, and that answer is cut off in its turn: early, in the middle, near its end, or when the engine has
long finished and only the client still plays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from bench.caller import Caller, calling
from bench.errors import BenchError
from bench.figures import Goal, Row
from bench.microphone import FRAME_S, Microphone, Said
from bench.server import Server
from bench.speech import RATE_HZ, Utterance, best_match, room_noise
from duplex.engine.base import ENGINE_OUTPUT_RATE_HZ, Mode
from web.talk_log import Reply

__all__ = ["ANSWER_S", "BargeIns", "Cut", "barge_ins", "has_words", "rows"]

ANSWER_S = 3.5
"""How long the parrot is told to speak."""
_PHASES = {"early": (0.1, 0.7), "middle": (0.7, 2.2), "late": (2.2, 2.9), "engine done": (2.9, 3.05)}
"""When the interrupting speech begins, in seconds after the first audio of the answer.

In the last phase everything was sent when the break comes: the server keeps 250 ms ahead of real time.
"""
_NOISE_SNR_DB = 25.0
"""-45 dBFS, as in a quiet living room; recorded rooms were found between -38 and -45 dBFS."""
_NOISE_S = 10.0
_ANSWER_LIMIT_S = 15.0
_BREAK_LIMIT_S = 10.0
_FIRST_WORDS_AFTER_S = {"clean": 0.5, "room": 3.0}
"""So long the room alone is heard: the server follows a noise floor upwards by 2 dB a second."""
_BEFORE_WORDS_S = 0.65
"""Chime, gaps and margin before the words in the parrot's answer."""
_SHORTEST_PROOF_S = 0.3
_LONGEST_PROOF_S = 1.0
_SAME_SOUND = 0.8
_PADDING = np.zeros(RATE_HZ)
"""What was heard may begin before the words and end after them."""
_HEARD_TOLERANCE_S = 0.4


@dataclass(frozen=True, slots=True)
class Cut:
    """One interruption."""

    mode: Mode
    room: str
    voice: str
    phase: str
    reply: Reply
    said: Said
    onset_s: float
    frames_from_s: float
    """When a frame ended; all others did whole frames earlier or later."""
    following: Reply
    """The answer to the interrupting words."""

    @property
    def latency_ms(self) -> float:
        """From the speech's onset in the microphone to `cleared` at the client."""
        assert self.reply.cleared_s is not None
        return 1000 * (self.reply.cleared_s - self.onset_s)

    @property
    def after_frame_ms(self) -> float:
        """From the end of the frame that decided, taken to be the last one before `cleared`, to `cleared`."""
        assert self.reply.cleared_s is not None
        return 1000 * ((self.reply.cleared_s - self.frames_from_s) % FRAME_S)


@dataclass(frozen=True, slots=True)
class BargeIns:
    """What one call gave."""

    cuts: list[Cut]
    ended_by_themselves: int
    """Answers that nothing cut off although somebody spoke over them."""
    responses: int
    not_done_once: int
    lateness_s: list[float]


async def barge_ins(
    server: Server, mode: Mode, count: int, said: Sequence[Utterance], *, noisy: bool, seed: int
) -> BargeIns:
    """Interrupt `count` answers in one call, in clean sound or over room noise."""
    noise = room_noise(_NOISE_S, snr_db=_NOISE_SNR_DB, seed=seed) if noisy else None
    microphone = Microphone(noise)
    async with calling(server.url(conversation=str(mode), barge_in="eager"), microphone) as caller:
        chain = _Chain(caller, mode, "room" if noisy else "clean", np.random.default_rng(seed))
        await chain.run(count, said)
    replies = caller.log.replies
    return BargeIns(
        cuts=chain.cuts,
        ended_by_themselves=chain.missed,
        responses=len(replies),
        not_done_once=sum(caller.done[reply.response_id] != 1 for reply in replies),
        lateness_s=caller.lateness_s,
    )


class _Chain:
    def __init__(self, caller: Caller, mode: Mode, room: str, random: np.random.Generator) -> None:
        self.cuts: list[Cut] = []
        self.missed = 0
        self._caller = caller
        self._mode = mode
        self._room = room
        self._random = random

    async def run(self, count: int, said: Sequence[Utterance]) -> None:
        caller = self._caller
        first = caller.microphone.say(said[-1], onset=round(_FIRST_WORDS_AFTER_S[self._room] * RATE_HZ))
        reply = await self._answer(None)
        while reply.created_s < caller.heard_at_s(first.end):
            # The room itself was taken for a question.
            reply = await self._answer(reply)
        phases = self._phases(count)
        for number, phase in enumerate(phases):
            reply = await self._cut(reply, phase, said[number % len(said)])
        await caller.until(lambda: reply.done_s is not None, "end of the last answer", _ANSWER_LIMIT_S)

    def _phases(self, count: int) -> list[str]:
        """Every phase equally often, in a random order."""
        phases = [name for _ in range(count) for name in _PHASES][:count]
        return [str(phase) for phase in self._random.permutation(phases)]

    async def _cut(self, reply: Reply, phase: str, utterance: Utterance) -> Reply:
        """Speak over `reply`; returns the next answer."""
        caller = self._caller
        assert reply.first_audio_s is not None
        onset_s = reply.first_audio_s + self._random.uniform(*_PHASES[phase])
        said = caller.microphone.say(utterance, onset=caller.sample_at(onset_s))
        await caller.until(
            lambda: reply.cleared_s is not None or reply.done_s is not None,
            "end of an interrupted answer",
            _BREAK_LIMIT_S,
        )
        following = await self._answer(reply)
        if reply.cleared_s is None:
            self.missed += 1
            return following
        heard_s, frames_from_s = caller.heard_at_s(said.onset), caller.heard_at_s(0)
        cut = Cut(self._mode, self._room, utterance.name, phase, reply, said, heard_s, frames_from_s, following)
        self.cuts.append(cut)
        return following

    async def _answer(self, last: Reply | None) -> Reply:
        """The first answer after `last`, once it can be heard."""
        replies = self._caller.log.replies
        await self._caller.until(
            lambda: bool(replies) and replies[-1] is not last and replies[-1].first_audio_s is not None,
            "answer",
            _ANSWER_LIMIT_S,
        )
        return replies[-1]


def has_words(reply: Reply, utterance: Utterance) -> bool:
    """Whether an answer of the parrot gives these words back.

    It says how long they were. As far as the answer was heard before it was cut off itself, it must sound like them.
    """
    claimed_s = _claimed_s(reply.transcript)
    if claimed_s is None or abs(claimed_s - utterance.speech_s) > _HEARD_TOLERANCE_S:
        return False
    heard = np.frombuffer(bytes(reply.pcm), "<i2") / 32768.0
    proof = heard[round(_BEFORE_WORDS_S * ENGINE_OUTPUT_RATE_HZ) :][: round(_LONGEST_PROOF_S * ENGINE_OUTPUT_RATE_HZ)]
    if len(proof) < _SHORTEST_PROOF_S * ENGINE_OUTPUT_RATE_HZ:
        return True
    part = np.asarray(soxr.resample(proof, ENGINE_OUTPUT_RATE_HZ, RATE_HZ))
    return best_match(part, np.concatenate([_PADDING, utterance.samples, _PADDING])) >= _SAME_SOUND


def _claimed_s(transcript: str) -> float | None:
    """The length in "I heard 1.6 s of speech: ..."."""
    words = transcript.split()
    if words[:2] != ["I", "heard"]:
        return None
    try:
        return float(words[2])
    except (IndexError, ValueError):
        return None


def rows(calls: Sequence[BargeIns]) -> Iterator[Row]:
    """The lines of the table."""
    cuts = [cut for call in calls for cut in call.cuts]
    if not cuts:
        raise BenchError("Not one answer was interrupted.")
    goals = (Goal(0.5, 160.0), Goal(0.95, 250.0))
    yield Row(
        "barge-in: speech onset → cleared", "ms", [cut.latency_ms for cut in cuts], goals, facts={"cuts": _facts(cuts)}
    )
    for mode in Mode:
        for room in ("clean", "room"):
            chosen = [cut.latency_ms for cut in cuts if cut.mode is mode and cut.room == room]
            if chosen:
                yield Row(f"  {mode}, {room}", "ms", chosen)
    yield Row("  of it after the end of the deciding frame", "ms", [cut.after_frame_ms for cut in cuts])
    none = (Goal(1.0, 0.0),)
    stale = [float(cut.reply.stale_bytes) for cut in cuts]
    yield Row("stale audio after cleared", "bytes", stale, none, digits=0)
    responses, wrong = (sum(getattr(call, name) for call in calls) for name in ("responses", "not_done_once"))
    # One value for each response: 1 for a fault.
    yield Row(
        "responses without exactly one response.done",
        "of n",
        [1.0] * wrong + [0.0] * (responses - wrong),
        none,
        digits=0,
    )
    missed = sum(call.ended_by_themselves for call in calls) + sum(cut.latency_ms <= 0 for cut in cuts)
    yield Row(
        "answers not cut, or cut before the onset",
        "of n",
        [1.0] * missed + [0.0] * (len(cuts) - missed),
        none,
        digits=0,
    )
    lost = [float(not has_words(cut.following, cut.said.utterance)) for cut in cuts]
    yield Row("next answers without the words", "of n", lost, none, digits=0)


def _facts(cuts: Sequence[Cut]) -> list[dict[str, object]]:
    return [
        {
            "conversation": str(cut.mode),
            "room": cut.room,
            "voice": cut.voice,
            "phase": cut.phase,
            "latency_ms": round(cut.latency_ms, 1),
            "after_frame_ms": round(cut.after_frame_ms, 1),
            "heard_s": round(cut.reply.duration_s, 2),
        }
        for cut in cuts
    ]
