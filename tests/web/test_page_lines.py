"""The page and its line to the server: lost connections, queues, push to talk, the camera, phones, accessibility."""

import base64
import json
from collections.abc import AsyncIterator
from importlib.resources import files
from io import BytesIO

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Page, expect

from tests.web.browser import launch, open_page, phase_is, take_picture, tap
from tests.web.scripted import ScriptedServer, ScriptedSocket, scripted_server, talk, tone
from tests.web.speech import speech, write_microphone

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    microphone = write_microphone(tmp_path_factory.mktemp("audio") / "microphone.wav", speech(30))
    async with launch(microphone) as browser:
        yield browser


async def begin_answer(socket: ScriptedSocket, text: str = "Once upon a time there was") -> None:
    await socket.say(
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": "response.output_audio_transcript.delta", "response_id": "r1", "delta": text},
    )


async def serious_faults(page: Page) -> list[str]:
    """What axe finds that keeps somebody out: serious and critical violations."""
    await page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8"))
    found = await page.evaluate("async () => (await axe.run()).violations")
    grave = (fault for fault in found if fault["impact"] in {"serious", "critical"})
    return [f"{fault['id']}: {json.dumps([node['target'] for node in fault['nodes']])}" for fault in grave]


async def test_a_lost_connection_goes_on_where_it_was(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        socket = await talk(page, server)
        assert (await socket.heard("session.event_ack"))["server_event_seq"] == 1
        await tap(page)
        await begin_answer(socket, "Once upon")
        await socket.play(tone(1.0))
        await page.wait_for_function("() => tappedPeak() > 0.4")
        socket.lose()
        again = await server.arrival()
        assert "resume=1" in again.path
        assert await again.heard("session.resume") == {
            "type": "session.resume",
            "session_id": "sess_1",
            "resume_token": "t0ken",
            "last_received_server_event_seq": socket.sent,
        }
        await phase_is(page, "resuming")
        await again.say_uncounted({"type": "session.resumed", "session_id": "sess_1", "resume_token": "t0ken"})
        again.sent = socket.sent
        await again.play(tone(1.0))
        await again.say(
            {"type": "response.output_audio_transcript.delta", "response_id": "r1", "delta": " a time"},
            {"type": "response.output_audio.done", "response_id": "r1"},
            {"type": "response.done", "response": {"id": "r1", "status": "completed"}},
        )
        await page.wait_for_function("() => window.omniDuplex.playback.type === 'ended'")
        assert await page.evaluate("window.omniDuplex.playback.playedMs") == pytest.approx(2000, abs=1)
        await expect(page.locator("#log li.answer .text")).to_have_text("Once upon a time")
        notes = page.locator("#log li.note .text")
        await expect(notes).to_have_text(["Connection lost", "Connected again, nothing is missing"])


async def test_a_session_that_is_over_is_followed_by_a_new_one(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        socket = await talk(page, server)
        await socket.heard("session.event_ack")
        await begin_answer(socket)
        socket.lose()
        again = await server.arrival()
        await again.heard("session.resume")
        await again.say_uncounted({"type": "error", "error": {"code": "session_resume_expired", "message": "Over."}})
        await again.welcome()
        await phase_is(page, "listening")
        await expect(page.locator("#log li.note .text").last).to_contain_text("A new conversation")
        await expect(page.locator("#warning")).to_be_hidden()


async def test_a_place_in_the_queue_is_shown_until_it_is_ones_turn(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url, width=390, height=844, touch=True) as page:
        await page.get_by_role("button", name="Start talking").tap()
        socket = await server.arrival()
        await socket.say({"type": "session.queued", "position": 2, "estimated_wait_s": 40, "ticket": "t"})
        await phase_is(page, "queued")
        await expect(page.locator("#state-hint")).to_have_text("Number 2 in line, about 40 s. It begins by itself.")
        await take_picture(page, "queue")
        await socket.say({"type": "session.queue_update", "position": 1, "estimated_wait_s": 9})
        await expect(page.locator("#state-hint")).to_have_text("You are next, about 9 s. It begins by itself.")
        assert socket.audio_sizes == set(), "nobody hears what is said in the queue"
        await socket.say({"type": "session.queue_done"})
        await socket.welcome()
        await phase_is(page, "listening")
        await page.get_by_role("button", name="End the conversation").tap()
        assert await socket.gone() == 1000


async def test_the_space_bar_mutes_and_in_push_to_talk_it_talks(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        socket = await talk(page, server)
        await page.get_by_role("heading", name="Listening").click()
        await page.keyboard.press("Space")
        await phase_is(page, "muted")
        await page.keyboard.press("Space")
        await phase_is(page, "listening")
        await page.get_by_role("button", name="End the conversation").click()

        await page.get_by_label("Hold to talk").check()
        socket = await talk(page, server)
        update = await socket.heard("session.update")
        assert update["session"]["audio"]["input"]["turn_detection"] is None
        await socket.heard_microphone()
        assert socket.silent
        await page.keyboard.down("Space")
        await socket.heard("input_audio_buffer.clear")
        await phase_is(page, "user-speaking")
        # A shorter one counts as a slip.
        await page.wait_for_function("() => performance.now() - window.omniDuplex.state.log.at(-1).atMs > 300")
        await page.keyboard.up("Space")
        await socket.heard("input_audio_buffer.commit")
        await socket.heard("response.create")
        await expect(page.locator("#log li.user .text")).to_contain_text("You spoke for")


async def test_the_camera_sends_whole_pictures(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        socket = await talk(page, server)
        await page.get_by_role("button", name="Switch the camera on").click()
        shown = (await socket.heard("input_audio_buffer.append"))["video_frames"]
        assert Image.open(BytesIO(base64.b64decode(shown[0]))).size == (448, 336)
        await expect(page.locator("#preview")).to_be_visible()
        await page.get_by_role("button", name="Switch the camera off").click()
        await expect(page.locator("#preview")).to_be_hidden()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_nobody_is_kept_out(browser: Browser, server: ScriptedServer, *, dark: bool) -> None:
    async with open_page(browser, server.url, dark=dark) as page:
        assert await serious_faults(page) == []
        socket = await talk(page, server)
        await begin_answer(socket)
        await socket.play(tone(1.0))
        await phase_is(page, "answering")
        await page.get_by_role("button", name="Look inside").click()
        await socket.say({"type": "output_audio_buffer.cleared", "response_id": "r1", "transcript": "Once upon a time"})
        await expect(page.locator("#log del")).to_contain_text("there was")
        assert await serious_faults(page) == []
        await page.get_by_role("button", name="Settings").click()
        assert await serious_faults(page) == []


async def test_a_phone_shows_everything_without_scrolling_sideways(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url, width=390, height=844, touch=True, dark=True) as page:
        socket = await talk(page, server)
        await begin_answer(socket)
        await socket.play(tone(1.0))
        await phase_is(page, "answering")
        # Before anything is touched: what was leaves a glow for a moment.
        await take_picture(page, "phone")
        await page.get_by_role("button", name="Look inside").tap()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_page_speaks_chinese(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        await page.get_by_role("button", name="Settings").click()
        await page.get_by_label("Language").select_option("zh")
        await page.get_by_role("button", name="关闭").click()
        await page.get_by_role("button", name="开始对话").click()
        assert "language=zh" in (await server.arrival()).path
        await expect(page.locator("#state-word")).to_have_text("正在连接")
        assert await page.evaluate("document.documentElement.lang") == "zh-CN"
