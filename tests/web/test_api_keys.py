"""Keys from a file: read at the start, and again when it changes."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from web.api_keys import KeyFile, open_keys
from web.settings import ServerSettings, SettingsError


class Looks:
    """The waits between two looks at the file: each ends when the test says so."""

    def __init__(self) -> None:
        self._waits: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def sleep(self, _seconds: float) -> None:
        over = asyncio.Event()
        await self._waits.put(over)
        await over.wait()

    async def pass_by(self, times: int) -> None:
        """Let so many looks happen, and the last one end."""
        for _ in range(times):
            (await self._waits.get()).set()
        waiting = await self._waits.get()
        self._waits.put_nowait(waiting)


async def following(path: Path, steps: list[Callable[[], object]], looks: int = 2) -> KeyFile:
    """Open the file, take each step and let the follower look so often after it."""
    waits = Looks()
    file = KeyFile(path, ("fixed",), sleep=waits.sleep)
    file.open()
    task = asyncio.create_task(file.follow())
    for step in steps:
        step()
        await waits.pass_by(looks)
    task.cancel()
    return file


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


async def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    write(path, "one\n")
    file = await following(path, [lambda: write(path, "second\nthird\n")])
    assert [file.ring.knows(key) for key in ("fixed", "one", "second", "third")] == [True, False, True, True]


async def test_a_file_that_is_being_written_is_let_be(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    write(path, "one\n")
    file = await following(path, [lambda: write(path, "seco"), lambda: write(path, "second\n")], looks=1)
    assert file.ring.knows("one")
    assert not file.ring.knows("seco")


@pytest.mark.parametrize("text", ["", "# all gone\n", "\udcff", "x" * 1024 * 1024 + "y"])
async def test_a_file_that_became_useless_changes_nothing(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    write(path, "one\n")
    broken = text.encode(errors="surrogateescape")
    with caplog.at_level(logging.INFO):
        file = await following(path, [lambda: path.write_bytes(broken), lambda: None, path.unlink])
    assert file.ring.knows("one")
    assert [record.levelname for record in caplog.records] == ["WARNING"], "said once"


async def test_a_file_that_comes_back_counts(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    write(path, "one\n")
    file = await following(path, [path.unlink, lambda: write(path, "second\n")])
    assert file.ring.knows("second")
    assert not file.ring.knows("one")


@pytest.mark.parametrize("text", [None, "", "# none\n"])
async def test_a_server_does_not_start_without_the_keys_it_was_promised(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "keys"
    if text is not None:
        write(path, text)
    with pytest.raises(SettingsError, match=r"--api-key-file .*keys cannot be used: .*one key a line"):
        async with open_keys(ServerSettings(api_key_file=path)):
            pass


async def test_a_file_others_can_read_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys"
    write(path, "one-secret\n")
    path.chmod(0o644)
    async with open_keys(ServerSettings(api_key_file=path, api_keys=(SecretStr("two"),))) as ring:
        assert ring.knows("one-secret")
        assert ring.knows("two")
    assert "chmod 600" in caplog.text
    assert "one-secret" not in caplog.text
