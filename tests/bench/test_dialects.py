"""What the dialects cost: that every one is measured on what it really sends, and that a miss shows."""

import base64
import json

import numpy as np
import pytest

from bench.dialects import first_audio_ms, rows
from bench.encoding import DELTA_MS, DIALECTS, begun, encoding_us, say
from bench.server import running_server
from realtime.dialects.base import Frame, Paced

PCM = np.arange(2400, dtype="<i2").tobytes()


def sound(name: str, frame: Frame) -> bytes:
    if isinstance(frame, bytes):
        return frame
    event = json.loads(frame)
    raw = base64.b64decode(event.get("delta" if "delta" in event else "audio", ""))
    return np.rint(np.frombuffer(raw, "<f4") * 32_768).astype("<i2").tobytes() if name == "minicpmo" else raw


@pytest.mark.parametrize("name", DIALECTS)
def test_what_is_timed_is_a_whole_piece_of_sound(name: str) -> None:
    dialect = begun(name)
    paced = dialect if isinstance(dialect, Paced) else None
    said = [frame for number in (1, 2) for frame in say(dialect, paced, PCM, number * DELTA_MS / 1000)]
    heard = b"".join(sound(name, frame) for frame in said)
    # Live leaves in real time, and its stream began before the answer did.
    assert heard in ((PCM + PCM)[: len(heard)], bytes(1920) + PCM + PCM)
    assert len(heard) >= 2 * len(PCM) - 1920
    assert all(us > 0 for us in encoding_us(name, 3))


@pytest.mark.parametrize(
    ("stock_ms", "met"), [((11.0, 15.0, 99.0), True), ((1.0, 2.0, 3.0), True), ((16.0,) * 3, False)]
)
def test_the_medians_are_held_together(stock_ms: tuple[float, ...], met: bool) -> None:
    found = list(rows({"binary": [9.0, 10.0, 50.0], "openai-python": stock_ms}, {"binary": [40.0, 50.0, 900.0]}))
    assert [row.is_met for row in found] == [True, True, met, True]
    assert not next(
        row for row in rows({"binary": [1.0], "openai-python": [1.0]}, {"live": [51.0]}) if "live" in row.what
    ).is_met


async def test_both_clients_are_answered() -> None:
    async with running_server("--engine", "parrot") as server:
        measured = await first_audio_ms(server, 1)
    # A second of speech comes first, and the pause by which its end is known.
    assert all(len(values) == 1 and 1250 < values[0] < 15_000 for values in measured.values())
