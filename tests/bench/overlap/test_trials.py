"""The benchmark itself, short and without a look at the clock: a live server, made-up voices."""

import numpy as np
import pytest

from bench.overlap.sounds import Clip, Kind, at_level
from bench.overlap.trials import ANSWER_S, Condition, overlap
from bench.server import running_server
from bench.speech import levelled, synthetic_speech
from duplex.barge_in import BargeIn


@pytest.mark.timeout(120)
async def test_an_interruption_cuts_and_a_transient_does_not() -> None:
    question = Clip("question", Kind.INTERRUPTION, levelled(synthetic_speech(1.6, pitch_hz=135.0, seed=1)))
    interruption = Clip("interruption", Kind.INTERRUPTION, levelled(synthetic_speech(1.6, pitch_hz=165.0, seed=2)))
    bang = np.random.default_rng(3).standard_normal(960) * np.hanning(960)
    transient = Clip("transient", Kind.TRANSIENT, at_level(bang, -20.0))
    async with running_server("--engine", "parrot", "--parrot-fault", f"answer_s={ANSWER_S}") as server:
        call = await overlap(server, Condition("clean", BargeIn.BALANCED), [transient, interruption], question, seed=1)
    first, second = call.trials
    assert first.cut_s is None
    assert second.held_s is not None
    assert second.cut_s is not None
    assert second.held_s < second.cut_s
    assert second.answered_s is not None
    assert second.stale_bytes == 0
    assert call.false_cuts == 0
