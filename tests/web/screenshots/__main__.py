"""Takes the pictures of docs/web.md from a demo of its own: `make screenshots`."""

import asyncio
import io
import re
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, BrowserContext, Page, Route, async_playwright, expect

from spaces_stack.demo.report import run_demo
from spaces_stack.session import started
from spaces_stack.state_dir import StateDir
from tests.web.browser import ARGUMENTS, chromium
from tests.web.screenshots.content import ADMIN, calm, furnish
from tests.web.screenshots.screens import SCREENS, Screen

FOLDER = Path("docs/screenshots")
QUALITY = 88
WAIT_MS = 20_000
HOST = "gpu-host-1"


@dataclass(frozen=True)
class Look:
    """How a person sees the application."""

    name: str
    width: int
    height: int
    theme: str
    language: str
    locale: str


LOOKS = (
    Look("desktop", 1280, 800, "light", "en", "en-GB"),
    Look("phone", 360, 780, "dark", "zh", "zh-CN"),
)


def main() -> None:
    """Starts a demo, fills it, takes the named screens, or all, in each look, stops it."""
    if chromium() is None:
        raise SystemExit("no Chromium is found: apt install chromium, or set SPACES_TEST_CHROMIUM")
    chosen = [screen for screen in SCREENS if screen.name in sys.argv[1:] or not sys.argv[1:]]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="spaces-screenshots-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs as another user
        state = StateDir(Path(folder))
        with started(state, None) as stack:
            run_demo(stack)
            url, password = stack.platform.gateway_url, state.admin_password.read_text().strip()
            furnish(url, password)
            asyncio.run(take_all(url, password, chosen))
            calm(url, password)
    sizes = [path.stat().st_size for path in FOLDER.iterdir()]
    print(f"{FOLDER}: {len(sizes)} pictures, {sum(sizes) / 1024:.0f} KiB")


async def take_all(url: str, password: str, screens: Sequence[Screen]) -> None:
    """These screens in every look."""
    expect.set_options(timeout=WAIT_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        for look in LOOKS:
            for signed_in in (False, True):
                async with await _window(browser, url, look) as window:
                    page = await window.new_page()
                    if signed_in:
                        await _sign_in(page, password)
                    for screen in screens:
                        if screen.signed_in == signed_in:
                            await _take(page, screen, look)
        await browser.close()


async def _take(page: Page, screen: Screen, look: Look) -> None:
    await page.goto(screen.path)
    await expect(page.locator("h1").first).to_be_visible()
    await screen.prepare(page)
    await page.evaluate("document.fonts.ready")
    taken = Image.open(io.BytesIO(await page.screenshot(animations="disabled", caret="hide")))
    path = FOLDER / f"{screen.name}-{look.name}.webp"
    taken.save(path, quality=QUALITY, method=6)
    print(f"{path} {path.stat().st_size / 1024:.0f} KiB")


async def _sign_in(page: Page, password: str) -> None:
    await page.goto("/sign-in")
    await page.locator("#name").fill(ADMIN)
    await page.locator("#password").fill(password)
    await page.locator("button[type=submit]").click()
    await expect(page).not_to_have_url(re.compile("/sign-in"))


async def _window(browser: Browser, url: str, look: Look) -> BrowserContext:
    window = await browser.new_context(
        base_url=url,
        viewport={"width": look.width, "height": look.height},
        locale=look.locale,
        reduced_motion="reduce",
    )
    window.set_default_timeout(WAIT_MS)
    await window.add_init_script(
        f"localStorage.setItem('spaces.theme', '{look.theme}');"
        f"localStorage.setItem('spaces.language', '{look.language}');"
    )
    await window.route("**/api/**", _without_this_host)
    return window


async def _without_this_host(route: Route) -> None:
    """Answers as they came, but for the name of the machine that the demo's workers run on."""
    answer = await route.fetch()
    body = (await answer.text()).replace(f'"{socket.gethostname()}"', f'"{HOST}"')
    await route.fulfill(response=answer, body=body)


if __name__ == "__main__":
    main()
