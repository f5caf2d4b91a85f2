"""The far end on a hand-moved clock: which sample of an answer plays while which sample of the microphone is heard."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.rooms import reduction_db
from bench.speech import RATE_HZ, levelled, synthetic_speech
from duplex.evidence import VAD_FRAME_SAMPLES
from duplex.far_end import FarEnd
from duplex.resample import Quality, StreamResampler

FRAME_S = 0.02


def numbered(first: int, count: int) -> bytes:
    """Samples `first`, `first` + 1, …: whoever hears one knows which of the last 65536 it is."""
    return np.arange(first, first + count).astype("<u2").tobytes()


def values(pcm: bytes) -> list[int]:
    return [int(value) for value in np.frombuffer(pcm, "<u2")]


class Client:
    """Feeds a far_end at the microphone's rate, so that every sample is known, and reads frame by frame."""

    def __init__(self) -> None:
        self.far_end = FarEnd(RATE_HZ)
        self.now = 0.0
        self.sent_samples = 0

    def send(self, seconds: float) -> None:
        count = round(seconds * RATE_HZ)
        self.far_end.sent(numbered(self.sent_samples + 1, count), self.now)
        self.sent_samples += count

    def frame(self, late_s: float = 0.0) -> list[int]:
        """The far end of the next frame of the microphone."""
        self.now += FRAME_S
        return values(self.far_end.read(VAD_FRAME_SAMPLES, self.now + late_s))

    def far(self, seconds: float) -> list[int]:
        return [value for _ in range(round(seconds / FRAME_S)) for value in self.frame()]

    def acknowledge(self, played_s: float, late_s: float = 0.0) -> None:
        self.far_end.acknowledge(round(1000 * played_s), self.now + late_s)


def test_nothing_sent_is_silence() -> None:
    assert not any(Client().far(0.2))


def test_what_is_sent_is_played_from_then_on_and_once() -> None:
    client = Client()
    client.far(0.1)
    client.send(0.05)
    assert client.far(0.1) == [*range(1, 801), *([0] * 800)]


def test_pieces_sent_ahead_follow_each_other_without_a_gap() -> None:
    client = Client()
    client.far(0.1)
    client.send(0.1)
    client.send(0.1)
    heard = client.far(0.06)
    client.send(0.1)
    assert heard + client.far(0.28) == [*range(1, 4801), *([0] * 640)]


def test_a_piece_that_comes_too_late_begins_when_it_comes() -> None:
    client = Client()
    client.far(0.1)
    client.send(0.04)
    heard = client.far(0.08)
    client.send(0.04)
    assert heard + client.far(0.04) == [*range(1, 641), *([0] * 640), *range(641, 1281)]


def test_a_flush_drops_what_was_not_played() -> None:
    client = Client()
    client.far(0.1)
    client.send(0.2)
    assert client.far(0.06) == list(range(1, 961))
    client.far_end.flush(client.now)
    assert not any(client.far(0.2))
    client.far_end.begin()
    client.send(0.04)
    assert client.far(0.04) == list(range(3201, 3841))


def test_a_held_client_goes_on_where_it_stopped() -> None:
    client = Client()
    client.far(0.1)
    client.send(0.2)
    heard = client.far(0.06)
    client.far_end.hold(client.now)
    client.far_end.hold(client.now)
    assert not any(client.far(0.3))
    client.send(0.1)
    client.far_end.release(client.now)
    client.far_end.release(client.now)
    assert heard + client.far(0.26) == [*range(1, 4801), *([0] * 320)]


def test_a_flush_ends_a_hold() -> None:
    client = Client()
    client.far(0.1)
    client.send(0.2)
    client.far_end.hold(client.now)
    client.far_end.flush(client.now)
    client.far_end.release(client.now)
    assert not any(client.far(0.1))
    client.send(0.02)
    assert client.frame() == list(range(3201, 3521))


