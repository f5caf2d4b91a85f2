"""The page in a real Chromium, against a server that does exactly what the test says."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.web.browser import INSECURE_HOST, launch, open_page, phase_is, tap
from tests.web.scripted import ScriptedServer, ScriptedSocket, scripted_server, talk, tone
from tests.web.speech import speech, write_microphone

# One browser for all: starting it takes longer than most of these tests.
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


async def answer(socket: ScriptedSocket, response_id: str, *, seconds: float) -> None:
    """Begin an answer and send so much of it at once."""
    await socket.say({"type": "response.created", "response": {"id": response_id}})
    await socket.say(
        {"type": "response.output_audio_transcript.delta", "response_id": response_id, "delta": "Once upon"}
    )
    await socket.play(tone(seconds))


def cancelled(response_id: str) -> dict[str, object]:
    return {"type": "response.done", "response": {"id": response_id, "status": "cancelled"}}


async def test_the_microphone_reaches_the_server_as_20_ms_frames(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        socket = await talk(page, server)
        await socket.heard_microphone()
        await page.wait_for_function(
            "() => getComputedStyle(document.body).getPropertyValue('--microphone-level') > 0.2"
        )
        assert socket.audio_sizes == {640}
        fixed = "audio=binary&input_rate=16000&output_rate=24000&echo=cancelled"
        assert socket.path == f"/v1/realtime?{fixed}&conversation=duplex&language=en"
        assert socket.offered_protocols == ""
        assert await page.evaluate("window.omniDuplex.speaker.node.context.sampleRate") == 24_000


async def test_a_key_and_the_chosen_conversation_go_along(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, f"{server.url}?key=s3cret") as page:
        await page.get_by_label("Turn by turn").check()
        socket = await talk(page, server)
        assert "&conversation=simplex&" in socket.path
        assert socket.offered_protocols == "realtime, openai-insecure-api-key.s3cret"
        await expect(page.get_by_label("Free flow")).to_be_hidden()


async def test_an_answer_is_heard_reported_and_written_down(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        socket = await talk(page, server)
        await tap(page)
        await answer(socket, "r1", seconds=0.6)
        await phase_is(page, "answering")
        await page.wait_for_function("() => tappedPeak() > 0.4")
        await socket.say(
            {"type": "response.output_audio.done", "response_id": "r1"},
            {
                "type": "response.done",
                "response": {
                    "id": "r1",
                    "status": "completed",
                    "metadata": {"omni_duplex.latency": '{"speech_end_to_first_audio_ms":412}'},
                },
            },
        )
        last = await socket.heard("playback.ack")
        while last["played_ms"] != 600:
            assert last["response_id"] == "r1"
            last = await socket.heard("playback.ack")
        await phase_is(page, "listening")
        await expect(page.locator("#log li.answer .text")).to_have_text("Once upon")


async def test_cleared_silences_at_once_and_marks_the_answer(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        socket = await talk(page, server)
        await tap(page)
        await answer(socket, "r1", seconds=20)
        await page.wait_for_function("() => tappedPeak() > 0.4")
        await socket.say(
            {"type": "input_audio_buffer.speech_started", "audio_start_ms": 900, "item_id": "u1"},
            {"type": "output_audio_buffer.cleared", "response_id": "r1"},
        )
        await socket.play(tone(5))
        await phase_is(page, "interrupted")
        await page.wait_for_function("() => tappedPeak() === 0")
        playback = await page.evaluate("window.omniDuplex.playback")
        assert playback["type"] == "flushed"
        assert playback["queuedMs"] == 0
        assert playback["droppedMs"] > 10_000
        await socket.say(cancelled("r1"))
        await expect(page.locator("#log li.answer .mark")).to_have_text("interrupted")
        await expect(page.locator("#break")).to_have_text(re.compile(r"^\d+ ms$"))
        await phase_is(page, "user-speaking")

        await answer(socket, "r2", seconds=1)
        await page.wait_for_function("() => tappedPeak() > 0.4")
        assert await page.evaluate("window.omniDuplex.playback.responseId") == "r2"


async def test_a_hold_silences_the_answer_and_a_release_plays_all_of_the_rest(
    browser: Browser, server: ScriptedServer
) -> None:
    async with open_page(browser, server.url) as page:
        socket = await talk(page, server)
        await tap(page)
        await answer(socket, "r1", seconds=2)
        await page.wait_for_function("() => tappedPeak() > 0.4")
        await socket.say({"type": "output_audio_buffer.ducked", "response_id": "r1", "gain": 0.0})
        await page.wait_for_function("() => tappedPeak() === 0")
        assert await page.evaluate("window.omniDuplex.playback.queuedMs") > 100
        await phase_is(page, "answering")
        await socket.say({"type": "output_audio_buffer.resumed", "response_id": "r1"})
        await page.wait_for_function("() => tappedPeak() > 0.4")
        await socket.say(
            {"type": "response.output_audio.done", "response_id": "r1"},
            {"type": "response.done", "response": {"id": "r1", "status": "completed"}},
        )
        await page.wait_for_function("() => window.omniDuplex.playback.type === 'ended'")
        assert await page.evaluate("window.omniDuplex.playback.playedMs") == pytest.approx(2000, abs=1)


@pytest.mark.parametrize("how", ["button", "escape"])
async def test_the_user_stops_an_answer(browser: Browser, server: ScriptedServer, how: str) -> None:
    async with open_page(browser, server.url) as page:
        stop = page.get_by_role("button", name="Stop this answer")
        socket = await talk(page, server)
        await expect(stop).to_be_disabled()
        await tap(page)
        await answer(socket, "r1", seconds=20)
        await page.wait_for_function("() => tappedPeak() > 0.4")
        if how == "button":
            await stop.click()
        else:
            await page.keyboard.press("Escape")
        await socket.heard("response.cancel")
        await phase_is(page, "interrupted")
        await page.wait_for_function("() => tappedPeak() === 0 && window.omniDuplex.playback.queuedMs === 0")
        await socket.say({"type": "output_audio_buffer.cleared", "response_id": "r1"}, cancelled("r1"))
        await phase_is(page, "listening")
        await expect(stop).to_be_disabled()


async def test_a_loading_engine_is_waited_for(browser: Browser, server: ScriptedServer) -> None:
    server.engine_is("starting", "Loading the language model, 40 %")
    server.refusal = (1013, "The engine is still loading.")
    async with open_page(browser, server.url) as page:
        await page.get_by_role("button", name="Start talking").click()
        await phase_is(page, "waiting")
        await expect(page.locator("#state-hint")).to_have_text("Loading the language model, 40 %")
        server.refusal = None
        server.engine_is("ready")
        socket = await server.arrival()
        await socket.welcome()
        await phase_is(page, "listening")


async def test_a_taken_engine_is_explained_and_can_be_tried_again(browser: Browser, server: ScriptedServer) -> None:
    server.engine_is("leased")
    server.refusal = (1013, "No engine is free.")
    async with open_page(browser, server.url) as page:
        await page.get_by_role("button", name="Start talking").click()
        await expect(page.get_by_role("alert")).to_contain_text("Someone else is talking")
        await phase_is(page, "off")
        server.refusal = None
        await page.get_by_role("button", name="Try again").click()
        await (await server.arrival()).welcome()
        await phase_is(page, "listening")
        await expect(page.get_by_role("alert")).to_be_hidden()


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (1011, "The engine stopped answering.", "The engine stopped answering."),
        (1008, "You read too slowly.", "You read too slowly."),
        (4000, "Too odd.", "Too odd."),
    ],
)
async def test_the_servers_close_is_explained(
    browser: Browser, server: ScriptedServer, code: int, reason: str, words: str
) -> None:
    async with open_page(browser, server.url) as page:
        socket = await talk(page, server)
        await answer(socket, "r1", seconds=5)
        await socket.close(code, reason)
        await expect(page.get_by_role("alert")).to_contain_text(words)
        await phase_is(page, "off")
        assert await page.evaluate("window.omniDuplex.speaker") is None


async def test_a_page_that_may_not_come_in_is_told_how(browser: Browser, server: ScriptedServer) -> None:
    server.refusal = (1008, "The key is missing.")
    async with open_page(browser, server.url) as page:
        await page.get_by_role("button", name="Start talking").click()
        await expect(page.get_by_role("alert")).to_contain_text("The key is missing. Open it")
        await expect(page.get_by_role("button", name="Try again")).to_be_hidden()


async def test_a_restarting_server_is_reconnected(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        socket = await talk(page, server)
        server.status = None
        await socket.close(1012)
        await phase_is(page, "waiting")
        server.status = ScriptedServer().status
        await (await server.arrival()).welcome()
        await phase_is(page, "listening")


async def test_ending_lets_go_of_microphone_and_socket(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        socket = await talk(page, server)
        await page.get_by_role("button", name="End the conversation").click()
        assert await socket.gone() == 1000
        await phase_is(page, "off")
        await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_key_no_browser_can_send_is_explained(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, f"{server.url}?key=a%20b") as page:
        await page.get_by_role("button", name="Start talking").click()
        await expect(page.get_by_role("alert")).to_contain_text("The key in the address cannot be sent")


async def test_ending_while_the_browser_still_asks_keeps_no_microphone(
    browser: Browser, server: ScriptedServer
) -> None:
    async with open_page(browser, server.url) as page:
        await page.evaluate(
            """() => {
                const { mediaDevices } = navigator;
                const ask = mediaDevices.getUserMedia.bind(mediaDevices);
                mediaDevices.getUserMedia = async (wish) => {
                    await new Promise((allow) => { window.allow = allow; });
                    window.grantedStream = await ask(wish);
                    return window.grantedStream;
                };
            }"""
        )
        await page.get_by_role("button", name="Start talking").click()
        await page.wait_for_function("() => window.allow")
        await page.get_by_role("button", name="End the conversation").click()
        await page.evaluate("window.allow()")
        await page.wait_for_function(
            "() => window.grantedStream?.getTracks().every((track) => track.readyState === 'ended')"
        )
        await phase_is(page, "off")
        await expect(page.get_by_role("alert")).to_be_hidden()


async def test_a_microphone_that_goes_away_ends_the_call(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        await page.evaluate(
            """() => {
                const { mediaDevices } = navigator;
                const ask = mediaDevices.getUserMedia.bind(mediaDevices);
                mediaDevices.getUserMedia = async (wish) => { return (window.grantedStream = await ask(wish)); };
            }"""
        )
        socket = await talk(page, server)
        await page.evaluate("window.grantedStream.getTracks()[0].dispatchEvent(new Event('ended'))")
        await expect(page.get_by_role("alert")).to_contain_text("The microphone went away")
        assert await socket.gone() == 1000


async def test_a_denied_microphone_is_explained(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url, denied=True) as page:
        await page.get_by_role("button", name="Start talking").click()
        await expect(page.get_by_role("alert")).to_contain_text("The microphone is not allowed")
        await expect(page.get_by_role("button", name="Try again")).to_be_visible()


async def test_a_missing_microphone_is_explained(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        await page.evaluate(
            """() => { navigator.mediaDevices.getUserMedia = async () => {
                throw new DOMException("Requested device not found", "NotFoundError"); }; }"""
        )
        await page.get_by_role("button", name="Start talking").click()
        await expect(page.get_by_role("alert")).to_contain_text("No microphone was found")


async def test_an_insecure_address_is_explained_at_once(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, f"http://{INSECURE_HOST}:{server.port}/") as page:
        await expect(page.get_by_role("alert")).to_contain_text(f"http://localhost:{server.port}")
        await page.get_by_role("button", name="Start talking").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await phase_is(page, "off")


async def test_the_stand_in_is_named_before_and_during_the_call(browser: Browser, server: ScriptedServer) -> None:
    async with open_page(browser, server.url) as page:
        banner = page.get_by_text("The engine is the parrot, a stand-in")
        await expect(banner).to_be_visible()
        await page.get_by_role("button", name="Start talking").click()
        await (await server.arrival()).welcome(engine="llama-server", stand_in=False)
        await expect(banner).to_be_hidden()
