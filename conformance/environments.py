"""One environment for each client below build/conformance, made from its lock and from nothing else."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from conformance.clients import CALLERS, Client, Language
from conformance.errors import ConformanceError

__all__ = ["command", "ready"]

_PROJECT = Path(__file__).parent.parent
_BUILD = _PROJECT / "build" / "conformance"
_UV = _PROJECT / "build" / "lock-tools" / "bin" / "uv"
"""What `make lock` made the locks with. `make conformance` sees to it that it is there."""
_TIMEOUT_S = 600.0
_STAMP = "made-from"
_SHARED = "talk.mjs"


def ready(client: Client) -> bool:
    """Make the client's environment unless it was made from this very lock; say whether that was necessary.

    Raises `ConformanceError` with the installer's last words. A half-made environment has no stamp and is made again.
    """
    folder = _folder(client)
    made_from = hashlib.sha256(client.lock.read_bytes()).hexdigest()
    stamp = folder / _STAMP
    if stamp.is_file() and stamp.read_text(encoding="ascii") == made_from:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if client.language is Language.PYTHON:
        python = str(folder / "bin" / "python")
        _run([str(_UV), "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)], folder)
        _run(
            [str(_UV), "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", str(client.lock)],
            folder,
        )
    else:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(client.lock.parent / name, folder)
        _run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    stamp.write_text(made_from, encoding="ascii")
    return True


def command(client: Client) -> list[str]:
    """How the client's script is started, from the project's folder, without its arguments."""
    folder = _folder(client)
    if client.language is Language.PYTHON:
        return [str(folder / "bin" / "python"), "-m", f"conformance.callers.{client.script.stem}"]
    # Node looks for packages beside the script, wherever it is started from.
    for path in (client.script, CALLERS / _SHARED):
        shutil.copy(path, folder)
    return ["node", str(folder / client.script.name)]


def _folder(client: Client) -> Path:
    return _BUILD / client.environment


def _run(words: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            words, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except FileNotFoundError:
        raise ConformanceError(
            f"'{words[0]}' is not installed, and {folder.name} cannot be built without it."
        ) from None
    except subprocess.TimeoutExpired:
        raise ConformanceError(f"Building {folder.name} took longer than {_TIMEOUT_S:.0f} s.") from None
    if done.returncode:
        raise ConformanceError(f"{folder.name} could not be built:\n{(done.stdout + done.stderr)[-2000:]}")