@settings(deadline=None)
@given(st.lists(st.floats(min_value=0.0, max_value=0.09), min_size=100, max_size=100))
def test_a_microphone_that_is_late_and_uneven_hears_the_same(late_s: Sequence[float]) -> None:
    client = Client()
    client.far(0.1)
    client.send(2.0)
    assert [value for late in late_s for value in client.frame(late)] == list(range(1, 32_001))


def test_a_microphone_that_was_late_at_first_is_understood_later() -> None:
    client = Client()
    client.frame(late_s=0.08)
    client.far(0.5)
    client.send(0.02)
    assert client.frame() == list(range(1, 321))


def test_a_microphone_that_paused_has_missed_what_was_played_meanwhile() -> None:
    client = Client()
    client.far(0.1)
    client.send(4.0)
    client.far(0.5)
    client.now += 1.0
    client.far(1.0)
    heard = client.frame()
    assert heard[-1] == pytest.approx(RATE_HZ * 2.52, abs=RATE_HZ * 0.005)
    assert np.all(np.diff(heard) == 1)


def test_a_microphone_that_opens_late_hears_what_is_played_then() -> None:
    client = Client()
    client.send(2.0)
    client.now += 1.0
    assert client.frame() == list(range(16_001, 16_321))


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["send", "read", "wait", "hold", "release", "flush", "begin"]), st.integers(1, 12)),
    max_size=80,
)


@given(OPERATIONS)
@settings(max_examples=200, deadline=None)
def test_whatever_happens_each_sample_is_played_at_most_once_in_order_and_never_after_a_flush(
    operations: list[tuple[str, int]],
) -> None:
    client = Client()
    newest = 0
    for what, amount in operations:
        match what:
            case "send" if client.sent_samples < 30_000:
                client.send(amount * 0.01)
            case "read":
                for _ in range(amount):
                    heard = [value for value in client.frame() if value]
                    assert heard == sorted(set(heard))
                    assert not heard or heard[0] > newest
                    newest = max([newest, *heard])
            case "wait":
                client.now += amount * 0.01
            case "hold":
                client.far_end.hold(client.now)
            case "release":
                client.far_end.release(client.now)
            case "flush":
                client.far_end.flush(client.now)
                # Frames that were captured before it may still come; that they do is another test.
                client.far_end.read(VAD_FRAME_SAMPLES * 40, client.now)
                newest = client.sent_samples
            case "begin":
                client.far_end.begin()


def test_a_frame_captured_before_a_flush_has_its_far_end_when_it_comes_after() -> None:
    client = Client()
    client.far(0.1)
    client.send(0.2)
    client.now += FRAME_S
    client.far_end.flush(client.now)
    assert values(client.far_end.read(VAD_FRAME_SAMPLES, client.now + 0.03)) == list(range(1, 321))
    assert not any(client.frame())


