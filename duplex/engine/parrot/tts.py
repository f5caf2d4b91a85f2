"""The TTS thread: groups of text to audio tokens, the text files on disk, and the marks that end a round or turn."""

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import numpy as np

from duplex.engine.parrot.octx import LlmOut, Octx
from duplex.engine.parrot.voice import AudioToken

__all__ = ["DuplexTts", "SimplexTts", "Tts"]

_STEP = 25
_WAV_TIMING = (
    "# WAV file generation timing log\n"
    "# Format: chunk_index, elapsed_time_ms (since stream_decode start), file_size_bytes, request_duration_ms\n"
    "# Time 0 is when stream_decode() function starts\n"
)


def incomplete_utf8(text: bytes) -> int:
    """How many bytes at the end begin a character and do not finish it."""
    for back in range(1, min(4, len(text)) + 1):
        byte = text[-back]
        if byte & 0xC0 == 0x80:
            continue
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return back if back < length else 0
    return 0


def token_ids(text: bytes, words: int) -> list[int]:
    """Made-up text token ids, one per word."""
    return [(len(text) * 7919 + 31 * index) % 150_000 for index in range(words)]


def quietly(write: Callable[[], object]) -> None:
    """As the engine's unchecked stdio: a file that cannot be written is lost without a word."""
    try:
        write()
    except OSError:
        return


def make_dir(path: Path) -> None:
    """A directory and its parents, as quietly."""
    quietly(lambda: path.mkdir(mode=0o755, parents=True, exist_ok=True))


class Tts(ABC):
    """What both modes share."""

    def __init__(self, octx: Octx) -> None:
        self._octx = octx
        self._carried = b""
        self._chunk_idx = 0
        self._thread = threading.Thread(target=self._run, name="tts", daemon=True)

    def start(self) -> None:
        """Start, once."""
        if not self._thread.is_alive():
            mode = "duplex" if self._octx.duplex_mode else "simplex"
            self._octx.body.log.engine(f"create tts thread ({mode} mode) success")
            self._thread.start()

    def join(self) -> None:
        """Wait for the thread's end."""
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        self._make_dirs()
        self._octx.body.log.engine("TTS thread started")
        while self._octx.running:
            if self._sees_break():
                self._obey_break()
                continue
            outs = self._take()
            if outs:
                if not self._octx.body.faults.on("no_tts"):
                    self._speak(outs)
                self._octx.rest("tts")

    def _sees_break(self) -> bool:
        return self._octx.break_event and not self._octx.body.faults.on("break_never_stops_audio")

    def _obey_break(self) -> None:
        """Drop what waits, forget the turn, and do nothing until somebody lowers the flag (the engine spins here)."""
        octx = self._octx
        self._carried = b""
        self._chunk_idx = 0
        with octx.board:
            octx.tts_queue.clear()
            octx.board.notify_all()
            self._on_break()
            octx.wait(lambda: not octx.break_event)

    def _take(self) -> list[LlmOut]:
        octx = self._octx
        with octx.board:
            if not octx.wait(lambda: bool(octx.tts_queue)) or self._sees_break():
                return []
            outs = list(octx.tts_queue)
            octx.tts_queue.clear()
            octx.busy.add("tts")
            octx.board.notify_all()
            return outs

    def _whole_text(self, text: bytes) -> bytes:
        joined = self._carried + text
        cut = len(joined) - incomplete_utf8(joined)
        self._carried = joined[cut:]
        return joined[:cut]

    def _token_time(self) -> None:
        speeds = self._octx.body.speeds
        self._octx.pause_ms(speeds.tts_ms * self._octx.body.faults.number("slow_tts", 1.0))

    def _round_over(self) -> None:
        with self._octx.board:
            self._octx.speak_done = True
            self._octx.warmup_done = True
            self._octx.board.notify_all()

    def _write_tokens(self, directory: Path, tokens: list[AudioToken]) -> None:
        if tokens:
            idents = np.array([token.ident for token in tokens], dtype="<i4")
            path = directory / f"audio_tokens_chunk_{self._chunk_idx}.bin"
            quietly(lambda: path.write_bytes(idents.tobytes()))

    @abstractmethod
    def _make_dirs(self) -> None: ...

    @abstractmethod
    def _on_break(self) -> None: ...

    @abstractmethod
    def _speak(self, outs: list[LlmOut]) -> None: ...


