"""Uploads as clients make them, as broken links leave them, and as attackers forge them."""

import struct
from collections.abc import Callable
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
from PIL import Image

from duplex.errors import ClientError, InvalidAudio, InvalidEvent
from duplex.wav import write_wav
from http_compat.decode import decode_image, decode_sound, stack_frames
from http_compat.uploads import LONGEST_AUDIO_S, LONGEST_SIDE, MOST_PIXELS, plain_pcm

EVERY_SAMPLE = np.arange(-32768, 32768, dtype=np.int16)


def tone(rate_hz: int, seconds: float = 0.5, hz: float = 440.0) -> npt.NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz)


def sound_file(samples: npt.NDArray[np.generic], rate_hz: int, container: str, subtype: str | None = None) -> bytes:
    content = BytesIO()
    soundfile.write(content, samples, rate_hz, format=container, subtype=subtype)
    return content.getvalue()


def decode_audio(content: bytes) -> bytes:
    """Plain PCM needs no decoder, and never gets to one."""
    pcm = plain_pcm(content)
    return decode_sound(content) if pcm is None else pcm


def heard(content: bytes) -> npt.NDArray[np.int16]:
    return np.frombuffer(decode_audio(content), "<i2")


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC"])
def test_so_it_does_from_every_lossless_container(container: str) -> None:
    assert np.array_equal(heard(sound_file(EVERY_SAMPLE, 16_000, container, "PCM_16")), EVERY_SAMPLE)


@pytest.mark.parametrize(("container", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
def test_lossy_containers_are_read(container: str, subtype: str) -> None:
    result = heard(sound_file(tone(48_000), 48_000, container, subtype))
    assert len(result) == 8000
    assert np.corrcoef(result[1000:7000], tone(16_000)[1000:7000])[0, 1] > 0.99


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM"])
def test_other_sample_formats_are_read(subtype: str) -> None:
    result = heard(sound_file(tone(16_000), 16_000, "WAV", subtype))[:8000]
    assert np.corrcoef(result, tone(16_000))[0, 1] > 0.99


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 24_000, 44_100, 48_000, 96_000, 384_000])
def test_other_rates_are_converted_and_last_as_long(rate_hz: int) -> None:
    result = heard(sound_file(tone(rate_hz), rate_hz, "WAV", "PCM_16"))
    assert abs(len(result) - 8000) <= 1
    assert np.abs(result[1000:7000] - 32768 * tone(16_000)[1000:7000]).max() < 10


def test_conversion_in_blocks_gives_what_conversion_at_once_gives() -> None:
    samples = np.random.default_rng(1).normal(0, 0.2, 200_000).astype(np.float32)
    expected = soxr.resample(samples, 24_000, 16_000, quality="HQ")
    assert np.array_equal(heard(sound_file(samples, 24_000, "WAV", "FLOAT")), np.rint(expected * 32768))


def test_channels_are_averaged() -> None:
    left = np.array([100, 30_000, -32_768, 32_767, 1], np.int16)
    right = np.array([300, -30_000, -32_768, 32_767, 2], np.int16)
    result = heard(sound_file(np.stack([left, right], axis=1), 16_000, "WAV", "PCM_16"))
    assert result.tolist() == [200, 0, -32_768, 32_767, 2]


def test_samples_are_rounded_and_clipped() -> None:
    steps = np.array([0.4, 0.6, -0.4, -0.6, 1.5 * 32768, -1.5 * 32768]) / 32768
    assert heard(sound_file(steps, 16_000, "WAV", "FLOAT")).tolist() == [0, 1, 0, -1, 32_767, -32_768]


@pytest.mark.parametrize("rate_hz", [16_000, 24_000])
def test_what_is_no_number_is_silence(rate_hz: int) -> None:
    samples = np.zeros((960, 2), np.float32)
    samples[100:103, 0] = [np.nan, np.inf, -np.inf]
    assert not heard(sound_file(samples, rate_hz, "WAV", "FLOAT")).any()


def test_numbers_beyond_all_measure_are_full_scale() -> None:
    samples = np.array([[3e38, 3e38], [-3e38, -3e38]], np.float32)
    assert heard(sound_file(samples, 16_000, "WAV", "FLOAT")).tolist() == [32_767, -32_768]


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "AIFF", "CAF"])
def test_no_samples_are_accepted(container: str, rate_hz: int) -> None:
    assert decode_audio(sound_file(np.zeros(0, np.int16), rate_hz, container, "PCM_16")) == b""


