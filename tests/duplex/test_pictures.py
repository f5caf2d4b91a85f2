"""Which pictures are whole, and which still wait."""

import io

import pytest
from PIL import Image

from duplex.errors import InvalidEvent
from duplex.pictures import LONGEST_SIDE, Pictures, check_picture


def picture(kind: str, size: tuple[int, int] = (8, 6)) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(written, kind)
    return written.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_whole_picture_passes_as_it_is(kind: str) -> None:
    assert check_picture(picture(kind), "p") == picture(kind)
    if kind == "JPEG":
        assert check_picture(picture(kind) + b"\0\0", "p"), "cameras pad"


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", picture("GIF"), b"\xff\xd8\xff", b"\xff\xd8\xff" * 9, b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_none_is_refused_by_name(content: bytes) -> None:
    with pytest.raises(InvalidEvent) as refused:
        check_picture(content, "item.content[0].image_url")
    assert (refused.value.code, refused.value.param) == ("invalid_value", "item.content[0].image_url")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_every_cut_is_noticed(kind: str) -> None:
    whole = picture(kind)
    for end in range(len(whole)):
        with pytest.raises(InvalidEvent):
            check_picture(whole[:end], "p")


def test_a_bomb_is_refused() -> None:
    png = bytearray(picture("PNG"))
    png[16:20] = (LONGEST_SIDE + 1).to_bytes(4, "big")
    with pytest.raises(InvalidEvent, match=f"{LONGEST_SIDE + 1}x6"):
        check_picture(bytes(png), "p")


def test_the_oldest_leaves_when_too_many_wait() -> None:
    waiting = Pictures(2)
    for shown in (b"a", b"b", b"c"):
        waiting.show(shown)
    assert waiting.take() == [b"b", b"c"]
    assert waiting.take() == []
