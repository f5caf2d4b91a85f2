"""The calls of /v1/stream on one context behind one mutex."""

import threading
from pathlib import Path
from typing import Any

from duplex.engine.parrot import wire
from duplex.engine.parrot.hearing import HEARD_RATE_HZ, Samples, is_image, pad_to_tokens, read_wav, silence
from duplex.engine.parrot.llm import Llm
from duplex.engine.parrot.mind import Mind
from duplex.engine.parrot.octx import PROMPT_TOKENS, Body, InitFields, Octx
from duplex.engine.parrot.t2w import T2w
from duplex.engine.parrot.tts import DuplexTts, SimplexTts, Tts

__all__ = ["ParrotEngine", "Threads"]

_MAX_AUDIO_S = 30
_TOKEN_SAMPLES = HEARD_RATE_HZ // 10
_IMAGE_TOKENS = 66
_REMEMBERED_PREFILLS = 1000


class Threads:
    """The three workers of one context."""

    def __init__(self, octx: Octx) -> None:
        self.mind = Mind(octx.body.faults)
        self.llm = Llm(octx, self.mind)
        self.tts: Tts = DuplexTts(octx) if octx.fields.duplex_mode else SimplexTts(octx)
        self.t2w = T2w(octx)
        self._octx = octx

    def start(self, *, with_llm: bool) -> None:
        """Start those that do not run yet."""
        if with_llm:
            self.llm.start()
        if self._octx.fields.use_tts:
            self.tts.start()
            self.t2w.start()

    def join(self) -> None:
        """End all; each finishes its current step first."""
        self._octx.free()
        for worker in (self.llm, self.tts, self.t2w):
            worker.join()


