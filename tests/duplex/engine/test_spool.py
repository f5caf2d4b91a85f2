import pytest

from duplex.engine.spool import NextWav, Spool, parse_flag, token_group_number, wav_number


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("wav_0.wav", 0),
        ("wav_2003.wav", 2003),
        ("wav_.wav", None),
        ("wav_1.wav.tmp", None),
        ("xwav_1.wav", None),
        ("wav_-1.wav", None),
        ("wav_timing.txt", None),
    ],
)
def test_wav_names(name: str, number: int | None) -> None:
    assert wav_number(name) == number


def test_token_names() -> None:
    assert token_group_number("audio_tokens_chunk_12.bin") == 12
    assert token_group_number("audio_tokens_chunk_12.txt") is None


@pytest.mark.parametrize(
    ("content", "number"),
    [(b"2003\n", 2003), (b"0\n", 0), (b"", None), (b"200", None), (b"\n", None), (b"-1\n", None), (b"x\n", None)],
)
def test_flag_is_read_when_it_is_whole(content: bytes, number: int | None) -> None:
    assert parse_flag(content) == number


def _wavs(*numbers: int) -> set[str]:
    return {f"wav_{number}.wav" for number in numbers} | {"wav_timing.txt"}


def _read_all(spool: Spool, names: set[str]) -> list[int]:
    order = []
    names = set(names)
    while (wav := spool.next_wav(names)) is not None:
        order.append(wav.number)
        spool.consume(wav.number)
        names.discard(wav.name)
    return order


@pytest.mark.parametrize(
    ("read", "there", "order"),
    [
        ([], [0, 1, 2], [0, 1, 2]),
        ([], [10, 9, 2], [2, 9, 10]),
        ([0, 1], [2, 4], [2, 4]),
        ([0, 1], [1002, 1003], [1002, 1003]),
        ([0, 1, 2, 3], [0], [0]),
        ([0, 1, 2, 3], [4, 5, 0, 1], [4, 5, 0, 1]),
        ([0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]),
        ([], [], []),
    ],
    ids=["in order", "by number", "gap", "thousand", "restart", "restart behind a tail", "restart in full", "nothing"],
)
def test_order(read: list[int], there: list[int], order: list[int]) -> None:
    spool = Spool()
    for number in read:
        spool.consume(number)
    assert _read_all(spool, _wavs(*there)) == order


def test_a_restart_known_before_its_first_file() -> None:
    spool = Spool(first=5000)
    spool.consume(5000)
    spool.restart()
    assert spool.expected == 0
    assert not spool.is_done(0, _wavs())
    spool.consume(0)
    assert spool.is_done(0, _wavs())


def test_when_nothing_older_can_come_the_lowest_number_is_the_first() -> None:
    spool = Spool()
    spool.consume(0)
    spool.forget_older()
    assert _read_all(spool, _wavs(0, 1)) == [0, 1]
    spool.forget_older()
    assert _read_all(spool, _wavs(2, 3)) == [2, 3]
    assert _read_all(spool, _wavs(0, 4)) == [4, 0]


@pytest.mark.parametrize(
    ("first", "there", "gap"),
    [(0, [], False), (0, [0, 1], False), (0, [1], True), (3000, [3000], False), (3000, [3001], True)],
)
def test_gap(first: int, there: list[int], *, gap: bool) -> None:
    assert Spool(first=first).has_gap(_wavs(*there)) is gap


@pytest.mark.parametrize(
    ("there", "flag", "closed"),
    [
        ([5], None, False),
        ([5, 6], None, True),
        ([5], 5, True),
        ([5], 7, True),
        ([5], 4, False),
    ],
    ids=["alone", "a later one", "its flag", "a later flag", "the flag of the turn before"],
)
def test_closed(there: list[int], flag: int | None, *, closed: bool) -> None:
    spool = Spool(first=5)
    assert spool.next_wav(_wavs(*there), flag=flag) == NextWav("wav_5.wav", 5, closed)


@pytest.mark.parametrize(
    ("first", "read", "there", "flag", "done"),
    [
        (0, [0, 1], [], 1, True),
        (0, [0], [1], 1, False),
        (0, [], [], 1, False),
        (0, [], [], 0, False),
        (5000, [5000, 5001], [], 0, False),
        (5000, [], [], 0, False),
        (5000, [5000], [], 4003, False),
        (0, [0, 1], [2], 1, True),
        (0, [0, 1, 2, 0], [], 0, True),
    ],
    ids=[
        "flag and file",
        "file not read",
        "stale: file never seen",
        "empty round 0",
        "0 in a later round after audio",
        "0 in a later round",
        "flag of another round",
        "the next turn has begun",
        "after a restart",
    ],
)
def test_done(first: int, read: list[int], there: list[int], flag: int, *, done: bool) -> None:
    spool = Spool(first=first)
    for number in read:
        spool.consume(number)
    assert spool.is_done(flag, _wavs(*there)) is done