class DuplexTts(Tts):
    """Exactly 26 audio tokens a group, fewer in a turn's last one (omni.cpp 5494)."""

    def _make_dirs(self) -> None:
        for name in ("tts_txt", "llm_debug", "tts_wav"):
            make_dir(self._octx.fields.output_dir / name)

    def _on_break(self) -> None:
        """Nothing is kept that a break would change: group numbers start again."""

    def _speak(self, outs: list[LlmOut]) -> None:
        text = self._whole_text(b"".join(out.text for out in outs))
        words = sum(out.words for out in outs)
        tokens = [token for out in outs for token in out.tokens]
        end_of_turn = any(out.end_of_turn for out in outs)
        if words:
            self._write_text(text, words)
        if words or end_of_turn:
            self._generate(tokens, end_of_turn=end_of_turn)
        if words:
            self._chunk_idx += 1
        self._round_over()
        if not end_of_turn:
            self._octx.push_t2w(())

    def _generate(self, tokens: list[AudioToken], *, end_of_turn: bool) -> None:
        for _ in tokens:
            self._token_time()
        self._octx.push_t2w(tuple(tokens), is_final=end_of_turn)
        self._write_tokens(self._octx.fields.output_dir / "tts_wav", tokens)

    def _write_text(self, text: bytes, words: int) -> None:
        line = re.sub(rb"\[\[.*?\]\]", b"", text)
        line = re.sub(rb" {2,}", b" ", line).strip(b" ")
        ids = " ".join(map(str, token_ids(text, words)))
        debug = self._octx.fields.output_dir / "llm_debug"
        if line:
            quietly(lambda: _append(debug / "llm_text.txt", line + b"\n"))
        quietly(lambda: _append(debug / "llm_token_ids.txt", f"[chunk_{self._chunk_idx}] {ids}\n".encode()))


class SimplexTts(Tts):
    """As many audio tokens as a group needs, handed over 25 at a time (omni.cpp 6093)."""

    def __init__(self, octx: Octx) -> None:
        super().__init__(octx)
        self._buffer: list[AudioToken] = []
        self._made_round = -1
        self._round = octx.round_dir(0)
        self._finishing = False

    def _make_dirs(self) -> None:
        octx = self._octx
        self._round = octx.round_dir(octx.simplex_round_idx)
        if octx.simplex_round_idx != self._made_round:
            self._made_round = octx.simplex_round_idx
            for name in ("tts_txt", "llm_debug", "tts_wav"):
                make_dir(self._round / name)
            octx.body.log.engine(f"TTS: created round directory {self._round}")
        quietly(lambda: (self._round / "tts_wav" / "wav_timing.txt").write_text(_WAV_TIMING))

    def _on_break(self) -> None:
        self._finishing = False
        self._octx.simplex_round_idx += 1
        self._octx.body.log.engine(f"TTS: break, next round_idx={self._octx.simplex_round_idx}")

    def _speak(self, outs: list[LlmOut]) -> None:
        out = outs[0]
        self._finishing |= out.llm_finish
        octx = self._octx
        if octx.speak_done and self._finishing:
            self._finishing = False
            self._chunk_idx = 0
            return
        text = self._whole_text(b"" if octx.speak_done else out.text)
        if out.words:
            if self._chunk_idx == 0:
                self._make_dirs()
                self._buffer.clear()
            self._write_text(text, out.words)
            self._generate(out)
            self._chunk_idx += 1
        # A last group with text but no speakable token swallows the finish mark (omni.cpp 6994).
        if self._finishing and (out.words or not text):
            self._end_round()

    def _write_text(self, text: bytes, words: int) -> None:
        ids = token_ids(text, words)
        chunk = self._round / "llm_debug" / f"chunk_{self._chunk_idx}"
        hidden = np.zeros((words, 64), dtype="<f4")

        def write() -> None:
            chunk.mkdir(mode=0o755, parents=True, exist_ok=True)
            (chunk / "llm_text.txt").write_bytes(text)
            (chunk / "llm_token_ids.txt").write_text(" ".join(map(str, ids)))
            head = np.array(hidden.shape, dtype="<i4").tobytes()
            (chunk / "llm_hidden_states.bin").write_bytes(head + hidden.tobytes())

        quietly(write)

    def _generate(self, out: LlmOut) -> None:
        octx = self._octx
        made: list[AudioToken] = []
        for token in out.tokens:
            if self._sees_break():
                octx.body.log.engine("TTS Simplex: break_event detected, stopping immediately")
                break
            self._token_time()
            made.append(token)
            self._buffer.append(token)
            if len(self._buffer) >= _STEP:
                octx.push_t2w(tuple(self._buffer))
                self._buffer.clear()
        wav_dir = self._round / "tts_wav"
        self._write_tokens(wav_dir, made)
        idents = ",".join(str(token.ident) for token in made)
        quietly(lambda: (wav_dir / f"audio_tokens_chunk_{self._chunk_idx}.txt").write_text(idents))

    def _end_round(self) -> None:
        octx = self._octx
        if self._buffer:
            octx.push_t2w(tuple(self._buffer))
            self._buffer.clear()
        self._round_over()
        with octx.board:
            round_idx = octx.simplex_round_idx
            octx.simplex_round_idx += 1
        octx.push_t2w((), is_final=True, round_idx=round_idx)
        octx.body.log.engine("TTS: sent is_final=true to T2W queue (turn end)")
        self._finishing = False
        self._chunk_idx = 0


def _append(path: Path, line: bytes) -> None:
    with path.open("ab") as file:
        file.write(line)
