"""The benchmark of the HTTP interface, once and small, with everything it starts."""

from bench.http_call import http_servers
from bench.http_hand_off import WAVS_A_TURN, http_hand_offs
from bench.http_pictures import http_pictures
from bench.http_turns import http_breaks, http_listens
from duplex.engine.base import Mode


async def test_everything_is_measured() -> None:
    async with http_servers() as servers:
        for mode in Mode:
            handed = await http_hand_offs(servers, mode, 1)
            assert len(handed.ours_ms) == len(handed.relay_ms) == WAVS_A_TURN
            (broken,) = await http_breaks(servers, mode, 1)
            assert broken.stale_bytes == 0
            assert broken.events[-1].is_end
        (listened,) = await http_listens(servers, 1)
        assert listened.decode.heard_ns <= listened.decode.began_ns
        pictures = await http_pictures(servers, 1)
        assert len(pictures.busy_ms) == len(pictures.quiet_ms) == len(pictures.pictures_ms) == 1
