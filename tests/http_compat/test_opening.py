"""What an init asks for, and what it is told."""

import base64
import itertools
from io import BytesIO

import numpy as np
import pytest
import soundfile

from duplex.engine.base import Mode
from duplex.errors import InvalidEvent
from duplex.wav import read_wav, write_wav
from http_compat.choice import SessionChoice
from http_compat.opening import Opening, choose
from http_compat.schemas import InitRequest
from tests.http_compat.decoding_here import sound_here
from tests.speech import speech

VOICE = speech(1.0)
VOICE_WAV = write_wav(VOICE, rate_hz=16_000)


def upload(content: bytes, prefix: str = "") -> str:
    return prefix + base64.b64encode(content).decode()


async def opening(body: dict[str, object], default: Mode = Mode.DUPLEX) -> Opening:
    return await choose(InitRequest.model_validate(body), default, sound_here)


@pytest.mark.parametrize("default", Mode)
async def test_nothing_is_asked_for(default: Mode) -> None:
    assert await opening({}, default) == Opening(SessionChoice(default))


@pytest.mark.parametrize("default", Mode)
@pytest.mark.parametrize(("duplex_mode", "mode"), [(True, Mode.DUPLEX), (False, Mode.SIMPLEX)])
async def test_the_mode_that_is_asked_for_is_had(default: Mode, duplex_mode: bool, mode: Mode) -> None:
    assert (await opening({"duplex_mode": duplex_mode}, default)).choice.mode is mode


@pytest.mark.parametrize(
    ("body", "choice"),
    [
        ({"media_type": "audio"}, SessionChoice(Mode.DUPLEX, vision=False)),
        ({"media_type": "video"}, SessionChoice(Mode.DUPLEX, vision=True)),
        ({"msg_type": 1}, SessionChoice(Mode.DUPLEX, vision=False)),
        ({"high_quality_mode": True}, SessionChoice(Mode.DUPLEX, high_quality=True)),
        ({"highImage": True, "highRefresh": True}, SessionChoice(Mode.DUPLEX, high_quality=True, high_fps=True)),
        ({"high_fps_mode": True}, SessionChoice(Mode.DUPLEX, high_fps=True)),
    ],
)
async def test_what_is_asked_for_is_chosen(body: dict[str, object], choice: SessionChoice) -> None:
    assert await opening(body) == Opening(choice)


async def test_an_unknown_media_type_opens_nothing() -> None:
    with pytest.raises(InvalidEvent, match="不支持的media_type: text"):
        await opening({"media_type": "text", "timbreBase64": upload(VOICE_WAV)})


@pytest.mark.parametrize("prefix", ["", "data:audio/wav;base64,"])
@pytest.mark.parametrize("name", ["timbreBase64", "voice"])
async def test_a_voice_is_taken_over_bit_for_bit(name: str, prefix: str) -> None:
    opened = await opening({name: upload(VOICE_WAV, prefix)})
    assert opened == Opening(SessionChoice(Mode.DUPLEX, voice=VOICE_WAV))


async def test_a_voice_of_another_kind_is_made_what_the_engine_takes() -> None:
    file = BytesIO()
    tone = 0.3 * np.sin(np.arange(2 * 44_100) / 20)
    soundfile.write(file, np.column_stack([tone, tone]), 44_100, format="FLAC")
    opened = await opening({"timbreBase64": upload(file.getvalue())})
    assert opened.ignored == ()
    assert opened.choice.voice is not None
    wav = read_wav(opened.choice.voice)
    assert (wav.rate_hz, wav.channels, len(wav.pcm)) == (16_000, 1, 2 * 32_000)


@pytest.mark.parametrize(("seconds", "kept"), [(29, 29), (30, 30), (31, 30), (119, 30)])
async def test_of_a_long_voice_the_first_half_minute_is_used(seconds: int, kept: int) -> None:
    opened = await opening({"timbreBase64": upload(write_wav(bytes(32_000 * seconds), rate_hz=16_000))})
    assert opened.choice.voice is not None
    assert len(read_wav(opened.choice.voice).pcm) == 32_000 * kept
    assert opened.ignored == ()


