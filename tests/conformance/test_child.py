"""Scripts that end well, end badly, or do not end."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from conformance.child import run_script
from conformance.clients import Client, Language
from conformance.environments import ready
from conformance.errors import ConformanceError


async def run(script: str, folder: Path, timeout_s: float = 30.0) -> tuple[str, str | None]:
    return await run_script(
        [sys.executable, "-c", script], folder=folder, environment={"PATH": os.defpath}, timeout_s=timeout_s
    )


async def test_what_it_printed_is_kept(tmp_path: Path) -> None:
    assert await run("print('said')", tmp_path) == ("said\n", None)


async def test_how_it_failed_is_told(tmp_path: Path) -> None:
    printed, failure = await run("print('said'); raise SystemExit('last words')", tmp_path)
    assert (printed, failure) == ("said\n", "The script ended with 1: last words")


async def test_what_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    # The grandchild holds the pipe, so there is no end of it before the grandchild's.
    script = "import subprocess, time; subprocess.Popen(['sleep', '600']); print('said', flush=True); time.sleep(600)"
    async with asyncio.timeout(20):
        printed, failure = await run(script, tmp_path, timeout_s=1.0)
    assert (printed, failure) == ("said\n", "The script had not ended after 1 s.")


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "locks" / "some"
    folder.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_text("{}")
    monkeypatch.setattr("conformance.clients.LOCKS", tmp_path / "locks")
    monkeypatch.setattr("conformance.environments._BUILD", tmp_path / "build")
    monkeypatch.setenv("PATH", str(tmp_path))
    client = Client("some", Language.NODE, "some")
    for _ in range(2):
        with pytest.raises(ConformanceError, match="'npm' is not installed"):
            ready(client)
