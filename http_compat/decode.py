"""What a client uploads, made into what the engine takes: sound as PCM, pictures as JPEG or PNG.

All of this blocks, and calls libraries in C with files of strangers: it runs in `http_compat.media_worker`, and the
server never imports it. What a header promises is checked before memory is spent on it, and whatever a library makes of
a broken file leaves here as `InvalidAudio` or `InvalidEvent`. `MemoryError` passes.
"""

from collections.abc import Callable, Sequence
from io import SEEK_SET, BytesIO

import numpy as np
import soundfile
import soxr
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from duplex.engine.base import ENGINE_INPUT_RATE_HZ
from duplex.resample import Quality
from http_compat.uploads import LONGEST_SIDE, MOST_PIXELS, check_length, refusal

__all__ = ["decode_image", "decode_sound", "stack_frames"]

_HIGHEST_RATE_HZ = 384_000
_MOST_CHANNELS = 8
_BLOCK_FRAMES = 1 << 16
_UNKNOWN_FRAMES = (1 << 63) - 1
"""libsndfile's word for a FLAC whose writer could not go back to its header."""

_AUDIO_BEGINNINGS = (
    b"RIFF", b"RIFX", b"RF64", b"riff", b"fLaC", b"OggS", b"FORM", b"caff", b".snd", b"ID3", b"\xff\xfb", b"\xff\xf3",
)  # fmt: skip
"""Left to itself libsndfile takes some quiet raw PCM (44 of 3000 random pieces) for MP3, and reads noise."""

