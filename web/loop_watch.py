"""Looks how late the event loop is, as long as the server runs."""

import asyncio
import logging

from duplex.clock import Clock
from web.overload import LOOK_EVERY_S, Overload

__all__ = ["watch_loop"]

_log = logging.getLogger(__name__)


async def watch_loop(overload: Overload, clock: Clock) -> None:
    """Tell `overload` what is seen, for ever. Ten wake-ups a second take less than a thousandth of a core."""
    while True:
        due = clock.now() + LOOK_EVERY_S
        await asyncio.sleep(LOOK_EVERY_S)
        was_on = overload.is_on
        overload.saw(clock.now() - due)
        if overload.is_on and not was_on:
            _log.warning("overloaded: the event loop is %.0f ms late; new calls are refused", 1000 * overload.lag_s)
        elif was_on and not overload.is_on:
            _log.info("no longer overloaded")