def test_an_hour_without_a_microphone_takes_no_more_memory_than_seconds() -> None:
    far_end = FarEnd(24_000)
    for second in range(3600):
        far_end.begin()
        far_end.sent(bytes(2 * 24_000 // 10), float(second))
    assert far_end._sent.end - far_end._sent.start <= 10 * RATE_HZ
    assert len(far_end._played) <= 101


def test_what_was_played_is_forgotten_while_the_microphone_listens() -> None:
    client = Client()
    for _ in range(100):
        client.send(0.02)
        client.far(0.1)
    assert len(client.far_end._played) <= 21


def test_what_left_the_memory_is_silent_and_the_rest_stays_in_its_place() -> None:
    client = Client()
    client.far(0.1)
    client.send(2.0)
    client.far_end.sent(bytes(9 * 2 * RATE_HZ), client.now)
    assert client.far(2.5) == [*([0] * RATE_HZ), *range(RATE_HZ + 1, 2 * RATE_HZ + 1), *([0] * (RATE_HZ // 2))]


# --- acknowledgements


def respond(client: Client, late_s: float, seconds: float = 4.0, jitter_s: Sequence[float] = (0.0,)) -> list[int]:
    """A response that the client plays `late_s` after it was sent, acknowledged every 200 ms. What the far end was."""
    client.far_end.begin()
    first, began = client.sent_samples, client.now
    client.send(seconds)
    far: list[int] = []
    for number in range(round((seconds - 0.2) / FRAME_S)):
        far += client.frame()
        if number % 10 == 9:
            late = jitter_s[number // 10 % len(jitter_s)]
            client.acknowledge(max(0.0, client.now - began - late_s), late)
    client.far_end.flush(client.now)
    return [(value - first) % 65536 for value in far]


@pytest.mark.parametrize("late_s", [0.0, 0.06, 0.25, 0.4])
def test_a_delay_that_a_canceller_finds_is_left_alone(late_s: float) -> None:
    client = Client()
    client.far(0.1)
    for _ in range(3):
        far = respond(client, late_s)
        assert far == list(range(1, len(far) + 1))
        client.far(0.2)


@pytest.mark.parametrize(("late_s", "moved_s"), [(0.7, 0.58), (0.5, 0.38)])
def test_a_delay_too_long_for_a_canceller_is_shortened(late_s: float, moved_s: float) -> None:
    client = Client()
    client.far(0.1)
    far = respond(client, late_s)
    assert len(far) - far[-1] == pytest.approx(moved_s * RATE_HZ, abs=20)


@pytest.mark.parametrize(("later_s", "after_s"), [(0.06, 2.0), (0.2, 2.0), (-0.05, 0.4), (-0.09, 0.4)])
def test_a_response_that_begins_later_or_earlier_than_the_last_gets_the_same_delay(
    later_s: float, after_s: float
) -> None:
    client = Client()
    client.far(0.1)
    respond(client, 0.1)
    client.far(0.2)
    far = respond(client, 0.1 + later_s)
    assert len(far) - far[-1] == pytest.approx(later_s * RATE_HZ, abs=20)
    steps = np.flatnonzero(np.diff(far) != 1)
    assert len(steps) == 1
    assert steps[0] / RATE_HZ == pytest.approx(after_s, abs=0.21)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(min_value=0.0, max_value=0.03), min_size=9, max_size=9))
def test_acknowledgements_that_only_arrive_unevenly_move_nothing(jitter_s: Sequence[float]) -> None:
    client = Client()
    client.far(0.1)
    respond(client, 0.1)
    client.far(0.2)
    far = respond(client, 0.1, jitter_s=jitter_s)
    assert far == list(range(1, len(far) + 1))


@pytest.mark.parametrize("played_s", [-1.0, 0.0, 0.5, 2.0])
def test_an_acknowledgement_of_nothing_or_of_all_moves_nothing(played_s: float) -> None:
    client = Client()
    client.far(0.1)
    client.send(0.5)
    for _ in range(4):
        client.acknowledge(played_s)
    assert client.far(0.5) == list(range(1, 8001))


def test_an_acknowledgement_before_anything_was_played_or_during_a_hold_moves_nothing() -> None:
    client = Client()
    client.acknowledge(1.0)
    client.far(0.1)
    client.send(1.0)
    heard = client.far(0.1)
    client.far_end.hold(client.now)
    for _ in range(4):
        client.acknowledge(0.9)
    client.far(0.1)
    client.far_end.release(client.now)
    assert heard + client.far(0.9) == list(range(1, 16_001))


def test_the_far_end_of_another_rate_sounds_the_same_and_begins_when_it_was_sent() -> None:
    sound = levelled(synthetic_speech(1.0, pitch_hz=120.0, seed=1))
    clean = StreamResampler(RATE_HZ, 24_000, Quality.CLEAN)
    far_end = FarEnd(RATE_HZ)
    far_end.set_rate(24_000)
    far_end.read(VAD_FRAME_SAMPLES, FRAME_S)
    pcm = np.rint(sound * 32767).astype("<i2").tobytes()
    far_end.sent(clean.push(pcm) + clean.flush(), FRAME_S)
    far = np.frombuffer(far_end.read(RATE_HZ, FRAME_S + 1.0), "<i2") / 32767
    assert reduction_db(sound[:-100], (far - sound)[:-100]) > 15
