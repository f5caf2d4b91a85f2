"""A stream without gaps, on a clock moved by hand."""

from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.dialects.steady import MOST_TEXTS, MOST_WAITING_S, TICK_MS, Piece, SteadyStream

RATE_HZ = 8000
TICK_BYTES = RATE_HZ * TICK_MS // 1000 * 2
ZEROS = bytes(TICK_BYTES)


def loud(ticks: float, first: int = 1) -> bytes:
    """No two samples near each other are alike, and none is zero."""
    return b"".join(((first + n) % 30_000 + 1).to_bytes(2, "little") for n in range(round(ticks * TICK_BYTES / 2)))


class Player:
    """Takes what is due, and keeps it."""

    def __init__(self) -> None:
        self.stream = SteadyStream(RATE_HZ)
        self.ms = 0
        self.pieces: list[Piece] = []
        self.play()

    @property
    def now(self) -> float:
        return 50.0 + self.ms / 1000

    def play(self, ms: int = 0) -> list[Piece]:
        new: list[Piece] = []
        self.ms += ms
        while (piece := self.stream.take(self.now)) is not None:
            new.append(piece)
        self.pieces += new
        return new

    def ticks(self, number: int) -> bytes:
        return b"".join(self.play(TICK_MS)[0].pcm for _ in range(number))

    @property
    def sound(self) -> bytes:
        return b"".join(piece.pcm for piece in self.pieces)


