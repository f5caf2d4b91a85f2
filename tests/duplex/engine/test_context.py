"""How full a context is taken to be, and when a conversation has to leave it."""

import pytest

from duplex.engine.context import FULL, ROOMY, ContextUse, needs_new_context

SECOND = bytes(32_000)


@pytest.mark.parametrize("is_silent", [True, False])
@pytest.mark.parametrize("is_answering", [True, False])
@pytest.mark.parametrize(
    ("fill", "at_a_silence", "amid_speech"),
    [
        (0.0, False, False),
        (ROOMY - 0.01, False, False),
        (ROOMY, True, False),
        (FULL - 0.01, True, False),
        (FULL, True, True),
        (1.5, True, True),
    ],
)
def test_when_it_is_left(
    fill: float, at_a_silence: bool, amid_speech: bool, is_answering: bool, is_silent: bool
) -> None:
    expected = not is_answering and (at_a_silence if is_silent else amid_speech)
    assert needs_new_context(fill, is_answering=is_answering, is_silent=is_silent) is expected


def test_an_empty_context_holds_the_prompt_and_the_voice() -> None:
    use = ContextUse(1000)
    use.begin()
    plain = use.fill
    use.begin(SECOND * 30)
    assert plain == pytest.approx(0.1)
    assert use.fill == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("pcm", "slices", "fragments", "tokens"),
    [
        (SECOND, 0, None, 11),
        (SECOND, 1, None, 11 + 66),
        (b"", 2, None, 1 + 3 * 66),  # 64 and its marks for the whole and for each slice
        (None, 0, 0, 1),
        (None, 0, 3, 34),  # 26 speakable tokens are three fragments
    ],
)
def test_what_a_step_takes(pcm: bytes | None, slices: int, fragments: int | None, tokens: int) -> None:
    use = ContextUse(10_000)
    if pcm is not None:
        use.hear(pcm, slices=slices)
    if fragments is not None:
        use.think(fragments)
    assert use.fill * 10_000 == pytest.approx(tokens)


def test_listening_alone_fills_a_share_in_the_time_it_says() -> None:
    use = ContextUse(8192)
    for _ in range(int(use.listening_s(0.5))):
        use.hear(SECOND)
    assert use.fill == pytest.approx(0.5, abs=0.002)
    assert use.listening_s(ROOMY) / 60 > 9, "minutes of silence between two"