class ParrotEngine:
    """What the routes call. Every call but `state` takes the mutex, for as long as the real engine does."""

    def __init__(self, body: Body) -> None:
        self._body = body
        # A plain lock, not a queue: of several waiting calls any may come first.
        self._mutex = threading.Lock()
        self._octx: Octx | None = None
        self._threads: Threads | None = None
        self._poisoned = False
        self._counts = dict.fromkeys(("omni_init", "prefill", "decode", "break", "reset", "update_session_config"), 0)
        self._prefills: list[dict[str, object]] = []

    @property
    def octx(self) -> Octx:
        """The context. Raises the 400 of a server without one."""
        if self._octx is None:
            raise wire.not_initialised()
        return self._octx

    def require_context(self) -> None:
        """The short null check under the mutex that opens prefill and decode."""
        with self._mutex:
            _ = self.octx

    def omni_init(self, fields: InitFields, voice_audio: str) -> None:
        """Replace the context. A failure poisons the process: the next call kills it (R15)."""
        with self._mutex:
            self._counts["omni_init"] += 1
            if self._poisoned:
                self._body.die()
            self._body.log.engine("=== omni_init start")
            if self._threads is not None:
                self._threads.join()
                self._octx = self._threads = None
            if self._body.faults.on("init_fails"):
                self._poisoned = True
                raise wire.server_error("omni_init failed")
            octx = Octx(self._body, fields)
            octx.pause_ms(self._body.speeds.init_ms)
            self._octx, self._threads = octx, Threads(octx)
            vocoder = "initialized successfully" if octx.has_vocoder else "initialization failed"
            if fields.use_tts:
                self._body.log.engine("Projector: loaded successfully")
                self._body.log.engine(f"Token2Wav: {vocoder}")
            self._body.log.engine("=== omni_init success: ctx_llama = 0x0")
            if voice_audio:
                self._prefill(voice_audio, "", 0)
            self._body.log.flush()

    def prefill(self, audio: str, image: str, cnt: int) -> None:
        """Read, encode and queue one piece of input."""
        with self._mutex:
            self._counts["prefill"] += 1
            if self._body.faults.hit("die_in_prefill"):
                self._body.die()
            self._prefill(audio, image, cnt)

    def _prefill(self, audio: str, image: str, cnt: int) -> None:
        octx, threads = self.octx, self._running()
        if cnt == 0 and octx.fields.use_tts and not octx.duplex_mode:
            self._open_round(octx)
        if cnt == 0 and not octx.system_prompt_built:
            # The audio given is the voice reference or nothing: never the user's words.
            octx.system_prompt_built = True
            octx.fill_context(PROMPT_TOKENS)
            self._body.log.engine("create llm & tts thread")
            threads.start(with_llm=True)
            return
        if image and not (octx.fields.media_type == 2 and is_image(Path(image))):
            raise wire.server_error("stream_prefill failed")
        samples = _encode(audio)
        octx.fill_context(1 + len(samples) // _TOKEN_SAMPLES + (_IMAGE_TOKENS if image else 0))
        self._remember(samples, cnt)
        octx.push_audio(samples)

    def _open_round(self, octx: Octx) -> None:
        """What the first prefill of a simplex round does to the last one (omni.cpp 8641-8690)."""
        with octx.board:
            if octx.warmup_done:
                if octx.break_event:
                    octx.break_event = False
                    octx.speak_done = True
                octx.board.wait_for(
                    lambda: octx.speak_done or octx.break_event, self._body.speeds.previous_round_wait_s
                )
            octx.speak_done = False
            octx.tts_queue.clear()
            octx.board.notify_all()

    def decode(self, round_idx: int) -> None:
        """One whole decode, with the mutex."""
        with self._mutex:
            self._counts["decode"] += 1
            octx, threads = self.octx, self._running()
            if round_idx >= 0 and not octx.duplex_mode and octx.simplex_round_idx != round_idx:
                with octx.board:
                    octx.simplex_round_idx = round_idx
                    octx.wav_turn_base = 1000 * round_idx
            threads.start(with_llm=False)
            threads.llm.decode()

    def raise_break(self) -> None:
        """Raise the flag, once the running decode is over."""
        with self._mutex:
            octx, threads = self.octx, self._running()
            self._counts["break"] += 1
            if self._body.faults.on("lost_break"):
                return
            octx.raise_break()
            threads.llm.note_break()

    def reset(self, body: Any) -> None:
        """Forget the conversation and, as the real one, leave the next without a system prompt."""
        with self._mutex:
            octx = self.octx
            self._counts["reset"] += 1
            self._forget(octx)
            duplex_mode = wire.hard(body, "duplex_mode", bool)
            if duplex_mode is not None:
                octx.duplex_mode = duplex_mode

    def update_session_config(self, body: Any) -> dict[str, object]:
        """Forget the conversation and its numbering; returns the answer's body."""
        with self._mutex:
            octx = self.octx
            self._counts["update_session_config"] += 1
            octx.configure(body)
            self._forget(octx)
            with octx.board:
                octx.simplex_round_idx = 0
                octx.wav_turn_base = 0
            octx.system_prompt_built = False
            voice = wire.field(body, "voice_audio")
            if isinstance(voice, str) and voice:
                self._prefill(voice, "", 0)
                octx.speak_done = True
            return octx.config()

    def _forget(self, octx: Octx) -> None:
        with octx.board:
            is_reading = bool(octx.llm_queue)
        if is_reading:
            # Two threads in one text model: the real one was seen to die of it each time.
            self._body.die()
        self._running().llm.forget()
        octx.empty_context()
        with octx.board:
            octx.break_event = False
            octx.speak_done = True
            octx.board.notify_all()

    def free(self) -> None:
        """Let everything go that waits in the context. For tests that run in-process."""
        if self._octx is not None:
            self._octx.free()

    def _running(self) -> Threads:
        assert self._threads is not None, "a context comes with its threads"
        return self._threads

    def _remember(self, heard: Samples, cnt: int) -> None:
        self._prefills.append({"cnt": cnt, "seconds": len(heard) / HEARD_RATE_HZ})
        del self._prefills[:-_REMEMBERED_PREFILLS]

    def state(self) -> dict[str, object]:
        """A look inside, without the mutex."""
        octx, threads = self._octx, self._threads
        seen: dict[str, object] = {
            "stand_in": True,
            "counts": dict(self._counts),
            "prefills": list(self._prefills),
            "faults": self._body.faults.active(),
            "initialised": octx is not None,
        }
        if octx is not None and threads is not None:
            seen |= {
                "duplex_mode": octx.duplex_mode,
                "in_turn": threads.mind.in_turn,
                "break_event": octx.break_event,
                "quiet": octx.quiet,
                "n_past": octx.n_past,
                "context_slides": octx.context_slides,
                "leftover_tokens": octx.leftover_tokens,
                "wav_count": octx.wav_count,
                "round_idx": octx.simplex_round_idx,
                "wav_turn_base": octx.wav_turn_base,
                "speak_done": octx.speak_done,
                "warmup_done": octx.warmup_done,
            }
        return seen


def _encode(audio: str) -> Samples:
    """What the audio encoder makes of a file: an unreadable one is no error, a long one or a directory is."""
    if not audio:
        return silence(0)
    try:
        samples = read_wav(Path(audio))
    except IsADirectoryError:
        raise wire.server_error("std::bad_alloc") from None
    padded = silence(0) if samples is None else pad_to_tokens(samples)
    if len(padded) > _MAX_AUDIO_S * HEARD_RATE_HZ:
        raise wire.server_error("Position encoding buffer overflow - view exceeds bounds")
    return padded
