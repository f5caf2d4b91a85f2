from pathlib import Path

import pytest

from duplex.engine.workdir import engine_dirs, spool_parent, sweep_leftovers


def test_private_directories_come_and_go(tmp_path: Path) -> None:
    with engine_dirs(None, parent=tmp_path) as dirs:
        assert dirs.output_dir.is_dir()
        assert dirs.input_dir.is_dir()
        assert dirs.placeholder.is_file()
        assert dirs.output_dir.parent.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_a_given_output_directory_is_made_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    wanted = tmp_path / "a" / "b"
    with engine_dirs(wanted, parent=tmp_path) as dirs:
        assert dirs.output_dir == wanted
        assert wanted.stat().st_mode & 0o777 == 0o700
        assert not dirs.input_dir.is_relative_to(wanted)
        (wanted / "round_000").mkdir()
    assert [path.name for path in wanted.iterdir()] == ["round_000"]
    assert caplog.messages == []


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o701])
def test_one_that_others_may_enter_keeps_its_rights_with_a_warning(
    mode: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = tmp_path / "shared"
    wanted.mkdir()
    wanted.chmod(mode)
    with engine_dirs(wanted, parent=tmp_path):
        assert wanted.stat().st_mode & 0o777 == mode
    (message,) = caplog.messages
    assert f"may enter {wanted}" in message
    assert "chmod 700" in message


def test_the_input_of_an_adopted_engine_lies_in_what_it_shares(tmp_path: Path) -> None:
    with engine_dirs(tmp_path / "out", share_input=True, parent=tmp_path) as dirs:
        assert dirs.input_dir.is_relative_to(dirs.output_dir)
    assert list((tmp_path / "out").iterdir()) == []


def test_leftovers_of_killed_servers_are_swept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "omni-duplex-dead" / "output").mkdir(parents=True)
    (tmp_path / "omni-duplex-dead" / "lock").touch()
    (tmp_path / "omni-duplex-no-lock").mkdir()
    (tmp_path / "other").mkdir()
    with engine_dirs(None, parent=tmp_path) as dirs:
        sweep_leftovers(tmp_path)
        names = {path.name for path in tmp_path.iterdir()}
        assert dirs.input_dir.is_dir()
        assert names == {dirs.output_dir.parent.name, "omni-duplex-no-lock", "other"}


def test_without_a_tmpfs_the_temporary_directory_serves(tmp_path: Path) -> None:
    assert spool_parent(tmp_path / "absent").is_dir()
