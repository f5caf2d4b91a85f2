"""What every client is put through: speak, hear an answer, speak over it, hear the answer to that.

Only the standard library, for this runs in the clients' environments. All sound is 24 kHz, 16-bit little-endian, mono.
"""

import array
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

__all__ = ["PIECE_S", "RATE_HZ", "Talk", "run"]

RATE_HZ = 24_000
PIECE_S = 0.02
_PIECE_BYTES = 2 * round(RATE_HZ * PIECE_S)
_AUDIBLE = 300
"""A piece with a sample beyond this is sound and not silence, of 32767."""
_ENOUGH_S = 0.5
"""So much of an answer is a spoken one."""
_ZEROS_BYTES = 2 * round(RATE_HZ * 0.2)
"""So many zeros are the end of what was said, and no pause between words."""
_HUSH_S = 0.5
"""For so long may a stream without turns go on when it is spoken over."""
_TIME_S = 40.0


class Talk:
    """The steps one client has passed: its script says what happens, and this decides what to say next."""

    def __init__(self, sentences: Sequence[bytes]) -> None:
        """`sentences` are two: one to be answered, one to interrupt with."""
        self._first, self._second = sentences
        self._to_say = b""
        self._spoken_s = 0.0
        self._zeros = 0
        self._answers: dict[str, float] = {}
        self._interrupted: str | None = None
        self.passed: list[str] = []
        self.error: str | None = None
        self.over = asyncio.Event()

    def connected(self) -> None:
        """The client says that it is ready to be talked to. Further times count for nothing."""
        if not self.passed:
            self._pass("connect")
            self._to_say = self._first

    def heard(self, pcm: bytes, answer: str) -> None:
        """The client hands out sound of an answer; `answer` tells one from the next."""
        if answer == self._interrupted:
            self.fail("Sound of the interrupted answer came after the interruption.")
            return
        self._answers[answer] = self._answers.get(answer, 0.0) + _audible_s(pcm)
        if self._answers[answer] < _ENOUGH_S:
            return
        if self.passed == ["connect"]:
            self._pass("answer")
            self._to_say, self._spoken_s = self._second, 0.0
        elif self.passed[-1:] == ["interrupt"]:
            self._pass("second turn")
            self.over.set()

    def interrupted(self) -> None:
        """The client says that the answer of now is interrupted. Before one was heard, that counts for nothing."""
        if self.passed == ["connect", "answer"]:
            self._interrupted = list(self._answers)[-1]
            self._pass("interrupt")

    def streamed(self, pcm: bytes) -> None:
        """The client hands out the next of a stream without turns, in real time: its silence is true zeros.

        Spoken over, it turns to zeros soon and stays there until the speaker has ended.
        """
        if not any(pcm):
            self._zeros += len(pcm)
            if self._zeros >= _ZEROS_BYTES:
                self.interrupted()
            return
        self._zeros = 0
        if self.passed == ["connect", "answer"] and self._spoken_s > _HUSH_S:
            self.fail(f"The answer went on for more than {_HUSH_S} s after it was spoken over.")
        may_be_next = "interrupt" in self.passed and not self._to_say
        self.heard(pcm, "next" if may_be_next else "first")

    def fail(self, reason: str) -> None:
        """End it here. The first reason stays."""
        self.error = self.error or reason
        self.over.set()

    async def microphone(self) -> AsyncIterator[bytes]:
        """Pieces of `PIECE_S` in real time: what is to be said, and silence otherwise. Ends when it is over."""
        clock = asyncio.get_running_loop()
        due_s = clock.time()
        while not self.over.is_set():
            piece, self._to_say = self._to_say[:_PIECE_BYTES], self._to_say[_PIECE_BYTES:]
            yield piece.ljust(_PIECE_BYTES, b"\0")
            self._spoken_s += PIECE_S
            due_s += PIECE_S
            await asyncio.sleep(max(0.0, due_s - clock.time()))

    def _pass(self, step: str) -> None:
        self.passed.append(step)


def run(converse: Callable[[Talk, str], Awaitable[None]]) -> None:
    """Run a script: `converse` is given the talk and the server's host and port, and returns when the talk is over.

    The report is one line of JSON, whatever happened.
    """
    host, *paths = sys.argv[1:]
    sentences = [Path(path).read_bytes() for path in paths]
    report = asyncio.run(_reported(converse, host, sentences))
    sys.stdout.write(f"\n{json.dumps(report)}\n")


async def _reported(
    converse: Callable[[Talk, str], Awaitable[None]], host: str, sentences: Sequence[bytes]
) -> dict[str, object]:
    talk = Talk(sentences)
    try:
        async with asyncio.timeout(_TIME_S):
            await converse(talk, host)
    except TimeoutError:
        talk.fail(f"Nothing further happened within {_TIME_S:.0f} s.")
    except Exception as error:  # noqa: BLE001 - whatever a client throws is its report
        talk.fail(f"{type(error).__name__}: {error}")
    return {"passed": talk.passed, "error": talk.error}


def _audible_s(pcm: bytes) -> float:
    samples = array.array("h", pcm[: len(pcm) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    loud = any(abs(sample) > _AUDIBLE for sample in samples)
    return len(samples) / RATE_HZ if loud else 0.0