_IMAGE_READERS: tuple[tuple[bytes, Callable[[BytesIO], ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"RIFF", WebPImageFile),
    (b"GIF8", GifImageFile),
    (b"BM", BmpImageFile),
)
"""Called by name: `Image.open` knows more formats than anybody sends, and has a limit of its own."""

_LOSSLESS = {"PNG", "GIF", "BMP"}
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_QUALITY = 95
_PNG_EFFORT = 1
"""zlib's lowest: at its default a picture of 640x480 takes 80 ms, and nobody stores this one."""
_LONGEST_STACK_SIDE = 4096


def decode_sound(content: bytes) -> bytes:
    """A sound file as 16-bit little-endian mono PCM at `ENGINE_INPUT_RATE_HZ`.

    WAV, FLAC, OGG and what else libsndfile reads, at any rate; channels are averaged.

    Raises `InvalidAudio` for anything else, and for more than `LONGEST_AUDIO_S`.
    """
    if not content.startswith(_AUDIO_BEGINNINGS):
        raise refusal("audio", "the audio is no file this server knows; raw PCM must be sent as a WAV")
    try:
        with _Sound(_SoundFile(content)) as sound:
            _check_header(sound.frames, sound.samplerate, sound.channels)
            return _read_mono(sound)
    except (RuntimeError, ValueError, TypeError) as error:
        raise refusal("audio", "the audio cannot be read: it is damaged or in an unknown format") from error


def decode_image(content: bytes) -> bytes:
    """A picture as a whole JPEG or PNG in RGB or greyscale, 8 bits a channel.

    What already is one is decoded to see that it is whole, and passed on unchanged. Anything else (WebP, GIF, BMP,
    palettes, transparency, CMYK, 16 bits) is made RGB: PNG where no pixel may change, else JPEG. Of an animation
    the first picture is taken. An orientation noted in the file is neither applied nor removed from what is passed on.

    Raises `InvalidEvent` with the code `invalid_image` for what is no picture or not whole, and for more than
    `MOST_PIXELS` or `LONGEST_SIDE`.
    """
    image = _load_image(content)
    if _is_plain(image, content):
        return content
    rgb = _as_rgb(image)
    if image.format not in _LOSSLESS:
        return _as_jpeg(rgb)
    encoded = BytesIO()
    rgb.save(encoded, "PNG", compress_level=_PNG_EFFORT)
    return encoded.getvalue()


def stack_frames(frames: Sequence[bytes]) -> bytes:
    """One picture of up to four: two side by side, three or four in two rows, with a black corner when it is three.

    A single frame is returned as it is. All take the size of the first, which shrinks when a side of the whole would be
    longer than 4096 pixels; frames beyond the fourth are left out. The result is a JPEG.

    Raises `InvalidEvent` as `decode_image` does.
    """
    assert frames
    if len(frames) == 1:
        return frames[0]
    rows = 1 if len(frames) == 2 else 2
    cell = _cell_size(_open_image(frames[0]).size, rows)
    stack = Image.new("RGB", (2 * cell[0], rows * cell[1]))
    for number, frame in enumerate(frames[:4]):
        image = _as_rgb(_load_image(frame))
        if image.size != cell:
            image = image.resize(cell)
        row, column = divmod(number, 2)
        stack.paste(image, (column * cell[0], row * cell[1]))
    return _as_jpeg(stack)


class _SoundFile(BytesIO):
    """libsndfile seeks to -1 in broken files; the error of that could only be printed, not raised through C."""

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        return super().seek(max(0, offset) if whence == SEEK_SET else offset, whence)


class _Sound(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Read from front to back: soundfile seeks after each read, which a FLAC of unknown length cannot do at its end."""

    def seekable(self) -> bool:
        return False


def _check_header(frames: int, rate_hz: int, channels: int) -> None:
    if not 1 <= rate_hz <= _HIGHEST_RATE_HZ:
        raise refusal("audio", f"a rate of {rate_hz} Hz is not supported; the highest is {_HIGHEST_RATE_HZ} Hz")
    if channels > _MOST_CHANNELS:
        raise refusal("audio", f"{channels} channels are not supported; the most is {_MOST_CHANNELS}")
    if frames != _UNKNOWN_FRAMES:
        check_length(frames, rate_hz)


def _read_mono(sound: _Sound) -> bytes:
    """Block by block: two minutes of eight channels at the highest rate would be gigabytes at once."""
    rate_hz = sound.samplerate
    resampler = None
    if rate_hz != ENGINE_INPUT_RATE_HZ:
        resampler = soxr.ResampleStream(rate_hz, ENGINE_INPUT_RATE_HZ, 1, dtype="float32", quality=Quality.CLEAN)
    pieces = []
    frames = 0
    while True:
        block = sound.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
        frames += len(block)
        check_length(frames, rate_hz)
        # Files of floats may hold anything: what is no number becomes silence before it can spread in the filter.
        mono = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0).clip(-1.0, 1.0).mean(axis=1)
        if resampler is not None:
            mono = resampler.resample_chunk(mono, last=len(block) == 0)
        pieces.append(np.rint(mono * 32768.0).clip(-32768, 32767).astype("<i2").tobytes())
        if len(block) == 0:
            return b"".join(pieces)


def _load_image(content: bytes) -> ImageFile:
    image = _open_image(content)
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        raise refusal("image", "the image is cut short or damaged") from error
    return image


def _open_image(content: bytes) -> ImageFile:
    """Only the header is read."""
    read = next((reader for beginning, reader in _IMAGE_READERS if content.startswith(beginning)), None)
    if read is None:
        raise refusal("image", "the image is neither JPEG, PNG, WebP, GIF nor BMP")
    # These two take memory for the whole picture already when they read the header.
    if read is WebPImageFile:
        _check_size(*_webp_size(content))
    elif read is GifImageFile:
        _check_size(*_two_numbers(content, 6))
    try:
        image = read(BytesIO(content))
    except MemoryError:
        raise
    except Exception as error:
        # Pillow lets errors of many kinds out of broken headers, and promises none.
        raise refusal("image", "the image is damaged: its header cannot be read") from error
    _check_size(*image.size)
    return image


def _webp_size(content: bytes) -> tuple[int, int]:
    """Of the canvas, from the first chunk: extended, lossless or lossy."""
    match content[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
        case b"VP8L":
            packed = int.from_bytes(content[21:25], "little")
            return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
        case _:
            width, height = _two_numbers(content, 26)
            return width & 0x3FFF, height & 0x3FFF


def _two_numbers(content: bytes, at: int) -> tuple[int, int]:
    return int.from_bytes(content[at : at + 2], "little"), int.from_bytes(content[at + 2 : at + 4], "little")


def _check_size(width: int, height: int) -> None:
    if not (1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE):
        raise refusal("image", f"an image of {width}x{height} has a side that is not 1 to {LONGEST_SIDE} pixels")
    if width * height > MOST_PIXELS:
        raise refusal("image", f"an image of {width}x{height} has more than {MOST_PIXELS // 1_000_000} megapixels")


def _is_plain(image: ImageFile, content: bytes) -> bool:
    if image.mode not in {"RGB", "L"}:
        return False
    if image.format == "PNG":
        # Byte 24 is the depth: Pillow shows fewer and, in colour, more bits as 8. It also does without the end mark.
        return content[24] == 8 and _PNG_END in content
    return image.format == "JPEG"


def _as_rgb(image: Image.Image) -> Image.Image:
    """Transparency is dropped, not blended, as the earlier server did."""
    if image.mode == "I;16":
        # Pillow would clip at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif "transparency" in image.info:
        # Pillow warns when the colour that stands for it has to be kept in RGB.
        image = image.convert("RGBA")
    rgb = image.convert("RGB")
    # Colour profiles and comments of the upload would be saved with it.
    rgb.info = {}
    return rgb


def _cell_size(size: tuple[int, int], rows: int) -> tuple[int, int]:
    width, height = size
    scale = min(1.0, _LONGEST_STACK_SIDE / (2 * width), _LONGEST_STACK_SIDE / (rows * height))
    return max(1, int(width * scale)), max(1, int(height * scale))


def _as_jpeg(image: Image.Image) -> bytes:
    encoded = BytesIO()
    image.save(encoded, "JPEG", quality=_JPEG_QUALITY)
    return encoded.getvalue()