@pytest.mark.parametrize("rate_hz", [16_000, 32_000])
def test_a_wav_cut_short_is_used_as_far_as_it_goes(rate_hz: int) -> None:
    content = sound_file(EVERY_SAMPLE, rate_hz, "WAV", "PCM_16")
    result = heard(content[: len(content) // 2 + 1])
    assert len(result) == pytest.approx(16_000 * len(EVERY_SAMPLE) / 2 / rate_hz, abs=20)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_whose_writer_did_not_know_its_length_is_read_to_its_end(size: int) -> None:
    content = bytearray(write_wav(EVERY_SAMPLE.tobytes(), rate_hz=16_000))
    content[40:44] = struct.pack("<I", size)
    assert np.array_equal(heard(bytes(content)), EVERY_SAMPLE)


def flac_saying(frames: int, samples: npt.NDArray[np.int16]) -> bytes:
    """The length is 36 bits from the middle of byte 21; 0 means not known."""
    content = bytearray(sound_file(samples, 16_000, "FLAC", "PCM_16"))
    content[21] = content[21] & 0xF0 | frames >> 32
    content[22:26] = struct.pack(">I", frames & 0xFFFFFFFF)
    return bytes(content)


def test_a_flac_of_unknown_length_is_read_to_its_end() -> None:
    assert np.array_equal(heard(flac_saying(0, EVERY_SAMPLE)), EVERY_SAMPLE)


def test_a_flac_that_promises_too_much_gives_what_it_has() -> None:
    assert np.array_equal(heard(flac_saying(1_000_000, EVERY_SAMPLE)), EVERY_SAMPLE)


SILENCE = np.zeros(LONGEST_AUDIO_S * 16_000 + 1, np.int16)


@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_the_longest_audio_is_accepted(container: str) -> None:
    assert len(heard(sound_file(SILENCE[:-1], 16_000, container, "PCM_16"))) == len(SILENCE) - 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(sound_file(SILENCE, 16_000, "WAV", "PCM_16"), id="plain"),
        pytest.param(sound_file(SILENCE, 16_000, "WAVEX", "PCM_16"), id="to be converted"),
        pytest.param(sound_file(SILENCE[: 121 * 8000], 8000, "WAV", "PCM_U8"), id="at another rate"),
        pytest.param(flac_saying(0, SILENCE), id="without saying so"),
        pytest.param(flac_saying((1 << 36) - 1, EVERY_SAMPLE), id="said, but not there"),
    ],
)
def test_longer_audio_is_refused_with_the_limit(content: bytes) -> None:
    with pytest.raises(InvalidAudio, match=f"longer than {LONGEST_AUDIO_S} s"):
        decode_audio(content)


@pytest.mark.parametrize("rate_hz", [384_001, 2_000_000_000])
def test_rates_no_device_has_are_refused(rate_hz: int) -> None:
    with pytest.raises(InvalidAudio, match=f"a rate of {rate_hz} Hz"):
        decode_audio(wav_header_saying(rate_hz=rate_hz))


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidAudio):
        decode_audio(wav_header_saying(rate_hz=0))


def wav_header_saying(*, rate_hz: int) -> bytes:
    content = bytearray(write_wav(bytes(3200), rate_hz=16_000))
    content[24:28] = struct.pack("<I", rate_hz)
    return bytes(content)


def test_more_channels_than_a_room_has_are_refused() -> None:
    assert len(heard(sound_file(np.zeros((100, 8), np.int16), 16_000, "WAV", "PCM_16"))) == 100
    with pytest.raises(InvalidAudio, match="9 channels"):
        decode_audio(sound_file(np.zeros((100, 9), np.int16), 16_000, "WAV", "PCM_16"))


