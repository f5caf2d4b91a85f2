"""An event loop in which nobody waits: when all there is to do is to let time pass, it has passed."""

import asyncio

__all__ = ["LeapingLoop", "LoopClock"]


class LeapingLoop(asyncio.SelectorEventLoop):
    """Hours in seconds, for what does no I/O and starts no thread while timers run."""

    def __init__(self) -> None:
        super().__init__()
        self._leapt_s = 0.0
        # The one place where a loop waits. Its time is this class's own, so that nothing else moves it.
        wait = self._selector.select  # type: ignore[attr-defined]

        def leap(timeout: float | None = None) -> object:
            events = wait(None if timeout is None else 0)
            if not events and timeout:
                self._leapt_s += timeout
            return events

        self._selector.select = leap  # type: ignore[attr-defined]

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._leapt_s


class LoopClock:
    """The clock of whatever runs on such a loop."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()
