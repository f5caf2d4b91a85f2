import pytest

from duplex.engine.parrot.faults import FAULTS, FaultKind, Faults, UnknownFault


def test_from_words() -> None:
    faults = Faults.parse(["no_flag", "slow_tts=2.5", "script=lsE", "die_in_decode", "hang_decode=3", "wav_restart=on"])
    assert faults.active() == {
        "no_flag": True,
        "slow_tts": 2.5,
        "script": "LSE",
        "die_in_decode": True,
        "hang_decode": 3,
        "wav_restart": "on",
    }


@pytest.mark.parametrize(
    "item",
    [
        "nothing",
        "slow_tts",
        "slow_tts=x",
        "slow_tts=-1",
        "slow_tts=inf",
        "script=abc",
        "script",
        "die_in_decode=0",
        "die_in_decode=x",
        "no_flag=2",
        "wav_restart=maybe",
    ],
)
def test_bad_words(item: str) -> None:
    with pytest.raises(UnknownFault):
        Faults.parse([item])


@pytest.mark.parametrize("name", FAULTS)
def test_each_can_be_set_and_taken_back(name: str) -> None:
    value = {FaultKind.FLAG: True, FaultKind.NTH: 2, FaultKind.NUMBER: 3, FaultKind.TEXT: "L"}[FAULTS[name]]
    faults = Faults()
    faults.set(name, "on" if name == "wav_restart" else value)
    assert faults.on(name)
    faults.set(name, None)
    assert not faults.on(name)
    assert faults.active() == {}


def test_nth() -> None:
    faults = Faults.parse(["hang_decode=2", "early_done"])
    assert [faults.hit("hang_decode") for _ in range(4)] == [False, True, False, False]
    assert [faults.hit("early_done") for _ in range(2)] == [True, True]
    assert not faults.hit("stale_prefill")
    faults.set("hang_decode", 1)
    assert faults.hit("hang_decode")


def test_a_script_is_read_letter_by_letter() -> None:
    faults = Faults.parse(["script=LS"])
    assert [faults.next_letter() for _ in range(4)] == ["L", "S", "", ""]
    faults.set("script", "E")
    assert faults.next_letter() == "E"
