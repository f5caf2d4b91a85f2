"""What the pump does with a spool that the adapter's own tests cannot arrange."""

from pathlib import Path

import pytest

from duplex.engine.base import EngineAudio, EngineEvent, EngineIdle, EngineText, Mode
from duplex.engine.limits import EngineLimits
from duplex.engine.mailbox import EventMailbox
from duplex.engine.spool_files import SpoolFiles
from duplex.engine.stale import HELD_SAMPLES, TOKEN_SAMPLES
from duplex.engine.turn_pump import TurnPump
from duplex.engine.vocoder import Vocoder
from duplex.engine.watch import PollingWatcher
from duplex.errors import EngineMute
from tests.duplex.engine.fake_llama import put_begun_group, put_flag, put_tokens, put_wav


class HandClock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.at_s = 7.0

    def now(self) -> float:
        return self.at_s


class RacyFiles(SpoolFiles):
    """Misses a file in its first listing, as a directory read beside a writer can."""

    def __init__(self, root: Path, missed: str) -> None:
        super().__init__(root, is_round=False)
        self._missed = {missed}

    def names(self) -> set[str]:
        names = super().names() - self._missed
        self._missed = set()
        return names


class Parts:
    """A pump with everything it shares."""

    def __init__(self, files: SpoolFiles, mode: Mode = Mode.DUPLEX) -> None:
        files.make()
        self.clock = HandClock()
        self.mailbox = EventMailbox()
        vocoder = Vocoder()
        self.vocoder, self.ledger, self.spool = vocoder, vocoder.ledger, vocoder.spool
        self.pump = TurnPump(
            mode=mode,
            files=files,
            spool=self.spool,
            vocoder=vocoder,
            mailbox=self.mailbox,
            watcher=PollingWatcher(),
            clock=self.clock,
            limits=EngineLimits(),
        )

    def leave_four_tokens(self) -> None:
        """In the vocoder, of an answer that was broken off."""
        self.ledger.receive_tokens(26)
        self.spool.consume(0)
        self.ledger.receive_wav(0)
        self.vocoder.begin_break(Mode.DUPLEX)
        self.vocoder.settle(Mode.DUPLEX)

    async def turn(self) -> list[EngineEvent]:
        """Run a turn whose files are all there."""
        self.pump.start_decode()
        self.pump.end_decode(listens=False)
        await self.pump.run()
        self.mailbox.close()
        return [event async for event in self.mailbox]


async def test_a_file_that_a_listing_missed_is_not_skipped(tmp_path: Path) -> None:
    files = RacyFiles(tmp_path, missed="wav_0.wav")
    parts = Parts(files)
    for number in range(3):
        put_wav(files.wav_dir, number, bytes([number, 0]))
    put_flag(files.wav_dir, 2)
    assert await parts.turn() == [*(EngineAudio(bytes([number, 0])) for number in range(3)), EngineIdle()]


async def test_a_turn_ends_before_the_next_ones_sound(tmp_path: Path) -> None:
    files = SpoolFiles(tmp_path, is_round=False)
    parts = Parts(files)
    for number in range(2):
        put_wav(files.wav_dir, number, bytes([number, 0]))
    put_wav(files.wav_dir, 2, bytes(2 * HELD_SAMPLES) + bytes([2, 0]))
    put_flag(files.wav_dir, 1)
    parts.pump.start_decode()
    parts.pump.receive_fragment("next")
    old, newer, new = (EngineAudio(bytes([number, 0])) for number in range(3))
    parts.pump._scan()
    parts.mailbox.close()
    assert [event async for event in parts.mailbox] == [EngineText("next"), old, newer, EngineIdle(), new]


async def test_a_gap_that_is_one_is_stepped_over(tmp_path: Path) -> None:
    files = SpoolFiles(tmp_path, is_round=False)
    parts = Parts(files)
    for number in (0, 3, 1002):
        put_wav(files.wav_dir, number)
    put_flag(files.wav_dir, 1002)
    assert await parts.turn() == [EngineAudio(b"ab")] * 3 + [EngineIdle()]


async def test_a_stale_head_is_cut_across_files(tmp_path: Path) -> None:
    files = SpoolFiles(tmp_path, is_round=False)
    parts = Parts(files)
    parts.leave_four_tokens()
    stale = 2 * (HELD_SAMPLES + 4 * TOKEN_SAMPLES)
    for number, pcm in enumerate((bytes(8), bytes(stale - 8) + b"NEW!", b"on"), start=1):
        put_wav(files.wav_dir, number, pcm)
    put_flag(files.wav_dir, 3)
    assert await parts.turn() == [EngineAudio(b"NEW!"), EngineAudio(b"on"), EngineIdle()]


async def test_numbers_from_0_say_that_the_buffer_was_emptied(tmp_path: Path) -> None:
    files = SpoolFiles(tmp_path, is_round=False)
    parts = Parts(files)
    parts.leave_four_tokens()
    assert parts.ledger.stale_samples == HELD_SAMPLES + 4 * TOKEN_SAMPLES
    put_wav(files.wav_dir, 0, bytes(2 * HELD_SAMPLES) + b"NEW!")
    put_flag(files.wav_dir, 0)
    assert await parts.turn() == [EngineAudio(b"NEW!"), EngineIdle()]


