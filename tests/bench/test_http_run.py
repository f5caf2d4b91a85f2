"""The hand-off in every interface, once and small, with everything it starts."""

from bench.hand_off import WS_DIALECTS, hand_offs
from bench.http_hand_off import WAVS_A_TURN, http_hand_offs, rows
from bench.http_pictures import http_pictures
from bench.http_turns import http_breaks, http_listens
from bench.memory import long_call
from bench.rig import running_rig
from duplex.engine.base import Mode


async def test_everything_is_measured() -> None:
    async with running_rig() as rig:
        for mode in Mode:
            handed = await http_hand_offs(rig, mode, 1)
            assert [len(row.values) for row in rows([handed])] == [WAVS_A_TURN, 1]
            assert (
                [len(row.floor) for row in rows([handed])]
                == [len(row.old) for row in rows([handed])]
                == [WAVS_A_TURN, 1]
            )
            (broken,) = await http_breaks(rig, mode, 1)
            assert broken.stale_bytes == 0
            assert broken.events[-1].is_end
        (listened,) = await http_listens(rig, 1)
        assert listened.decode.heard_ns <= listened.decode.began_ns
        pictures = await http_pictures(rig, 1)
        assert len(pictures.busy_ms) == len(pictures.quiet_ms) == len(pictures.pictures_ms) == 1


async def test_sound_is_heard_in_every_dialect() -> None:
    async with running_rig() as rig:
        handed = [await hand_offs(rig, dialect, 1) for dialect in WS_DIALECTS]
        log = await rig.log()
    for one in handed:
        for turns in (one.turns.ours, one.turns.floor, one.turns.old):
            assert [len(turn.delays_ms(log.closed_ns)) for turn in turns] == [1]
            assert all((turn.over_s is None) is (one.dialect == "live") for turn in turns)


async def test_a_call_is_long_and_its_memory_known() -> None:
    async with running_rig() as rig:
        found = await long_call(rig, 0.02)
    assert len(found.during_mb) == 2
    assert min(found.before_mb, found.after_mb, *found.during_mb) > 10.0
