"""The promises of a conversation and its outbox together, over every short sequence and many long ones.

The engine is any that keeps the port's one promise; the client is any. What leaves through the exit is judged.
"""

from collections import defaultdict, deque
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duplex.barge_in import BargeInSettings
from duplex.conversation_settings import AfterBreak, ConversationSettings
from duplex.effects import Decode, Effect, Flush, Hold, Interrupt, Prefill, Release, Say, Speak
from duplex.engine.base import EngineAudio, EngineIdle, EngineText, Mode
from duplex.errors import ClientError
from duplex.messages import (
    CancelResponse,
    CreateResponse,
    ResponseAudio,
    ResponseCut,
    ResponseEnded,
    ResponseHeld,
    ResponseReleased,
    ResponseStarted,
)
from duplex.outbox import Outbox
from duplex.vad import VadSettings
from tests.duplex.talk import LOUD, QUIET, Talk

DEPTH = 5

QUICK_VAD = VadSettings(
    onset_votes=1,
    onset_frames=1,
    hangover_ms=20,
    barge_in=BargeInSettings(
        hold_votes=1,
        hold_frames=1,
        cut_votes=1,
        cut_frames=1,
        pitched_votes=1,
        release_ms=20,
        guard_hold_votes=0,
        guard_cut_votes=0,
    ),
)
"""One frame begins speech and interrupts, one ends it: every action of a sequence then counts."""

TWO_STEPS = replace(
    QUICK_VAD,
    barge_in=BargeInSettings(
        hold_votes=1,
        hold_frames=1,
        cut_votes=2,
        cut_frames=3,
        bridged_frames=0,
        pitched_votes=2,
        release_ms=20,
        guard_hold_votes=0,
        guard_cut_votes=0,
    ),
)
"""One frame holds an answer, two of three cut it off, a silent one releases it."""

ACTIONS = ("speak", "silence", "output", "idle", "drained", "send", "cancel", "create", "later")


class NotPossible(Exception):
    """The sequence asks for what an engine that keeps its promise would not do."""


class World:
    """One conversation, its outbox, an engine at its beck and call, and a client that checks what it receives."""

    def __init__(self, chosen: ConversationSettings) -> None:
        self.talk = Talk(chosen)
        self.outbox = Outbox(self.talk.conversation.admits, lead_s=0.25)
        self.decodes = 0
        self.speaking = False
        self.interrupts: deque[int] = deque()
        self.silenced_below = 0
        self.open: int | None = None
        self.closed: set[int] = set()
        self.markers = 0
        self.ducked = False
        self.said: dict[int, bytes] = defaultdict(bytes)
        self.heard: dict[int, bytes] = defaultdict(bytes)

    def act(self, action: str) -> None:
        getattr(self, action)()

    def speak(self) -> None:
        self._perform(self.talk.hear(LOUD, 0.02))

    def silence(self) -> None:
        self._perform(self.talk.hear(QUIET, 0.02))

    def later(self) -> None:
        self._perform(self.talk.wait(1.0))

    def cancel(self) -> None:
        self._ask(CancelResponse())

    def create(self) -> None:
        self._ask(CreateResponse())

    def output(self) -> None:
        if not (self.decodes or self.speaking):
            raise NotPossible
        self.decodes, self.speaking = 0, True
        self.markers += 1
        # Every sample has its number: what is lost, repeated or out of order shows.
        pcm = np.arange(self.markers * 4800, self.markers * 4800 + 4800).astype("<u2").tobytes()
        effects = self.talk.engine(EngineText(str(self.markers)), EngineAudio(pcm))
        pieces = [e for e in effects if isinstance(e, Speak) and isinstance(e.message, ResponseAudio)]
        if pieces:
            self.said[pieces[0].generation] += pcm
        self._perform(effects)

    def idle(self) -> None:
        if not (self.speaking or (self.decodes and self.talk.conversation.settings.mode is Mode.SIMPLEX)):
            raise NotPossible
        self.speaking, self.decodes = False, 0
        self._perform(self.talk.engine(EngineIdle()))

    def drained(self) -> None:
        if not self.interrupts:
            raise NotPossible
        self.decodes = self.interrupts.popleft()
        self.speaking = False
        self._perform(self.talk.engine(EngineIdle(interrupted=True)))

    def send(self) -> None:
        """The client reads for a while in real time."""
        for _ in range(20):
            while (effect := self.outbox.take(self.talk.now)) is not None:
                self._receive(effect)
            self.talk.now += 0.01

    def _ask(self, request: CancelResponse | CreateResponse) -> None:
        try:
            effects = self.talk.ask(request)
        except ClientError:
            return
        self._perform(effects)

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Say():
                    self.outbox.say(effect)
                case Speak():
                    self.outbox.speak(effect)
                case Hold():
                    self.outbox.hold(self.talk.now)
                case Release(client_waited):
                    self.outbox.release(self.talk.now, client_waited=client_waited)
                case Flush():
                    self.outbox.flush()
                    self.silenced_below = max(
                        (e.generation for e in self.talk.effects if isinstance(e, Speak)), default=0
                    )
                case Decode():
                    self._decode()
                case Interrupt():
                    self.interrupts.append(0)
                case Prefill(pcm):
                    assert len(pcm) > 0

    def _decode(self) -> None:
        if self.interrupts:
            self.interrupts[-1] += 1
        else:
            self.decodes += 1

    def _receive(self, effect: Say | Speak) -> None:
        message = effect.message
        if isinstance(effect, Speak):
            assert not self.ducked, "something left while it was held"
            assert effect.generation > self.silenced_below, "something of a broken response left"
            self.talk.conversation.receive_sent(effect.generation, message, self.talk.now)
            if isinstance(message, ResponseStarted):
                assert self.open is None, "the last response was never closed"
                assert effect.generation not in self.closed
                self.open = effect.generation
            else:
                assert effect.generation == self.open
            if isinstance(message, ResponseAudio):
                self.heard[effect.generation] += message.pcm
                assert self.said[effect.generation].startswith(self.heard[effect.generation]), "lost or repeated"
            if isinstance(message, ResponseEnded):
                assert self.heard[effect.generation] == self.said[effect.generation], "incomplete"
                self._close()
        elif isinstance(message, ResponseHeld | ResponseReleased):
            assert self.ducked is isinstance(message, ResponseReleased)
            self.ducked = isinstance(message, ResponseHeld)
        elif isinstance(message, ResponseCut):
            self.ducked = False
            self._close()

    def _close(self) -> None:
        if self.open is not None:
            assert self.open not in self.closed, "closed twice"
            self.closed.add(self.open)
        self.open = None

    def settle(self) -> None:
        """Let the engine finish whatever it owes; then everything must be closed and quiet."""
        for _ in range(4):
            for action in ("drained", "idle", "send", "later"):
                try:
                    self.act(action)
                except NotPossible:
                    continue
        self.send()
        assert self.open is None, "a response was left open"
        assert not self.ducked, "a response was left held"
        assert self.outbox.audio_s == 0.0