def test_silence_is_zeros_in_real_time() -> None:
    player = Player()
    assert [piece.pcm for piece in player.pieces] == [ZEROS]
    player.play(10_000)
    assert len(player.sound) == (10 * 1000 // TICK_MS + 1) * TICK_BYTES
    assert not any(player.sound)
    assert player.play(TICK_MS // 2) == [], "nothing before its time"
    assert player.stream.due_at() > player.now


def test_sound_leaves_unchanged_and_zeros_fill_what_is_missing() -> None:
    player = Player()
    player.stream.push(loud(2.5))
    assert player.ticks(4) == loud(2.5) + bytes(TICK_BYTES * 3 // 2)


def test_cleared_it_is_silent_with_the_next_piece_and_can_be_filled_again() -> None:
    player = Player()
    player.stream.push(loud(20))
    player.stream.say("never heard")
    assert player.ticks(2) == loud(2)
    player.stream.clear()
    assert player.ticks(3) == ZEROS * 3
    player.stream.push(loud(1, first=900))
    player.stream.finish()
    assert player.ticks(2) == loud(1, first=900) + ZEROS
    assert not any(piece.texts for piece in player.pieces)


def test_held_it_is_silent_and_loses_nothing() -> None:
    player = Player()
    player.stream.push(loud(3))
    assert player.ticks(1) == loud(3)[:TICK_BYTES]
    player.stream.hold()
    player.stream.push(loud(1, first=5000))
    assert player.ticks(5) == ZEROS * 5
    player.stream.release()
    assert player.ticks(4) == loud(3)[TICK_BYTES:] + loud(1, first=5000) + ZEROS


def test_a_break_ends_a_hold() -> None:
    player = Player()
    player.stream.push(loud(3))
    player.stream.hold()
    player.stream.clear()
    player.stream.push(loud(1))
    assert player.ticks(1) == loud(1)


def test_late_pieces_leave_one_after_the_other_and_the_beat_is_kept() -> None:
    player = Player()
    player.stream.push(loud(3))
    assert b"".join(piece.pcm for piece in player.play(5 * TICK_MS)) == loud(3) + ZEROS * 2
    assert len(player.play(TICK_MS)) == 1


def test_a_text_leaves_with_the_sound_it_names() -> None:
    player = Player()
    player.ticks(24)
    player.stream.say("One.")
    assert player.play(TICK_MS)[0].texts == (), "no sound, no words yet"
    player.stream.push(loud(50))
    player.stream.say("Two.")
    first, *between, second = player.play(51 * TICK_MS)
    (one,) = first.texts
    assert (one.text, one.start_ms) == ("One.", 26 * TICK_MS)
    assert one.end_ms == one.start_ms + 260, "four letters at the usual speed"
    assert not any(piece.texts for piece in [*between, second])
    player.stream.push(loud(1))
    (two,) = player.play(TICK_MS)[0].texts
    assert (two.text, two.start_ms) == ("Two.", 77 * TICK_MS)


def test_texts_ahead_of_their_sound_are_spread_at_the_usual_speed() -> None:
    player = Player()
    for word in ("aaaa", "bbbb", "cccc"):
        player.stream.say(word)
    player.stream.push(loud(25))
    player.play(1000)
    starts = [text.start_ms for piece in player.pieces for text in piece.texts]
    assert starts == [TICK_MS, TICK_MS + 260, TICK_MS + 520]


def test_a_hold_moves_the_words_with_their_sound() -> None:
    player = Player()
    player.stream.push(loud(2))
    player.stream.say("Later.")
    player.stream.push(loud(2))
    player.stream.hold()
    assert not any(piece.texts for piece in player.play(10 * TICK_MS))
    player.stream.release()
    (text,) = [text for piece in player.play(4 * TICK_MS) for text in piece.texts]
    assert text.start_ms == 13 * TICK_MS


def test_all_words_are_out_with_the_last_sound() -> None:
    player = Player()
    player.stream.say("A short sound for so many words")
    player.stream.say(", and these have none left at all.")
    player.stream.push(loud(3))
    player.stream.finish()
    texts = [text.text for piece in player.play(3 * TICK_MS) for text in piece.texts]
    assert "".join(texts) == "A short sound for so many words, and these have none left at all."


def test_words_without_any_sound_are_out_at_the_end() -> None:
    player = Player()
    player.stream.say("Hm.")
    player.stream.finish()
    (text,) = player.play(TICK_MS)[0].texts
    assert text.text == "Hm."


def test_the_next_answers_words_do_not_wait_for_the_last_ones() -> None:
    player = Player()
    player.stream.say("A very long text that takes seconds to say. " * 5)
    player.stream.push(loud(1))
    player.stream.finish()
    player.stream.say("Next.")
    player.stream.push(loud(1))
    player.play(2 * TICK_MS)
    assert [text.start_ms for piece in player.pieces for text in piece.texts] == [TICK_MS, 2 * TICK_MS]


def test_too_much_sound_drops_the_oldest() -> None:
    player = Player()
    most = MOST_WAITING_S * RATE_HZ * 2
    sound = loud(MOST_WAITING_S * 1000 / TICK_MS + 2)
    player.stream.push(sound)
    player.play(MOST_WAITING_S * 1000 + 1000)
    rest = player.sound.removeprefix(ZEROS)
    assert rest[:most] == sound[-most:]
    assert not any(rest[most:])


def test_too_many_texts_are_joined_and_none_is_lost() -> None:
    player = Player()
    words = [f"{n} " for n in range(MOST_TEXTS + 50)]
    for word in words:
        player.stream.say(word)
    player.stream.finish()
    (piece,) = player.play(TICK_MS)
    assert len(piece.texts) == MOST_TEXTS
    assert "".join(text.text for text in piece.texts) == "".join(words)


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 3 * TICK_BYTES // 2)),
        st.tuples(st.just("play"), st.integers(0, 200)),
        st.tuples(st.sampled_from(["say", "hold", "release", "clear", "finish"]), st.just(0)),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(ACTS)
def test_whatever_happens_it_runs_in_real_time_and_in_order(acts: list[tuple[str, int]]) -> None:
    player = Player()
    pushed = said = 0
    for act, amount in acts:
        match act:
            case "push":
                samples = range(pushed, pushed + amount)
                player.stream.push(b"".join((n % 30_000 + 1).to_bytes(2, "little") for n in samples))
                pushed += amount
            case "play":
                player.play(amount)
            case "say":
                player.stream.say(f"{said},")
                said += 1
            case _:
                getattr(player.stream, act)()
    assert len(player.pieces) == player.ms // TICK_MS + 1
    assert all(len(piece.pcm) == TICK_BYTES for piece in player.pieces)
    heard = [int.from_bytes(player.sound[at : at + 2], "little") for at in range(0, len(player.sound), 2)]
    voiced = [sample for sample in heard if sample]
    assert voiced == sorted(voiced), "in order, and nothing twice"
    assert len(set(voiced)) == len(voiced)
    texts = [text for piece in player.pieces for text in piece.texts]
    numbers = [int(number) for text in texts for number in text.text.split(",") if number]
    assert numbers == sorted(set(numbers))
    assert all(text.start_ms <= text.end_ms for text in texts)
    starts = [text.start_ms for text in texts]
    assert starts == sorted(starts)
