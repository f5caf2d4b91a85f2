"""The vocoder thread: audio tokens to WAV files that grow in place, and the flag at the end (omni.cpp 8284)."""

import contextlib
import struct
import threading
from pathlib import Path

import numpy as np

from duplex.engine.parrot.octx import Octx, T2wOut
from duplex.engine.parrot.voice import SILENT_TOKEN, VOICE_RATE_HZ, AudioToken, Pcm

__all__ = ["T2w", "Vocoder", "wav_header"]

_WINDOW = 28
_STEP = 25
_SILENT_PREFIX = 3
_HELD_BACK = 8 * 480
_WRITE = 4096


class Vocoder:
    """Sound of token windows with the real one's delay: the last 8 mel frames (3840 samples) wait for the next window.

    They are kept after a final window as well, so the next answer opens with them; only a new context starts empty.
    Nothing that a break does reaches them (token2wav-impl.cpp 8649-8690).
    """

    def __init__(self) -> None:
        self._held: Pcm = np.zeros(0, dtype=np.float32)

    def feed(self, window: list[AudioToken], *, last: bool) -> Pcm:
        """Render a window: its first 25 tokens (the other 3 are look-ahead), or all of it when it is the last."""
        used = window if last else window[:_STEP]
        pcm = np.concatenate([self._held, *[token.pcm for token in used]])
        self._held = pcm[-_HELD_BACK:]
        return pcm if last else pcm[: len(pcm) - _HELD_BACK]


def wav_header(sample_count: int) -> bytes:
    """44 bytes: PCM 16 bit mono at 24 kHz, with the final sizes."""
    size = 2 * sample_count
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + size,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        VOICE_RATE_HZ,
        2 * VOICE_RATE_HZ,
        2,
        16,
        b"data",
        size,
    )


class T2w:
    """One vocoder thread for one context."""

    def __init__(self, octx: Octx) -> None:
        self._octx = octx
        self._buffer: list[AudioToken] = []
        self._vocoder = Vocoder()
        self._fresh_buffer()
        self._wav_idx = 0
        self._last_round = -1
        self._wav_dir = octx.round_dir(octx.simplex_round_idx) / "tts_wav"
        self._thread = threading.Thread(target=self._run, name="t2w", daemon=True)

    def start(self) -> None:
        """Start, once."""
        if not self._thread.is_alive():
            self._octx.body.log.engine("create t2w thread success")
            self._thread.start()

    def join(self) -> None:
        """Wait for the thread's end."""
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        octx = self._octx
        octx.body.log.engine("T2W thread (C++) started")
        while octx.running:
            if self._sees_break():
                self._obey_break()
                continue
            outs = self._take()
            if outs:
                self._render(outs)
                octx.rest("t2w")

    def _sees_break(self) -> bool:
        octx = self._octx
        faults = octx.body.faults
        if not octx.break_event or faults.on("sticky_break"):
            return False
        if faults.on("break_never_stops_audio"):
            with octx.board:
                return not octx.t2w_queue
        return not (octx.duplex_mode and faults.text("wav_restart") == "off")

    def _obey_break(self) -> None:
        octx = self._octx
        lost_nothing = octx.body.faults.on("break_never_stops_audio")
        with octx.board:
            octx.t2w_queue.clear()
            octx.break_event = False
            octx.board.notify_all()
            if lost_nothing:
                return
            self._fresh_buffer()
            self._wav_idx = 0
            if not octx.duplex_mode:
                octx.wav_turn_base += 1000
                if octx.simplex_round_idx != self._last_round:
                    self._enter_round(octx.simplex_round_idx)

    def _take(self) -> list[T2wOut]:
        octx = self._octx
        with octx.board:
            octx.wait(lambda: bool(octx.t2w_queue) or self._woken_by_break())
            if not octx.running or self._sees_break():
                return []
            outs = list(octx.t2w_queue)
            octx.t2w_queue.clear()
            octx.busy.add("t2w")
            return outs

    def _woken_by_break(self) -> bool:
        octx = self._octx
        faults = octx.body.faults
        restarts = octx.duplex_mode and faults.text("wav_restart") == "on"
        return octx.break_event and (restarts or faults.on("break_never_stops_audio")) and self._sees_break()

    def _fresh_buffer(self) -> None:
        self._buffer = [SILENT_TOKEN] * _SILENT_PREFIX
        self._octx.leftover_tokens = len(self._buffer)

    def _enter_round(self, round_idx: int) -> None:
        self._last_round = round_idx
        self._wav_dir = self._octx.round_dir(round_idx) / "tts_wav"

    def _render(self, outs: list[T2wOut]) -> None:
        octx = self._octx
        final = any(out.is_final for out in outs)
        round_idx = outs[-1].round_idx
        if not octx.duplex_mode and round_idx != self._last_round:
            self._enter_round(round_idx)
            self._wav_idx = 0
            octx.wav_turn_base = round_idx * 1000
            self._fresh_buffer()
            self._make_dir()
        self._buffer += [token for out in outs for token in out.tokens]
        if octx.has_vocoder:
            self._windows(final=final)
        octx.leftover_tokens = len(self._buffer)

    def _windows(self, *, final: bool) -> None:
        while self._octx.running and (len(self._buffer) >= _WINDOW or (final and self._buffer)):
            last = final and len(self._buffer) <= _WINDOW
            self._octx.pause_ms(self._octx.body.faults.number("slow_t2w", self._octx.body.speeds.t2w_ms))
            self._write_wav(self._vocoder.feed(self._buffer[:_WINDOW], last=last))
            self._buffer = self._buffer[_STEP:]
            if last:
                self._end()
                return

    def _end(self) -> None:
        octx = self._octx
        if not octx.body.faults.on("no_flag"):
            number = octx.wav_turn_base + self._wav_idx - 1 if self._wav_idx else 0
            self._write_growing(self._wav_dir / "generation_done.flag", [b"%d\n" % number])
            octx.body.log.engine(f"T2W: wrote done flag (last_wav={number})")
        self._fresh_buffer()
        if octx.duplex_mode:
            return
        with octx.board:
            self._wav_idx = 0
            octx.wav_turn_base += 1000
            following = octx.simplex_round_idx
        if following != self._last_round:
            self._enter_round(following)
            self._make_dir()

    def _make_dir(self) -> None:
        with contextlib.suppress(OSError):
            self._wav_dir.mkdir(mode=0o755, parents=True, exist_ok=True)

    def _write_wav(self, pcm: Pcm) -> None:
        octx = self._octx
        path = self._wav_dir / f"wav_{octx.wav_turn_base + self._wav_idx}.wav"
        payload = (np.clip(pcm, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()
        pieces = [wav_header(len(pcm)), *[payload[at : at + _WRITE] for at in range(0, len(payload), _WRITE)]]
        if self._write_growing(path, pieces):
            octx.body.log.engine(f"T2W: {path.name} | {len(pcm) / VOICE_RATE_HZ:.2f}s audio")
            self._wav_idx += 1
            octx.wav_count += 1

    def _write_growing(self, path: Path, pieces: list[bytes]) -> bool:
        """Open the final name and let it grow. A directory that vanished loses the file, and nobody is told."""
        octx = self._octx
        faults = octx.body.faults
        try:
            with path.open("wb", buffering=0) as file:
                octx.pause_ms(faults.number("open_empty", 0.0))
                for index, piece in enumerate(pieces):
                    file.write(piece)
                    if index == len(pieces) // 2 and len(pieces) > 1:
                        octx.pause_ms(faults.number("partial_writes", 0.0))
        except OSError:
            return False
        return True