@pytest.mark.parametrize("seed", range(20))
def test_raw_pcm_is_refused(seed: int) -> None:
    """Quiet samples are ±1 and 0, whose bytes look like the beginning of an MP3 to libsndfile."""
    quiet = np.random.default_rng(seed).integers(-1, 2, 1600).astype(np.int16)
    with pytest.raises(InvalidAudio, match="raw PCM must be sent as a WAV"):
        decode_audio(quiet.tobytes())


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"fLaC", b"OggS", b"RIFF\x04\x00\x00\x00WEBP", b"fLaC" + bytes(1000), b"OggS" + b"\xff" * 1000],
)
def test_what_is_no_sound_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidAudio):
        decode_audio(content)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(sound_file(tone(24_000), 24_000, container, subtype), id=f"{container}-{subtype}")
        for container, subtype in [
            ("WAV", "PCM_16"),
            ("WAV", "IMA_ADPCM"),
            ("FLAC", "PCM_16"),
            ("OGG", "VORBIS"),
            ("AIFF", "PCM_16"),
            ("CAF", "ALAC_16"),
        ]
    ],
)
def test_no_damage_to_a_sound_does_more_than_refuse_it(content: bytes) -> None:
    check_damaged(content, decode_audio)


def check_damaged(content: bytes, decode: Callable[[bytes], bytes]) -> None:
    """Bytes changed, mostly in the header, and the end cut off: in 300 ways, the same every time."""
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(content)
        reach = (20, 60, len(content))[rng.integers(3)]
        for at in rng.integers(0, min(reach, len(content)), int(rng.integers(1, 6))):
            damaged[at] = rng.integers(256)
        if rng.integers(2):
            del damaged[int(rng.integers(len(content))) :]
        try:
            decode(bytes(damaged))
        except ClientError as refused:
            assert type(refused) in {InvalidAudio, InvalidEvent}  # noqa: PT017 - a whole file is no failure


