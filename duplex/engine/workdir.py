"""The private directories through which an engine's audio passes, on tmpfs where there is one."""

import contextlib
import fcntl
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["EngineDirs", "engine_dirs", "spool_parent", "sweep_leftovers"]

_log = logging.getLogger(__name__)

_TMPFS = Path("/dev/shm")  # noqa: S108 - only directories made by mkdtemp (mode 0700) go there
_TMPFS_FREE_BYTES = 512 * 2**20
_PREFIX = "omni-duplex-"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class EngineDirs:
    """Where one engine reads and writes. All exist; absolute."""

    output_dir: Path
    """The engine writes its audio and text here."""
    input_dir: Path
    """We write the audio the engine is to hear here."""
    placeholder: Path
    """An empty file, the parrot's "model"."""


def spool_parent(tmpfs: Path = _TMPFS) -> Path:
    """Where private directories are made: tmpfs when it is writable and roomy, else the system's temporary directory.

    A container's /dev/shm is often 64 MB, and one long answer leaves more than that in debug files.
    """
    with contextlib.suppress(OSError):
        if os.access(tmpfs, os.W_OK | os.X_OK) and shutil.disk_usage(tmpfs).free >= _TMPFS_FREE_BYTES:
            return tmpfs
    return Path(tempfile.gettempdir())


@contextlib.contextmanager
def engine_dirs(
    output_dir: Path | None, *, share_input: bool = False, parent: Path | None = None
) -> Iterator[EngineDirs]:
    """Make the directories, and remove what was made at the end.

    A given `output_dir` is created when missing, for the operator alone, and never removed; one that is there keeps its
    rights, with a warning when others may enter it. `share_input` puts the input beside it, for an
    engine that somebody else started and that may see nothing but that directory. Leaving blocks on the file system.
    """
    parent = parent or spool_parent()
    work = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(shutil.rmtree, work, ignore_errors=True)
        # Held while we live, so that the next start can tell a directory in use from one left by a killed server. It
        # gets its name when it is held: a sweep that found it a moment earlier would take us for dead.
        unnamed = work / f"{_LOCK}.new"
        lock = cleanup.enter_context(unnamed.open("w", encoding="ascii"))
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.rename(work / _LOCK)
        placeholder = work / "parrot.gguf"
        placeholder.touch()
        output = (output_dir or work / "output").absolute()
        output.mkdir(mode=0o700, parents=True, exist_ok=True)
        _warn_if_open(output)
        input_dir = work / "input"
        if share_input and output_dir is not None:
            input_dir = Path(tempfile.mkdtemp(prefix="input_", dir=output))
            cleanup.callback(shutil.rmtree, input_dir, ignore_errors=True)
        input_dir.mkdir(exist_ok=True)
        yield EngineDirs(output_dir=output, input_dir=input_dir, placeholder=placeholder)


def _warn_if_open(output: Path) -> None:
    if output.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        _log.warning(
            "Others on this machine may enter %s, where the engine writes what is said in calls: "
            "'chmod 700' it, or leave --output-dir away for a private one.",
            output,
        )


def sweep_leftovers(parent: Path | None = None) -> None:
    """Remove what servers left that were killed before they could. tmpfs is memory: a leak there is for ever.

    Directories of servers that live, of other users, and of other programs are not touched. Blocks.
    """
    for work in (parent or spool_parent()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), (work / _LOCK).open("r+", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _log.debug("removing %s, left by a server that was killed", work)
            shutil.rmtree(work, ignore_errors=True)
