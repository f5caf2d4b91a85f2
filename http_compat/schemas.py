"""What old clients send, field for field. Unknown keys are passed over, as ever; null stands for "not given"."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from duplex.errors import InvalidEvent

__all__ = ["InitRequest", "PrefillRequest", "parse_media_type"]

_AUDIO, _OMNI = 1, 2
_MEDIA_TYPES: dict[str, int] = {"audio": _AUDIO, "video": _OMNI, "omni": _OMNI, "": _OMNI, "1": _AUDIO, "2": _OMNI}


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_MediaType = Annotated[str, BeforeValidator(_number_as_text)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class InitRequest(_Request):
    """Body of `/omni/init_sys_prompt`."""

    media_type: _MediaType | None = None
    """A word, or as newer clients say it, 1 or 2."""
    msg_type: _MediaType | None = None
    """An alias of theirs; it wins."""
    duplex_mode: bool | None = None
    high_quality_mode: bool | None = None
    high_fps_mode: bool | None = None
    language: str | None = None
    highImage: bool | None = None  # noqa: N815 - the backend's own name
    highRefresh: bool | None = None  # noqa: N815
    timbreBase64: str | None = None  # noqa: N815
    voice: str | None = None
    """A voice reference, as `timbreBase64`."""
    audio_prompt_text: object = None
    task_prompt_text: object = None
    assistant_prompt: object = None
    use_tts: bool | None = None

    @property
    def high_quality(self) -> bool:
        """Whether pictures are to be seen in detail, by either name."""
        return bool(self.high_quality_mode or self.highImage)

    @property
    def high_fps(self) -> bool:
        """Whether pictures between two seconds are to be stacked, by either name."""
        return bool(self.high_fps_mode or self.highRefresh)


class PrefillRequest(_Request):
    """Body of `/omni/streaming_prefill`."""

    audio: str | None = None
    image: str | None = None
    image_audio_id: int | None = None
    frame_index: int | None = None
    max_slice_nums: int | None = None
    session_id: object = None
    """Often none of ours: backends send ids of their own."""
    is_last_chunk: bool = False
    last_chunk: bool | None = None
    """What the backend calls it."""

    @property
    def is_last(self) -> bool:
        """Whether the question ends here, by either name."""
        return self.is_last_chunk or bool(self.last_chunk)


def parse_media_type(request: InitRequest) -> int:
    """1 for sound alone, 2 for sound and pictures. Raises `InvalidEvent` for anything else."""
    given = request.media_type if request.msg_type is None else request.msg_type
    if given is None:
        return _OMNI
    number = _MEDIA_TYPES.get(given.strip().lower())
    if number is None:
        raise InvalidEvent(f"不支持的media_type: {given[:40]}", param="media_type")
    return number