@pytest.mark.parametrize(
    ("voice", "reason"),
    [
        ("garbage!", "not valid base64"),
        ("QUJDR", "not valid base64"),
        (upload(b"no sound at all"), "no file this server knows"),
        (upload(VOICE), "raw PCM must be sent as a WAV"),
        (upload(write_wav(b"", rate_hz=16_000)), "holds no sound"),
        ("data:audio/wav;base64,", "no file this server knows"),
        (upload(write_wav(bytes(32_000 * 121), rate_hz=16_000)), "longer than 120 s"),
    ],
    ids=["garbage", "cut", "text", "raw", "empty", "empty url", "long"],
)
async def test_a_voice_that_is_no_good_costs_no_call_and_the_reason_is_told(voice: str, reason: str) -> None:
    opened = await opening({"timbreBase64": voice})
    assert opened.choice == SessionChoice(Mode.DUPLEX)
    (ignored,) = opened.ignored
    assert ignored.startswith("timbreBase64: ")
    assert reason in ignored


async def test_in_simplex_no_voice_can_be_had() -> None:
    opened = await opening({"timbreBase64": upload(VOICE_WAV), "duplex_mode": False})
    assert opened.choice == SessionChoice(Mode.SIMPLEX)
    assert opened.ignored == ("timbreBase64: the engine imitates a given voice in duplex only",)


@pytest.mark.parametrize("body", [{"timbreBase64": ""}, {"timbreBase64": None}, {"voice": ""}, {"timbreId": 5}])
async def test_no_voice_is_nothing_to_mention(body: dict[str, object]) -> None:
    assert await opening(body, Mode.SIMPLEX) == Opening(SessionChoice(Mode.SIMPLEX))


@pytest.mark.parametrize("language", ["zh", "", None])
async def test_the_language_of_the_engine_is_nothing_to_mention(language: str | None) -> None:
    assert (await opening({"language": language})).ignored == ()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"language": "en"}, "language: the engine's prompts exist in zh only"),
        ({"audio_prompt_text": "Speak slowly."}, "audio_prompt_text: the engine's prompts are fixed"),
        ({"task_prompt_text": "Watch the door."}, "task_prompt_text: the engine's prompts are fixed"),
        ({"assistant_prompt": {"text": "a"}}, "assistant_prompt: the engine's prompts are fixed"),
        ({"use_tts": False}, "use_tts: the engine always speaks"),
    ],
)
async def test_what_the_engine_cannot_do_is_told(body: dict[str, object], reason: str) -> None:
    assert await opening(body) == Opening(SessionChoice(Mode.DUPLEX), (reason,))


async def test_every_reason_is_told_at_once() -> None:
    opened = await opening(
        {"voice": "?", "language": "de", "task_prompt_text": "a", "assistant_prompt": "b", "use_tts": False}
    )
    assert [reason.partition(":")[0] for reason in opened.ignored] == [
        "voice",
        "language",
        "task_prompt_text",
        "assistant_prompt",
        "use_tts",
    ]


@pytest.mark.parametrize("body", [{"audio_prompt_text": ""}, {"task_prompt_text": None}, {"use_tts": True}])
async def test_empty_prompts_are_nothing_to_mention(body: dict[str, object]) -> None:
    assert (await opening(body)).ignored == ()


@pytest.mark.parametrize(
    ("is_new_mode", "is_new_media", "expected"),
    [
        (True, True, "初始化完成（omni模式，双工，普通画质，标准帧率）"),
        (True, False, "初始化完成（omni模式，双工，普通画质，标准帧率）"),
        (False, True, "模式切换完成（omni模式，双工，普通画质，标准帧率）"),
        (False, False, "初始化成功（omni模式，双工，普通画质，标准帧率，快速恢复）"),
    ],
)
def test_the_documented_messages(is_new_mode: bool, is_new_media: bool, expected: str) -> None:
    opened = Opening(SessionChoice(Mode.DUPLEX))
    assert opened.message(is_new_mode=is_new_mode, is_new_media=is_new_media) == expected


def test_the_documented_example() -> None:
    choice = SessionChoice(Mode.SIMPLEX, vision=False)
    expected = "初始化成功（audio模式，单工，普通画质，标准帧率，快速恢复）"
    assert Opening(choice).message(is_new_mode=False, is_new_media=False) == expected


def test_every_choice_has_its_own_words() -> None:
    messages = {
        Opening(SessionChoice(mode, vision, quality, fps)).message(is_new_mode=False, is_new_media=False): (
            mode,
            vision,
            quality,
            fps,
        )
        for mode in Mode
        for vision, quality, fps in itertools.product((False, True), repeat=3)
    }
    assert len(messages) == 16
    for message, (mode, vision, quality, fps) in messages.items():
        assert ("omni模式" in message, "audio模式" in message) == (vision, not vision)
        assert ("双工" in message, "单工" in message) == (mode is Mode.DUPLEX, mode is Mode.SIMPLEX)
        assert ("高清画质" in message, "普通画质" in message) == (quality, not quality)
        assert ("高刷" in message, "标准帧率" in message) == (fps, not fps)
