"""The keys that clients must know one of: from the settings, and from a file that is read again when it changes."""

import asyncio
import contextlib
import logging
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from duplex.tasks import beside
from realtime.keys import KeyRing, parse_keys
from web.settings import ServerSettings, SettingsError

__all__ = ["KeyFile", "open_keys"]

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_LARGEST_BYTES = 1024 * 1024
_Print = tuple[int, int, int]
"""By what a change is noticed: inode, size and time of the last write."""


@contextlib.asynccontextmanager
async def open_keys(server: ServerSettings) -> AsyncIterator[KeyRing]:
    """All keys in force; those of `--api-key-file` are kept up to date while the body runs. Raises `SettingsError`."""
    fixed = tuple(key.get_secret_value() for key in server.api_keys)
    if server.api_key_file is None:
        yield KeyRing(fixed)
        return
    file = KeyFile(server.api_key_file, fixed)
    await asyncio.to_thread(file.open)
    async with beside(key_file=file.follow()):
        yield file.ring


class KeyFile:
    """The file and the ring that follows it. A file that cannot be used changes nothing: the last keys stay."""

    def __init__(
        self, path: Path, fixed: tuple[str, ...] = (), *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """`fixed` keys count beside those of the file. `sleep` is the wait between two looks."""
        self.ring = KeyRing(fixed)
        self._path = path
        self._fixed = fixed
        self._sleep = sleep
        self._used: _Print | None = None

    def open(self) -> None:
        """Read it for the first time. Raises `SettingsError` when it cannot be read or holds no key. Blocks."""
        try:
            self._used = self._print()
            self._use(self._read())
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise SettingsError(
                f"--api-key-file {self._path} cannot be used: {why}. Give a text file with one key a line; "
                "'openssl rand -hex 32' makes one."
            ) from None
        if self._path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            log.warning("%s can be read by other users of this machine: chmod 600 it", self._path)

    async def follow(self) -> None:
        """Read it again whenever it has changed. Never ends by itself."""
        seen: _Print | None = None
        complaint = ""
        while True:
            await self._sleep(_LOOK_EVERY_S)
            try:
                now = await asyncio.to_thread(self._print)
                # Half a file that somebody is still writing looks like fewer keys: it has to be the same twice.
                if now not in {self._used, None} and now == seen:
                    self._used = now
                    self._use(await asyncio.to_thread(self._read))
                    log.info("the keys of %s were read again", self._path)
                seen = now
            except (OSError, ValueError) as error:
                # Said once and not every second.
                if str(error) != complaint:
                    complaint = str(error)
                    log.warning("--api-key-file cannot be used, so the last keys stay in force: %s", complaint)

    def _print(self) -> _Print | None:
        """None when it is not there: it may be on its way."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _read(self) -> tuple[str, ...]:
        with self._path.open("rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
        if len(content) > _LARGEST_BYTES:
            raise ValueError("it is over a megabyte")
        try:
            keys = parse_keys(content.decode("utf-8"))
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8") from None
        if not keys:
            raise ValueError("it holds no key")
        return keys

    def _use(self, keys: tuple[str, ...]) -> None:
        self.ring.exchange((*self._fixed, *keys))
