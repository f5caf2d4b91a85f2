from collections.abc import Callable

import pytest

from duplex.engine.base import Mode
from duplex.engine.response_end import ResponseEnd, Verdict

Sign = Callable[[ResponseEnd, float], None]


def start(end: ResponseEnd, now: float) -> None:
    end.start_decode(now)


def byte(end: ResponseEnd, now: float) -> None:
    end.receive_byte(now)


def text(end: ResponseEnd, now: float) -> None:
    end.receive_byte(now)
    end.receive_text(now)


def file(end: ResponseEnd, now: float) -> None:
    end.receive_file(now)


def audio(end: ResponseEnd, now: float) -> None:
    end.receive_file(now, is_audio=True)


def over(end: ResponseEnd, now: float) -> None:
    end.end_decode(now, listens=False)


def nothing(end: ResponseEnd, now: float) -> None:
    end.end_decode(now, listens=False, is_answer=False)


def listens(end: ResponseEnd, now: float) -> None:
    end.end_decode(now, listens=True)


def flag(end: ResponseEnd, _: float) -> None:
    end.receive_flag()


def drain(end: ResponseEnd, now: float) -> None:
    end.drain(now)


SIMPLEX, DUPLEX = Mode.SIMPLEX, Mode.DUPLEX
WAIT, OVER, STALLED = Verdict.WAIT, Verdict.OVER, Verdict.STALLED
# Each sign comes one second after the one before; the verdict is asked at the time given, with quiet 2 s, stall 45 s.
CASES: list[tuple[str, Mode, list[Sign], float, bool, Verdict]] = [
    ("nothing asked", SIMPLEX, [], 100, False, OVER),
    ("decoding", SIMPLEX, [start], 44.9, False, WAIT),
    ("decode without a sign", SIMPLEX, [start], 45, False, STALLED),
    ("a byte is a sign", SIMPLEX, [start, byte], 45.9, False, WAIT),
    ("a file is a sign", SIMPLEX, [start, file], 45.9, False, WAIT),
    ("no sign since the byte", SIMPLEX, [start, byte], 46, False, STALLED),
    ("text done, audio to come", SIMPLEX, [start, text, over], 3.9, False, WAIT),
    ("silence ends it", SIMPLEX, [start, text, over], 4, False, OVER),
    ("silence does not while audio is due", SIMPLEX, [start, text, over], 4, True, WAIT),
    ("audio due for ever", SIMPLEX, [start, text, over], 47, True, STALLED),
    ("a file restarts the silence", SIMPLEX, [start, text, over, file], 4.9, False, WAIT),
    ("flag", SIMPLEX, [start, text, over, audio, flag], 4, True, OVER),
    ("flag before the decode's end", SIMPLEX, [start, text, flag], 3, False, WAIT),
    ("flag before, then the end", SIMPLEX, [start, text, flag, over], 3, False, OVER),
    ("broken in the decode", SIMPLEX, [start, text, drain], 10, False, WAIT),
    ("broken, decode over", SIMPLEX, [start, text, drain, over], 4.9, True, WAIT),
    ("broken, silent", SIMPLEX, [start, text, drain, over], 5, True, OVER),
    ("broken again restarts the silence", SIMPLEX, [start, drain, over, drain], 4.9, False, WAIT),
    ("broken, flag", SIMPLEX, [start, drain, over, flag], 3, False, OVER),
    ("listening is no turn", DUPLEX, [start, listens], 1, False, OVER),
    ("in its turn between steps", DUPLEX, [start, text, over], 1000, False, WAIT),
    ("in its turn, audio due", DUPLEX, [start, text, over], 46.9, True, WAIT),
    ("in its turn, audio never comes", DUPLEX, [start, text, over], 47, True, STALLED),
    ("turn end", DUPLEX, [start, text, over, audio, flag], 4, False, OVER),
    ("spoke and listens", DUPLEX, [start, text, listens], 2.9, False, WAIT),
    ("spoke and listens, silent", DUPLEX, [start, text, listens], 3, False, OVER),
    ("listening on does not restart the silence", DUPLEX, [start, text, listens, start, listens], 3, False, OVER),
    ("speaks again", DUPLEX, [start, text, listens, start, text, over], 100, False, WAIT),
    ("late audio while it listens", DUPLEX, [start, text, listens, audio], 4.9, False, WAIT),
    ("audio without text is a turn", DUPLEX, [start, audio, over], 100, False, WAIT),
    ("flag while the next step runs", DUPLEX, [start, text, over, start, flag], 5, False, WAIT),
    ("flag, and the next step only listens", DUPLEX, [start, text, over, start, flag, listens], 5, False, OVER),
    ("flag, and the next step speaks", DUPLEX, [start, text, over, start, text, flag, over], 100, False, WAIT),
    ("broken in its turn", DUPLEX, [start, text, over, drain], 4.9, False, WAIT),
    ("broken in its turn, silent", DUPLEX, [start, text, over, drain], 5, True, OVER),
    ("broken step that only listened", DUPLEX, [start, drain, listens], 2, False, OVER),
    ("broken step that spoke and listened", DUPLEX, [start, text, drain, listens], 3.9, False, WAIT),
    ("broken step that spoke and listened, silent", DUPLEX, [start, text, drain, listens], 4, False, OVER),
    ("a step of which nothing is told may speak yet", DUPLEX, [start, nothing], 2.9, False, WAIT),
    ("it did not", DUPLEX, [start, nothing], 3, False, OVER),
    ("it may while the next only listens", DUPLEX, [start, nothing, start, listens], 2.9, False, WAIT),
    ("it did", DUPLEX, [start, nothing, audio], 100, False, WAIT),
    ("it did, and is broken", DUPLEX, [start, nothing, drain, audio], 4.9, False, WAIT),
    ("it did not, and is broken", DUPLEX, [start, nothing, drain], 4, False, OVER),
    ("broken in a step of which nothing is told", DUPLEX, [start, drain, nothing], 3.9, False, WAIT),
    ("broken while decoding hangs", DUPLEX, [start, drain], 46, False, STALLED),
]


@pytest.mark.parametrize(
    ("mode", "signs", "at", "due", "verdict"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_verdict(mode: Mode, signs: list[Sign], at: float, verdict: Verdict, *, due: bool) -> None:
    end = ResponseEnd(mode, stall_s=45)
    for now, sign in enumerate(signs):
        sign(end, float(now))
    assert end.verdict(at, is_audio_due=due, quiet_s=2) is verdict


def test_every_simplex_decode_opens_a_turn_and_close_ends_it() -> None:
    end = ResponseEnd(SIMPLEX, stall_s=45)
    assert not end.is_turn_open
    end.start_decode(0)
    assert end.is_turn_open
    end.drain(0)
    end.close()
    assert not end.is_turn_open
    assert not end.is_draining


def test_a_duplex_turn_opens_with_speech() -> None:
    end = ResponseEnd(DUPLEX, stall_s=45)
    end.start_decode(0)
    assert not end.is_turn_open
    end.receive_text(0)
    end.end_decode(0, listens=False)
    end.receive_flag()
    assert (end.is_turn_open, end.is_flagged) == (False, True)