QUICK = ConversationSettings(input_rate_hz=16_000, vad=QUICK_VAD, client_cancels_echo=True)
SLOW = replace(QUICK, vad=TWO_STEPS)
SETTINGS = [
    replace(QUICK, mode=Mode.SIMPLEX),
    replace(QUICK, mode=Mode.SIMPLEX, interrupt_response=False),
    replace(QUICK, mode=Mode.DUPLEX),
    replace(QUICK, mode=Mode.DUPLEX, after_break=AfterBreak.RESET),
    replace(SLOW, mode=Mode.SIMPLEX),
    replace(SLOW, mode=Mode.SIMPLEX, client_holds=True, client_cancels_echo=False),
    replace(SLOW, mode=Mode.DUPLEX, client_holds=True),
]


def play(chosen: ConversationSettings, actions: tuple[str, ...] | list[str]) -> bool:
    world = World(chosen)
    try:
        for action in actions:
            world.act(action)
    except NotPossible:
        return False
    world.settle()
    return True


# The longest takes half a minute alone, and shares its core with whatever else runs.
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "chosen", SETTINGS, ids=["simplex", "no-interrupt", "duplex", "reset", "two-steps", "held", "held-duplex"]
)
def test_every_sequence_to_depth_five(chosen: ConversationSettings) -> None:
    # A turn takes some actions to get going: each sequence starts with an answer under way.
    opening = ("speak", "silence", "silence", "later", "output")
    possible = sum(play(chosen, [*opening, *actions]) for actions in product(ACTIONS, repeat=DEPTH - 1))
    assert possible > 1000
    short = sum(play(chosen, actions) for depth in (1, 2, 3) for actions in product(ACTIONS, repeat=depth))
    assert short > 50


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(SETTINGS), st.lists(st.sampled_from(ACTIONS), max_size=60), st.integers(0, 2))
def test_no_audio_of_a_broken_response_is_ever_admitted(
    chosen: ConversationSettings, actions: list[str], create: int
) -> None:
    world = World(replace(chosen, create_response=create > 0))
    for action in actions:
        try:
            world.act(action)
        except NotPossible:
            continue
    world.settle()


def test_a_piece_that_waits_for_its_time_is_stopped_at_the_exit() -> None:
    """The gate is asked when a message leaves: without a flush the old piece still does not."""
    admitted = 1
    outbox = Outbox(lambda generation: generation >= admitted, lead_s=0.25)
    for _ in range(10):
        outbox.speak(Speak(1, ResponseAudio(bytes(4800))))
    left = [outbox.take(0.0) for _ in range(10)]
    assert [type(effect) for effect in left[:3]] == [Speak, Speak, type(None)], "the lead and no more"
    admitted = 2
    outbox.speak(Speak(2, ResponseAudio(bytes(2))))
    effect = outbox.take(1.0)
    assert isinstance(effect, Speak)
    assert effect.generation == 2
    assert outbox.audio_s == 0.0
