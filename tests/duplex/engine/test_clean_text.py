import pytest

from duplex.engine.clean_text import FragmentMender, GroupText


def _run(fragments: list[str], groups: list[GroupText]) -> list[str]:
    mender = FragmentMender()
    out = []
    for fragment in fragments:
        out.append(mender.push(fragment))
        if mender.is_waiting:
            out.append(mender.mend(groups))
    out.append(mender.flush())
    return [text for text in out if text]


@pytest.mark.parametrize(
    ("fragments", "groups", "text"),
    [
        (["clear", " text"], [], "clear text"),
        (["你\ufffd", "\ufffd\ufffd吗"], [(0, "你"), (1, "好吗")], "你好吗"),
        (["a\ufffd", "\ufffdb\ufffd", "\ufffdc"], [(0, "a"), (1, "éb"), (2, "üc")], "aébüc"),
        (["a\ufffd", "\ufffd"], [(0, "a"), (1, "é")], "aé"),
        (["x", "a\ufffd", "\ufffdb"], [(0, "x"), (1, "a"), (2, "éb")], "xaéb"),
        (["a\ufffd", "\ufffdb"], [(1, "éb")], "aéb"),
        (["a\ufffd", "\ufffd b  c "], [(0, "a"), (1, "é b c")], "aé b  c "),
        (["a\ufffd", "\ufffdb"], [(0, "a")], "ab"),
        (["a\ufffd", "\ufffdb", "after"], [], "abafter"),
        (["in\ufffdside"], [], "in\ufffdside"),
    ],
    ids=[
        "nothing cut",
        "one cut",
        "both ends of one fragment",
        "a fragment that is only a rest",
        "groups in step",
        "a fragment without a group",
        "spaces collapsed on disk",
        "group never comes",
        "all of it never comes",
        "the model's own",
    ],
)
def test_mending(fragments: list[str], groups: list[GroupText], text: str) -> None:
    assert "".join(_run(fragments, groups)) == text


def test_text_behind_a_cut_waits_for_its_group() -> None:
    mender = FragmentMender()
    assert mender.push("a\ufffd") == "a"
    assert mender.push("\ufffdb") == ""
    assert mender.push("c") == ""
    assert mender.mend([(0, "a")]) == ""
    assert mender.is_waiting
    assert mender.mend([(0, "a"), (1, "éb")]) == "ébc"
    assert not mender.is_waiting


def test_a_group_mends_only_once() -> None:
    mender = FragmentMender()
    groups = [(0, "éb"), (1, "üb")]
    mender.push("\ufffdb")
    assert mender.mend(groups) == "éb"
    mender.push("\ufffdb")
    assert mender.mend(groups) == "üb"
    mender.push("\ufffdb")
    assert mender.mend(groups) == ""
    mender.restart()
    assert mender.mend(groups) == "éb"
