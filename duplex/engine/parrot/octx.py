"""The engine context: what the text model, TTS and vocoder threads share, and how they wait for each other."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duplex.engine.parrot import wire
from duplex.engine.parrot.faults import Faults
from duplex.engine.parrot.hearing import Samples
from duplex.engine.parrot.log import Log
from duplex.engine.parrot.options import Speeds
from duplex.engine.parrot.voice import AudioToken

__all__ = ["LISTENING", "PROMPT_TOKENS", "TURN_OVER", "Body", "InitFields", "LlmOut", "Octx", "T2wOut"]

LISTENING = object()
"""In the text queue: the model chose to listen."""
TURN_OVER = object()
"""In the text queue: this decode is over."""

PROMPT_TOKENS = 79
"""With the engine's own voice, as the real one was seen to count."""

_LLM_QUEUE = 1000
_TTS_QUEUE = 1


@dataclass(frozen=True, slots=True)
class InitFields:
    """What omni_init fixed for the life of a context."""

    media_type: int
    use_tts: bool
    duplex_mode: bool
    output_dir: Path
    n_predict: int


@dataclass(frozen=True, slots=True)
class LlmOut:
    """One group on its way to TTS."""

    text: bytes
    words: int
    tokens: tuple[AudioToken, ...]
    llm_finish: bool
    end_of_turn: bool


@dataclass(frozen=True, slots=True)
class T2wOut:
    """Audio tokens on their way to the vocoder, or a mark without any."""

    tokens: tuple[AudioToken, ...]
    is_final: bool
    round_idx: int


@dataclass(slots=True)
class Body:
    """What outlives contexts: the process itself, as far as its threads need it."""

    log: Log
    faults: Faults
    speeds: Speeds
    die: Callable[[], None]
    """Kills the process at once."""
    ctx_size: int = 4096
    """Tokens of the text model's context."""
    abandoned: threading.Event = field(default_factory=threading.Event)
    """Set only by in-process tests: lets go what would hang for ever."""
    prefill_done: bool = True
    """A global of the engine that no new context resets, which is why a decode before any prefill works once."""


