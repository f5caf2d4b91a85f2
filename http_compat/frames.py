"""The pictures of the high-refresh mode: up to five for each second of sound, four of them stacked into one.

    chunk               7               8             9
    pictures            0 1 2 3 4       0 1 2         3 and 4 of chunk 8 (late), 0 1
    shown at once       0               0             0
    shown with sound    1+2+3+4         1+2           3+4+1

Sound never waits for a picture, and whatever was kept goes with the next sound, so nothing stays behind.
"""

from dataclasses import dataclass

from duplex.errors import InvalidEvent

__all__ = ["MOST_KEPT_FRAMES", "FrameStacks", "KeptFrame", "MainFrame"]

MOST_KEPT_FRAMES = 4
"""What one stack holds."""

_MAIN = 0
_SUB_FRAMES = range(1, MOST_KEPT_FRAMES + 1)


@dataclass(frozen=True, slots=True)
class MainFrame:
    """This picture is shown to the model at once."""


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """This picture waits for the next sound."""

    count: int
    """How many frames of the same chunk wait, this one among them unless there was no room for it."""
    is_complete: bool
    """Whether frames 1 to 4 of the chunk are all there."""


class FrameStacks:
    """The frames of one session that wait for sound, at most `MOST_KEPT_FRAMES`.

    A caller numbers its chunks upwards, and its frames or not: the first picture of a chunk newer than any before is
    the main frame, and those that follow are sub-frames in order of arrival.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], bytes] = {}
        self._newest_pictured: int | None = None
        self._last_heard: int | None = None
        self.dropped = 0
        """Frames that found no room."""

    def take_image(self, audio_id: int, frame_index: int | None, image: bytes) -> MainFrame | KeptFrame:
        """Take a picture that came without sound; `frame_index` is 0 for the main frame, 1 to 4 for others, or None.

        A sub-frame sent again replaces the first. Raises `InvalidEvent` for any other index.
        """
        if frame_index is not None and frame_index != _MAIN and frame_index not in _SUB_FRAMES:
            raise InvalidEvent(f"frame_index {frame_index} is not between 0 and 4", param="frame_index")
        index = self._next_index(audio_id) if frame_index is None else frame_index
        if self._is_newest(audio_id):
            self._newest_pictured = audio_id
        if index == _MAIN:
            return MainFrame()
        key = audio_id, index
        if key in self._kept or len(self._kept) < MOST_KEPT_FRAMES:
            self._kept[key] = image
        else:
            self.dropped += 1
        indices = self._kept_indices(audio_id)
        return KeptFrame(len(indices), indices.issuperset(_SUB_FRAMES))

    def take_audio(self, audio_id: int) -> list[bytes]:
        """The frames to be shown with this sound, oldest first; none is ever returned twice."""
        if self._last_heard is not None and audio_id < self._last_heard:
            # The caller numbers its chunks afresh. Against the old numbers all its pictures would be late ones.
            self._newest_pictured = audio_id
        self._last_heard = audio_id
        frames = [self._kept[key] for key in sorted(self._kept)]
        self._kept.clear()
        return frames

    def _next_index(self, audio_id: int) -> int:
        if self._is_newest(audio_id):
            return _MAIN
        return 1 + max(self._kept_indices(audio_id), default=_MAIN)

    def _is_newest(self, audio_id: int) -> bool:
        return self._newest_pictured is None or audio_id > self._newest_pictured

    def _kept_indices(self, audio_id: int) -> set[int]:
        return {index for kept_id, index in self._kept if kept_id == audio_id}