@pytest.mark.parametrize("is_rendered", [True, False])
async def test_a_sweep_takes_late_files_into_account(tmp_path: Path, *, is_rendered: bool) -> None:
    files = SpoolFiles(tmp_path, is_round=False)
    parts = Parts(files)
    parts.vocoder.cut_here()
    put_tokens(files.wav_dir, 0, 26)
    if is_rendered:
        put_wav(files.wav_dir, 0)
    parts.pump.sweep()
    assert files.names() == set()
    late = HELD_SAMPLES + 4 * TOKEN_SAMPLES if is_rendered else 29 * TOKEN_SAMPLES
    assert parts.ledger.stale_samples == late
    assert not parts.pump.is_draining


@pytest.mark.parametrize(
    ("begun", "made", "waits_s"), [(None, None, 2), (0, None, 15), (0, 0, 2), (7, 6, 15), (0, 7, 15)]
)
async def test_a_drain_waits_for_the_group_that_tts_has_begun(
    tmp_path: Path, begun: int | None, made: int | None, waits_s: int
) -> None:
    """Duplex TTS ends a group whatever is broken off, and then its vocoder speaks into the next answer."""
    files = SpoolFiles(tmp_path, is_round=False)
    parts = Parts(files)
    parts.pump.start_decode()
    parts.pump.receive_fragment("Yes.")
    parts.pump.end_decode(listens=False)
    if begun is not None:
        put_begun_group(tmp_path, begun)
    if made is not None:
        put_tokens(files.wav_dir, made, 3)
    assert not parts.pump._is_over()
    parts.pump.drain()
    parts.clock.at_s += waits_s - 0.1
    assert not parts.pump._is_over()
    parts.clock.at_s += 0.1
    assert parts.pump._is_over()


@pytest.mark.parametrize("has_tokens", [True, False])
@pytest.mark.parametrize("has_sound", [True, False])
async def test_an_answer_that_was_not_heard_yet_is_waited_for(
    tmp_path: Path, *, has_sound: bool, has_tokens: bool
) -> None:
    """Seen on the real engine on a busy CPU: sound began seconds after the text, and a short answer stayed silent."""
    files = SpoolFiles(tmp_path, is_round=True)
    parts = Parts(files, Mode.SIMPLEX)
    parts.pump.start_decode()
    parts.pump.receive_fragment("Yes.")
    parts.pump.end_decode(listens=False)
    if has_tokens:
        put_tokens(files.wav_dir, 0, 3)
    if has_sound:
        put_wav(files.wav_dir, 0)
    assert not parts.pump._is_over()
    parts.clock.at_s += 5.0
    assert parts.pump._is_over() is has_sound
    parts.clock.at_s += 15.0
    if has_sound or has_tokens:
        assert parts.pump._is_over()
    else:
        with pytest.raises(EngineMute):
            parts.pump._is_over()


async def test_a_window_before_the_file_that_counts_its_group_leaves_nothing_due(tmp_path: Path) -> None:
    """TTS hands over 25 of a group's 50 tokens while it makes the others, and a quick vocoder overtakes the file."""
    files = SpoolFiles(tmp_path, is_round=True)
    parts = Parts(files, Mode.SIMPLEX)
    parts.pump.start_decode()
    parts.pump.receive_fragment("Yes.")
    parts.pump.end_decode(listens=False)
    put_wav(files.wav_dir, 0)
    assert not parts.pump._is_over()
    put_tokens(files.wav_dir, 0, 50)
    parts.clock.at_s += 5.0
    assert not parts.pump._is_over(), "the second window is due"
    put_wav(files.wav_dir, 1)
    assert not parts.pump._is_over()
    parts.clock.at_s += 20.0
    assert parts.pump._is_over(), "no flag comes, and nothing more is due"


@pytest.mark.parametrize("is_kept", [True, False])
async def test_a_duplex_turn_without_sound_ends_when_its_tokens_wait_for_more(tmp_path: Path, *, is_kept: bool) -> None:
    files = SpoolFiles(tmp_path, is_round=False)
    parts = Parts(files)
    parts.pump.start_decode()
    parts.pump.receive_fragment("Yes.")
    parts.pump.end_decode(listens=True)
    if is_kept:
        put_tokens(files.wav_dir, 0, 3)
    assert not parts.pump._is_over()
    parts.clock.at_s += 2.0
    assert parts.pump._is_over() is is_kept
    parts.clock.at_s += 13.0
    if not is_kept:
        with pytest.raises(EngineMute):
            parts.pump._is_over()


async def test_words_that_go_on_are_no_sound(tmp_path: Path) -> None:
    parts = Parts(SpoolFiles(tmp_path, is_round=False))
    for _ in range(15):
        parts.pump.start_decode()
        parts.pump.receive_fragment("and so on")
        parts.pump.end_decode(listens=False)
        assert not parts.pump._is_over()
        parts.clock.at_s += 1.0
    with pytest.raises(EngineMute):
        parts.pump._is_over()


@pytest.mark.parametrize(
    ("says", "is_mute"),
    [("nothing, nothing", True), ("nothing, over, nothing", False), ("nothing, listen, nothing", False)],
)
async def test_a_duplex_engine_that_says_nothing_twice_is_given_up(tmp_path: Path, says: str, *, is_mute: bool) -> None:
    parts = Parts(SpoolFiles(tmp_path, is_round=False))
    *before, last = says.split(", ")
    for told in before:
        parts.pump.start_decode()
        parts.pump.end_decode(listens=told == "listen", is_answer=told != "nothing")
        assert not parts.pump._is_over()
    parts.pump.start_decode()
    parts.pump.end_decode(listens=False, is_answer=last != "nothing")
    if is_mute:
        with pytest.raises(EngineMute):
            parts.pump._is_over()
    else:
        assert not parts.pump._is_over()
        parts.clock.at_s += 2.0
        assert parts.pump._is_over()
