"""The files of one engine's output directory: listing, reading, removing. Blocking calls of microseconds on tmpfs.

Files are removed, directories only long after their use: an engine that thinks it has made a directory loses what it
then writes there.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from duplex.engine.clean_text import GroupText
from duplex.engine.spool import DONE_FLAG, parse_flag, token_group_number

__all__ = ["SpoolFiles", "remove_files", "remove_output"]

_TEXT_NAME = "llm_text.txt"
_IDS_NAME = "llm_token_ids.txt"
_GROUP_LINE = re.compile(r"^\[chunk_(\d+)\]", re.MULTILINE)
_INT32_BYTES = 4
_ENGINE_FOLDERS = frozenset({"tts_wav", "tts_txt", "llm_debug"})
_ROUND = re.compile(r"round_(\d{3,})")


class SpoolFiles:
    """One directory of WAVs and the debug directory beside it: a simplex round's, or duplex's only one."""

    def __init__(self, root: Path, *, is_round: bool) -> None:
        """`root` holds `tts_wav` and `llm_debug`. `is_round`: each group has its own folder in `llm_debug`."""
        self.wav_dir = root / "tts_wav"
        self._wav_dir = str(self.wav_dir)
        self._debug_dir = root / "llm_debug"
        self._is_round = is_round

    def make(self) -> None:
        """Make the WAV directory before the engine does, so that it can be watched from the first file on."""
        self.wav_dir.mkdir(mode=0o755, parents=True, exist_ok=True)

    def names(self) -> set[str]:
        """The names in the WAV directory."""
        try:
            # Not pathlib, here and below: every piece of sound waits for this, and system calls are most of its way.
            return set(os.listdir(self._wav_dir))  # noqa: PTH208
        except FileNotFoundError:
            return set()

    def read(self, name: str) -> bytes:
        """The bytes of a file of the WAV directory as they are now; none when it is gone."""
        return self.read_dated(name)[0]

    def read_dated(self, name: str) -> tuple[bytes, float]:
        """The same, and when it was last written, in seconds of the epoch; 0 when it is gone."""
        try:
            handle = os.open(f"{self._wav_dir}{os.sep}{name}", os.O_RDONLY)
        except FileNotFoundError:
            return b"", 0.0
        try:
            status = os.fstat(handle)
            return os.read(handle, status.st_size), status.st_mtime
        finally:
            os.close(handle)

    def remove(self, name: str) -> None:
        """Unlink a file of the WAV directory."""
        (self.wav_dir / name).unlink(missing_ok=True)

    def flag(self) -> int | None:
        """The number in the done flag, None when there is none or it is still empty."""
        return parse_flag(self.read(DONE_FLAG))

    def take_token_groups(self, names: set[str]) -> list[tuple[int, int]]:
        """Number and count of tokens of each finished group in the listing, whose files are removed."""
        groups = []
        for name in names:
            number = token_group_number(name)
            if number is None:
                continue
            content_bytes = len(self.read(name))
            # The engine opens the file, then writes and closes it in one go: empty means not yet.
            if content_bytes and content_bytes % _INT32_BYTES == 0:
                self.remove(name)
                self.remove(f"audio_tokens_chunk_{number}.txt")
                groups.append((number, content_bytes // _INT32_BYTES))
        return sorted(groups)

    def group_texts(self) -> list[GroupText]:
        """The groups' texts that are on disk, in order."""
        if not self._is_round:
            lines = _read_text(self._debug_dir / _TEXT_NAME).split("\n")
            return list(enumerate(lines[:-1]))
        texts = [(number, _read_text(folder / _TEXT_NAME)) for number, folder in self._group_folders()]
        return sorted((number, text) for number, text in texts if text)

    def text_sign(self) -> int:
        """A number that changes when a group's text is written."""
        if self._is_round:
            return sum((folder / _TEXT_NAME).exists() for _, folder in self._group_folders())
        try:
            return (self._debug_dir / _TEXT_NAME).stat().st_size
        except OSError:
            return 0

    def begun_group(self) -> int | None:
        """Duplex: the number of the group that TTS has begun last, None before the first."""
        lines = _GROUP_LINE.findall(_read_text(self._debug_dir / _IDS_NAME))
        return int(lines[-1]) if lines else None

    def trim_group_debug(self, number: int) -> None:
        """Remove the dumps of a group whose sound is made, but not its text: 0.7 MB for every 8 text tokens."""
        if not self._is_round:
            return
        for path in _files(self._debug_dir / f"chunk_{number}"):
            if path.name != _TEXT_NAME:
                path.unlink(missing_ok=True)

    def trim_debug(self) -> None:
        """Remove every file of the debug directory."""
        remove_files(self._debug_dir)

    def _group_folders(self) -> Iterator[tuple[int, Path]]:
        with contextlib.suppress(OSError):
            for folder in self._debug_dir.iterdir():
                number = folder.name.removeprefix("chunk_")
                if number.isdecimal():
                    yield int(number), folder


def remove_files(root: Path) -> None:
    """Remove every file below `root`, and leave every directory."""
    for path in _files(root):
        path.unlink(missing_ok=True)


def remove_output(output_dir: Path, *, last_round: int | None = None) -> None:
    """Remove every file the engine wrote below its output directory. An operator may have named a directory with files
    of his own: those stay.

    With `last_round`, the directories of rounds go too, but for that of this one, where the engine may be late, and of
    the next, which it has made already. A call of hours would else leave tens of thousands.
    """
    with contextlib.suppress(FileNotFoundError):
        for folder in output_dir.iterdir():
            is_round = _ROUND.fullmatch(folder.name)
            if is_round and last_round is not None and int(is_round[1]) not in {last_round, last_round + 1}:
                shutil.rmtree(folder, ignore_errors=True)
            elif is_round or folder.name in _ENGINE_FOLDERS:
                remove_files(folder)


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for name in names:
            yield Path(folder) / name


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