class Octx:
    """One context. `board` guards every field below it and is notified on every change a thread may wait for.

    The break flag is the exception, on purpose: raising it wakes nobody.
    """

    def __init__(self, body: Body, fields: InitFields) -> None:
        self.body = body
        self.fields = fields
        self.board = threading.Condition()
        self.stopping = threading.Event()
        self.pause_ms: Callable[[float], None] = self._sleep_ms
        """Pretends to work. Ends early when the context is freed. Tests put their own in its place."""
        self.media_type = fields.media_type
        self.duplex_mode = fields.duplex_mode
        self.has_vocoder = not body.faults.on("no_t2w")
        self.break_event = False
        self.speak_done = True
        self.warmup_done = False
        self.system_prompt_built = False
        self.need_speak = False
        self.evaluated_audio = 0
        self.simplex_round_idx = 0
        self.wav_turn_base = 0
        self.llm_queue: deque[Samples] = deque()
        self.tts_queue: deque[LlmOut] = deque()
        # Unbounded in the engine; here a decode's tokens are the bound, as decodes wait for TTS.
        self.t2w_queue: deque[T2wOut] = deque()
        self.text_queue: deque[str | object] = deque()
        self.text_done = False
        self.busy: set[str] = set()
        self.n_past = 0
        self.context_slides = 0
        self.leftover_tokens = 0
        self.wav_count = 0
        self._picture = {"highImage": False, "highRefresh": False}
        self._sliding_window: dict[str, object] = {"mode": "off", "high_water_tokens": 4000, "low_water_tokens": 3500}

    @property
    def running(self) -> bool:
        """False once the threads are to end."""
        return not self.stopping.is_set()

    @property
    def quiet(self) -> bool:
        """Whether every thread waits for work."""
        return not (self.busy or self.llm_queue or self.tts_queue or self.t2w_queue)

    def rest(self, thread: str) -> None:
        """A thread is done with what it took."""
        with self.board:
            self.busy.discard(thread)
            self.board.notify_all()

    def _sleep_ms(self, duration_ms: float) -> None:
        if duration_ms > 0:
            self.stopping.wait(duration_ms / 1000)

    def wait(self, ready: Callable[[], bool]) -> bool:
        """Wait on the board (held by the caller) until `ready` or the end; returns whether the context still runs."""
        self.board.wait_for(lambda: ready() or not self.running)
        return self.running

    def free(self) -> None:
        """Tell the threads to end."""
        self.stopping.set()
        with self.board:
            self.board.notify_all()

    def fill_context(self, tokens: int) -> None:
        """So much more is in the text model's context. Where that is too much, half of all behind the prompt is lost
        without a word (omni.cpp 686-820)."""
        with self.board:
            self.n_past += tokens
            if self.n_past > self.body.ctx_size:
                self.n_past -= (self.n_past - PROMPT_TOKENS) // 2
                self.context_slides += 1

    def empty_context(self) -> None:
        """Nothing is in it, not even the prompt."""
        with self.board:
            self.n_past = 0

    def push_audio(self, samples: Samples) -> None:
        """Queue one prefill for evaluation."""
        with self.board:
            if self.wait(lambda: len(self.llm_queue) < _LLM_QUEUE):
                self.llm_queue.append(samples)
                self.board.notify_all()

    def push_text(self, item: str | object) -> None:
        """Queue one SSE event."""
        with self.board:
            self.text_queue.append(item)
            self.board.notify_all()

    def open_text(self) -> None:
        """Empty the text queue for a new decode."""
        with self.board:
            self.text_queue.clear()
            self.text_done = False

    def close_text(self) -> None:
        """No more text comes from this decode."""
        with self.board:
            self.text_done = True
            self.board.notify_all()

    def push_llm_out(self, out: LlmOut) -> None:
        """Hand a group to TTS, which holds one at most: this is what paces a decode."""
        with self.board:
            if not self.wait(lambda: len(self.tts_queue) < _TTS_QUEUE):
                return
            # In simplex a round that TTS already ended swallows what still comes (omni.cpp 9446).
            if self.duplex_mode or not self.speak_done:
                self.tts_queue.append(out)
                self.board.notify_all()

    def push_t2w(self, tokens: tuple[AudioToken, ...], *, is_final: bool = False, round_idx: int | None = None) -> None:
        """Hand audio tokens, or an empty mark, to the vocoder and wake it."""
        with self.board:
            number = self.simplex_round_idx if round_idx is None else round_idx
            self.t2w_queue.append(T2wOut(tokens, is_final, number))
            self.board.notify_all()

    def raise_break(self) -> None:
        """What the break call sets. Neither TTS nor the vocoder is woken."""
        with self.board:
            self.break_event = True
            self.text_queue.clear()
            self.text_done = True
            self.board.notify_all()

    def clear_break(self) -> None:
        """Lower the flag."""
        with self.board:
            self.break_event = False
            self.board.notify_all()

    def configure(self, body: Any) -> None:
        """Apply the fields of update_session_config, in the engine's order: what precedes a bad one stays applied."""
        self.media_type = _given(wire.hard(body, "media_type", int), self.media_type)
        self.duplex_mode = _given(wire.hard(body, "duplex_mode", bool), self.duplex_mode)
        for name, key, kind in (
            ("sliding_window_mode", "mode", str),
            ("sliding_window_high_water", "high_water_tokens", int),
            ("sliding_window_low_water", "low_water_tokens", int),
        ):
            self._sliding_window[key] = _given(wire.hard(body, name, kind), self._sliding_window[key])
        for name in self._picture:
            self._picture[name] = _given(wire.hard(body, name, bool), self._picture[name])

    def config(self) -> dict[str, object]:
        """What update_session_config answers with."""
        return {
            "success": True,
            "message": "Session config updated",
            "media_type": self.media_type,
            "duplex_mode": self.duplex_mode,
            **self._picture,
            "sliding_window": dict(self._sliding_window),
        }

    def round_dir(self, round_idx: int) -> Path:
        """Where a round's files go: its own directory in simplex, the root in duplex."""
        root = self.fields.output_dir
        return root if self.duplex_mode else root / f"round_{round_idx:03d}"


def _given(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
