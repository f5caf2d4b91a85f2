from pathlib import Path

import pytest

from duplex.engine.spool_files import SpoolFiles, remove_output
from tests.duplex.engine.fake_llama import put_begun_group


@pytest.fixture
def files(tmp_path: Path) -> SpoolFiles:
    made = SpoolFiles(tmp_path, is_round=True)
    made.make()
    return made


def _group(root: Path, number: int, text: str) -> Path:
    folder = root / "llm_debug" / f"chunk_{number}"
    folder.mkdir(parents=True)
    (folder / "llm_text.txt").write_text(text)
    (folder / "llm_hidden_states.txt").write_text("large")
    return folder


def test_a_directory_that_is_not_there_is_empty(tmp_path: Path) -> None:
    files = SpoolFiles(tmp_path / "missing", is_round=True)
    assert files.names() == set()
    assert files.flag() is None
    assert files.read("wav_0.wav") == b""
    assert files.group_texts() == []
    assert files.text_sign() == 0
    files.remove("wav_0.wav")
    files.trim_group_debug(0)
    files.trim_debug()


def test_token_groups_are_taken_when_they_are_written(files: SpoolFiles) -> None:
    for number, content in ((10, bytes(8)), (2, bytes(104)), (3, b""), (4, bytes(6))):
        (files.wav_dir / f"audio_tokens_chunk_{number}.bin").write_bytes(content)
    (files.wav_dir / "audio_tokens_chunk_2.txt").touch()
    (files.wav_dir / "wav_0.wav").touch()
    assert files.take_token_groups(files.names()) == [(2, 26), (10, 2)]
    assert files.names() == {"audio_tokens_chunk_3.bin", "audio_tokens_chunk_4.bin", "wav_0.wav"}


def test_texts_of_a_round_come_by_group(files: SpoolFiles, tmp_path: Path) -> None:
    for number, text in ((10, "third"), (2, "second"), (0, "first"), (11, "")):
        _group(tmp_path, number, text)
    assert files.group_texts() == [(0, "first"), (2, "second"), (10, "third")]
    assert files.text_sign() == 4


def test_texts_of_duplex_are_whole_lines(tmp_path: Path) -> None:
    files = SpoolFiles(tmp_path, is_round=False)
    (tmp_path / "llm_debug").mkdir()
    (tmp_path / "llm_debug" / "llm_text.txt").write_text("one\n两\nunfinish")
    assert files.group_texts() == [(0, "one"), (1, "两")]
    assert files.text_sign() == len("one\n两\nunfinish".encode())


def test_the_group_that_tts_has_begun(tmp_path: Path) -> None:
    files = SpoolFiles(tmp_path, is_round=False)
    assert files.begun_group() is None
    for number in (11, 12, 0):
        put_begun_group(tmp_path, number)
        assert files.begun_group() == number
    (tmp_path / "llm_debug" / "llm_token_ids.txt").write_text("[chunk_3] 7 8\n[chun")
    assert files.begun_group() == 3


def test_debug_files_go_and_the_text_stays_until_the_end(files: SpoolFiles, tmp_path: Path) -> None:
    folder = _group(tmp_path, 1, "text")
    files.trim_group_debug(1)
    assert [path.name for path in folder.iterdir()] == ["llm_text.txt"]
    files.trim_debug()
    assert list(folder.iterdir()) == []


def test_directories_in_use_are_never_removed(tmp_path: Path) -> None:
    folder = _group(tmp_path, 1, "text")
    rounds = [tmp_path / f"round_{number:03d}" for number in (0, 6, 7, 8, 9, 1000)]
    for root in rounds:
        _group(root, 0, "text")
    remove_output(tmp_path)
    assert folder.is_dir()
    assert [root.is_dir() for root in rounds] == [True] * 6
    remove_output(tmp_path, last_round=7)
    assert folder.is_dir()
    assert [root.is_dir() for root in rounds] == [False, False, True, True, False, False]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_files_that_are_not_the_engines_stay(tmp_path: Path) -> None:
    """The output directory may be somebody's home."""
    mine = [tmp_path / "letter.txt", tmp_path / "photos" / "me.jpg", tmp_path / "round_trip" / "plan.txt"]
    its = [tmp_path / "tts_wav" / "wav_0.wav", tmp_path / "round_012" / "llm_debug" / "chunk_0" / "llm_text.txt"]
    for path in (*mine, *its):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    remove_output(tmp_path)
    assert [path.exists() for path in (*mine, *its)] == [True, True, True, False, False]
    remove_output(tmp_path / "missing")


@pytest.mark.parametrize(("content", "flag"), [("", None), ("12", None), ("12\n", 12)])
def test_flag(files: SpoolFiles, content: str, flag: int | None) -> None:
    (files.wav_dir / "generation_done.flag").write_text(content)
    assert files.flag() == flag