def gradient(mode: str = "RGB", size: tuple[int, int] = (48, 32)) -> Image.Image:
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([columns * 255 // width, rows * 255 // height, (columns + rows) % 256], axis=2)
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def saved(image: Image.Image, container: str, **options: object) -> bytes:
    content = BytesIO()
    image.save(content, container, **options)
    return content.getvalue()


def picture(container: str, mode: str = "RGB", **options: object) -> bytes:
    return saved(gradient(mode), container, **options)


def seen(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


def pixels_of(image: Image.Image) -> npt.NDArray[np.int64]:
    return np.asarray(image.convert("RGB")).astype(np.int64)


EXIF_TURNED = Image.Exif()
EXIF_TURNED[0x0112] = 6


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(picture("JPEG"), id="JPEG"),
        pytest.param(picture("JPEG", progressive=True), id="progressive JPEG"),
        pytest.param(picture("JPEG", "L"), id="grey JPEG"),
        pytest.param(picture("JPEG", exif=EXIF_TURNED), id="JPEG lying on its side"),
        pytest.param(saved(gradient(), "MPO", save_all=True, append_images=[gradient()]), id="two JPEG in one file"),
        pytest.param(picture("PNG"), id="PNG"),
        pytest.param(picture("PNG", "L"), id="grey PNG"),
        pytest.param(picture("PNG") + b"more", id="PNG with something behind it"),
    ],
)
def test_what_the_engine_reads_is_passed_on_unchanged(content: bytes) -> None:
    assert decode_image(content) == content


@pytest.mark.parametrize(
    ("content", "container"),
    [
        pytest.param(picture("JPEG", "CMYK"), "JPEG", id="CMYK JPEG"),
        pytest.param(picture("WEBP"), "JPEG", id="WebP"),
        pytest.param(picture("WEBP", lossless=True), "JPEG", id="lossless WebP"),
        pytest.param(picture("WEBP", "RGBA"), "JPEG", id="WebP with alpha"),
        pytest.param(picture("GIF"), "PNG", id="GIF"),
        pytest.param(picture("GIF", save_all=True, append_images=[Image.new("RGB", (48, 32))]), "PNG", id="animation"),
        pytest.param(picture("GIF", "P", transparency=3, disposal=2), "PNG", id="GIF with transparency"),
        pytest.param(picture("BMP"), "PNG", id="BMP"),
        pytest.param(picture("PNG", "P"), "PNG", id="palette"),
        pytest.param(picture("PNG", "P", transparency=3), "PNG", id="palette with one transparent colour"),
        pytest.param(picture("PNG", "P", transparency=bytes(range(200))), "PNG", id="palette with alpha"),
        pytest.param(picture("PNG", "RGBA"), "PNG", id="alpha"),
        pytest.param(picture("PNG", "LA"), "PNG", id="grey with alpha"),
        pytest.param(picture("PNG", "1"), "PNG", id="black and white"),
    ],
)
def test_anything_else_is_made_rgb(content: bytes, container: str) -> None:
    result = seen(decode_image(content))
    assert (result.format, result.mode, result.size) == (container, "RGB", (48, 32))
    assert not result.info.keys() & {"transparency", "icc_profile", "exif"}
    difference = np.abs(pixels_of(result) - pixels_of(Image.open(BytesIO(content)).convert("RGBA")))
    assert difference.mean() < (0.01 if container == "PNG" else 6)


def test_sixteen_bit_grey_keeps_its_highlights() -> None:
    grey = np.arange(256, dtype=np.uint16).repeat(2).reshape(16, 32) * 257
    result = seen(decode_image(saved(Image.fromarray(grey), "PNG")))
    assert (result.format, result.mode) == ("PNG", "RGB")
    assert np.array_equal(pixels_of(result)[:, :, 1], grey >> 8)


def test_a_colour_profile_of_another_space_is_not_passed_on() -> None:
    content = picture("PNG", "RGBA", icc_profile=b"made for ink" * 50)
    assert "icc_profile" not in seen(decode_image(content)).info


def test_a_png_without_its_end_mark_is_made_whole() -> None:
    content = picture("PNG")
    result = decode_image(content[:-12])
    assert result != content[:-12]
    assert np.array_equal(pixels_of(seen(result)), pixels_of(gradient()))


@pytest.mark.parametrize("container", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_a_picture_cut_short_anywhere_is_refused_unless_all_its_pixels_are_there(container: str) -> None:
    whole = saved(gradient(size=(12, 8)), container)
    refused = 0
    for length in range(len(whole)):
        try:
            result = decode_image(whole[:length])
        except InvalidEvent as error:
            assert error.code == "invalid_image"  # noqa: PT017 - whether it is refused is what is counted
            refused += 1
        else:
            assert np.array_equal(pixels_of(seen(result)), pixels_of(seen(whole)))
    assert refused >= len(whole) - 25


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no picture",
        b"\xff\xd8\xff",
        b"BM",
        b"GIF89a",
        b"RIFF\x04\x00\x00\x00WAVE",
        write_wav(bytes(320), rate_hz=16_000),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        saved(gradient(), "TIFF"),
        saved(gradient(), "PPM"),
        saved(gradient(), "ICO"),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode_image(content)
    assert refused.value.code == "invalid_image"


def resized_header(container: str, width: int, height: int) -> bytes:
    """A small picture whose header says another size; the decoder would fail on it only after it took the memory."""
    if container == "GIF grown by its picture":
        screen = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0, 0, 0)
        return screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x00;"
    if container == "extended WebP":
        sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        chunk = b"VP8X" + struct.pack("<II", 10, 0) + sides
        return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    if container == "lossless WebP":
        content = bytearray(picture("WEBP", lossless=True))
        content[21:25] = struct.pack("<I", width - 1 | (height - 1) << 14)
        return bytes(content)
    content = bytearray(picture(container))
    if container == "JPEG":
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", height, width)
    else:
        at, layout = {"WEBP": (26, "<HH"), "GIF": (6, "<HH"), "BMP": (18, "<ii")}[container]
        content[at : at + struct.calcsize(layout)] = struct.pack(layout, width, height)
    return bytes(content)


CONTAINERS = ["JPEG", "WEBP", "lossless WebP", "extended WebP", "GIF", "GIF grown by its picture", "BMP"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_more_pixels_than_the_limit_are_refused_from_the_header(container: str) -> None:
    with pytest.raises(InvalidEvent, match=r"8001x4000 .* 32 megapixels") as refused:
        decode_image(resized_header(container, 8001, 4000))
    assert refused.value.code == "invalid_image"


@pytest.mark.parametrize("container", ["JPEG", "WEBP", "GIF", "BMP"])
def test_a_side_of_nothing_is_refused(container: str) -> None:
    with pytest.raises(InvalidEvent):
        decode_image(resized_header(container, 0, 32))


@pytest.mark.parametrize("size", [(LONGEST_SIDE + 1, 1), (1, LONGEST_SIDE + 1)])
@pytest.mark.parametrize("container", ["PNG", "JPEG"])
def test_longer_sides_than_the_limit_are_refused(container: str, size: tuple[int, int]) -> None:
    with pytest.raises(InvalidEvent, match=f"{size[0]}x{size[1]} .* {LONGEST_SIDE} pixels"):
        decode_image(saved(Image.new("L", size), container))


def test_pictures_far_over_the_limit_raise_no_warning() -> None:
    """Pillow itself warns from 89 megapixels and raises an error of its own from 179."""
    for side in (10_000, 14_000):
        with pytest.raises(InvalidEvent, match="32 megapixels"):
            decode_image(saved(Image.new("1", (side, side)), "PNG"))


def test_a_picture_at_the_limit_is_accepted() -> None:
    assert MOST_PIXELS == 8000 * 4000
    content = saved(Image.new("L", (8000, 4000)), "PNG", compress_level=1)
    assert decode_image(content) == content


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(picture("JPEG"), id="JPEG"),
        pytest.param(picture("PNG"), id="PNG"),
        pytest.param(picture("PNG", "P", transparency=3), id="palette"),
        pytest.param(picture("WEBP"), id="WebP"),
        pytest.param(picture("GIF", "P", transparency=3, disposal=2), id="GIF"),
        pytest.param(picture("BMP"), id="BMP"),
    ],
)
def test_no_damage_to_a_picture_does_more_than_refuse_it(content: bytes) -> None:
    check_damaged(content, decode_image)


RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> bytes:
    return saved(Image.new("RGB", size, colour), "PNG")


def colour_at(image: Image.Image, x: float, y: float) -> tuple[int, ...]:
    """In the middle of a cell JPEG is off by a few steps; the colours here are far apart."""
    pixel = image.getpixel((int(image.width * x), int(image.height * y)))
    assert isinstance(pixel, tuple)
    return tuple(255 if value > 127 else 0 for value in pixel)


@pytest.mark.parametrize(
    ("colours", "size", "corners"),
    [
        ([RED, GREEN], (128, 48), [RED, GREEN, RED, GREEN]),
        ([RED, GREEN, BLUE], (128, 96), [RED, GREEN, BLUE, BLACK]),
        ([RED, GREEN, BLUE, WHITE], (128, 96), [RED, GREEN, BLUE, WHITE]),
        ([RED, GREEN, BLUE, WHITE, BLACK], (128, 96), [RED, GREEN, BLUE, WHITE]),
    ],
)
def test_frames_are_stacked_row_by_row(
    colours: list[tuple[int, int, int]], size: tuple[int, int], corners: list[tuple[int, int, int]]
) -> None:
    stack = seen(stack_frames([plain(colour) for colour in colours]))
    assert (stack.format, stack.mode, stack.size) == ("JPEG", "RGB", size)
    assert [colour_at(stack, x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)] == corners


def test_a_single_frame_is_returned_as_it_is() -> None:
    frame = picture("PNG", "L")
    assert stack_frames([frame]) is frame


def test_frames_take_the_size_of_the_first() -> None:
    stack = seen(stack_frames([plain(RED), plain(GREEN, (10, 200)), plain(BLUE, (500, 5))]))
    assert stack.size == (128, 96)
    assert [colour_at(stack, x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)] == [RED, GREEN, BLUE, BLACK]


def test_grey_frames_are_stacked_too() -> None:
    assert seen(stack_frames([picture("JPEG", "L"), picture("JPEG")])).mode == "RGB"


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        ((2048, 100), 2, (4096, 100)),
        ((4096, 100), 2, (4096, 50)),
        ((100, 4096), 2, (200, 4096)),
        ((100, 4096), 4, (100, 4096)),
        ((3000, 1000), 3, (4096, 1364)),
        ((16_384, 1), 2, (4096, 1)),
    ],
)
def test_a_stack_too_large_is_scaled_down(size: tuple[int, int], count: int, expected: tuple[int, int]) -> None:
    assert seen(stack_frames([plain(RED, size)] * count)).size == expected


@pytest.mark.parametrize("frames", [[b"no picture", plain(RED)], [plain(RED), plain(RED)[:60]]])
def test_a_broken_frame_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(InvalidEvent) as refused:
        stack_frames(frames)
    assert refused.value.code == "invalid_image"
