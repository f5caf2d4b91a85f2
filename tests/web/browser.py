"""The system's Chromium with a fake microphone, driven by Playwright."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

__all__ = ["find_chromium", "launch", "open_page", "phase_is", "take_picture", "tap"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MACOS_APPLICATIONS = (
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
)
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
)
PICTURES = Path(__file__).parents[2] / "build" / "pictures"
"""Where the tests leave what the page looks like; docs/page.md shows some of it."""
_LARGEST_PICTURE = 200_000

INSECURE_HOST = "voice.test"
"""A name that means this machine without being the loopback name browsers trust."""


def find_chromium() -> str:
    """The path of a Chromium or Chrome; fails the test when there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        found = next((str(path) for path in _MACOS_APPLICATIONS if path.exists()), None)
    if found is None:
        pytest.fail("The page's tests need Chromium or Google Chrome: install the package 'chromium'.", pytrace=False)
    return found


@asynccontextmanager
async def launch(microphone: Path, *, camera: Path | None = None) -> AsyncIterator[Browser]:
    """A browser whose microphone plays `microphone` once for each page that opens it, then silence.

    Its camera shows the MJPEG file `camera` again and again, or a test picture.
    """
    arguments = [
        *_ARGUMENTS,
        f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}%noloop",
    ]
    if camera is not None:
        arguments.append(f"--use-file-for-fake-video-capture={camera}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_page(
    browser: Browser,
    url: str,
    *,
    denied: bool = False,
    dark: bool = False,
    still: bool = True,
    width: int = 1180,
    height: int = 760,
    touch: bool = False,
) -> AsyncIterator[Page]:
    """The page at `url` in a fresh profile. Leaving fails when the page threw, logged an error or broke its policy."""
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        reduced_motion="reduce" if still else "no-preference",
        has_touch=touch,
        is_mobile=touch,
        locale="en-US",
    )
    # Granting anything at all makes every prompt not granted a plain "no".
    await context.grant_permissions([] if denied else ["microphone", "camera"])
    page = await context.new_page()
    page.set_default_timeout(20_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if _is_our_error(message.text) else None)
    await page.goto(url)
    yield page
    await context.close()
    assert complaints == []


def _is_our_error(text: str) -> bool:
    # A refused connection is also logged as an error, and is what some tests are about.
    return "Content Security Policy" in text or "Uncaught" in text


async def phase_is(page: Page, phase: str) -> None:
    """Wait until the page says that it is in `phase`."""
    await expect(page.locator("body")).to_have_attribute("data-phase", phase)


async def tap(page: Page) -> None:
    """Listen to what the page really plays: `tappedPeak()` is the loudest sample of the last 85 ms of output."""
    await page.evaluate(
        """() => {
            const { node } = window.omniDuplex.speaker;
            const analyser = node.context.createAnalyser();
            analyser.fftSize = 2048;
            node.connect(analyser);
            const samples = new Float32Array(analyser.fftSize);
            window.tappedPeak = () => {
                analyser.getFloatTimeDomainData(samples);
                return samples.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0);
            };
        }"""
    )


async def take_picture(page: Page, name: str, *, whole: bool = False) -> None:
    """Leave a picture of the page in `PICTURES`; `whole` with what is below the window."""
    picture = await page.screenshot(full_page=whole)
    assert len(picture) < _LARGEST_PICTURE
    await asyncio.to_thread(PICTURES.mkdir, parents=True, exist_ok=True)
    await asyncio.to_thread((PICTURES / f"{name}.png").write_bytes, picture)
