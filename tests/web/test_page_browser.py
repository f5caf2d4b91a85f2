"""The page in a real Chromium, talking to the real server and its parrot."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.web.browser import launch, open_page, tap
from tests.web.live import ROOT, RunningServer, running_server
from tests.web.speech import silence, speech, write_microphone

SCREENSHOT = ROOT / "docs" / "images" / "page.png"

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    async with running_server(tmp_path_factory.mktemp("server") / "server.log") as server:
        yield server


async def start_talking(page: Page) -> None:
    await page.get_by_role("button", name="Start talking").click()
    await page.wait_for_function("() => window.omniDuplex.state.link === 'open'")


async def hear_answer(page: Page) -> None:
    """Wait until the page says that it plays an answer, and sound really comes out."""
    await page.wait_for_function(
        """() => document.body.dataset.phase === "answering"
            && window.omniDuplex.playback?.playedMs > 0 && tappedPeak() > 0.02"""
    )


async def phases(page: Page) -> list[str]:
    seen: list[str] = await page.evaluate("window.omniDuplex.phases")
    return seen


async def take_picture(page: Page) -> None:
    """The README's picture, at a moment when there is something to see."""
    await page.wait_for_function(
        """() => getComputedStyle(document.body).getPropertyValue("--answer-level") > 0.7
            && document.querySelector("#log li:last-child .text").textContent.length > 60"""
    )
    picture = await page.screenshot()
    assert len(picture) < 150_000
    await asyncio.to_thread(SCREENSHOT.parent.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread(SCREENSHOT.write_bytes, picture)


async def test_talk_hear_the_answer_and_interrupt_it(server: RunningServer, tmp_path: Path) -> None:
    microphone = write_microphone(
        tmp_path / "microphone.wav", silence(0.5), speech(4.5), silence(4), speech(2.5, pitch_hz=160), silence(1)
    )
    async with launch(microphone) as browser, open_page(browser, server.url, still=False) as page:
        await expect(page.get_by_text("The engine is the parrot, a stand-in")).to_be_visible()
        await start_talking(page)
        await tap(page)
        await hear_answer(page)

        await page.wait_for_function("() => window.omniDuplex.playback.type === 'flushed'", polling=10)
        flushed = await page.evaluate("window.omniDuplex.playback")
        assert flushed["queuedMs"] == 0
        await expect(page.locator("body")).to_have_attribute("data-phase", "interrupted")
        first = page.locator("#log li.answer").first
        await expect(first).to_contain_text("I heard")
        await expect(first.locator(".mark")).to_have_text("interrupted")
        await expect(page.locator("#break")).to_contain_text("ms")

        await hear_answer(page)
        if os.environ.get("OMNI_DUPLEX_SCREENSHOTS") == "1":
            await take_picture(page)
        await expect(page.locator("#log li.answer").last).to_have_attribute("data-status", "completed", timeout=20_000)
        await expect(page.locator("body")).to_have_attribute("data-phase", "listening", timeout=20_000)
        await expect(page.locator("#first-sound")).to_contain_text("ms")
        assert (await phases(page))[-1] == "listening"


async def test_the_stop_button_silences_the_answer(server: RunningServer, tmp_path: Path) -> None:
    microphone = write_microphone(tmp_path / "microphone.wav", silence(0.5), speech(4.5), silence(1))
    async with launch(microphone) as browser, open_page(browser, server.url) as page:
        await start_talking(page)
        await tap(page)
        await hear_answer(page)
        await page.get_by_role("button", name="Stop this answer").click()
        await page.wait_for_function("() => window.omniDuplex.playback.queuedMs === 0 && tappedPeak() === 0")
        assert "interrupted" in await phases(page)
        await expect(page.locator("#log li.answer .mark")).to_have_text("interrupted")
        await expect(page.locator("body")).to_have_attribute("data-phase", "listening")
        await expect(page.locator("#warning")).to_be_hidden()


async def test_turn_by_turn_answers_too(server: RunningServer, tmp_path: Path) -> None:
    microphone = write_microphone(tmp_path / "microphone.wav", silence(0.5), speech(1.5), silence(1))
    async with launch(microphone) as browser, open_page(browser, server.url) as page:
        await page.get_by_label("Turn by turn").check()
        await start_talking(page)
        await tap(page)
        await hear_answer(page)
        assert await page.evaluate("window.omniDuplex.state.conversation") == "simplex"
        await expect(page.locator("#log li.answer")).to_have_attribute("data-status", "completed")
        await expect(page.locator("#log li.user")).to_contain_text("You spoke for")


async def test_a_killed_server_is_explained(tmp_path: Path) -> None:
    microphone = write_microphone(tmp_path / "microphone.wav", silence(1))
    async with (
        running_server(tmp_path / "server.log") as server,
        launch(microphone) as browser,
        open_page(browser, server.url) as page,
    ):
        await start_talking(page)
        server.kill()
        await expect(page.get_by_role("alert")).to_contain_text("The server is gone")
        await expect(page.get_by_role("button", name="Try again")).to_be_visible()
