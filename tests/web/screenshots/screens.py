"""The screens of the web application, each with how one gets there in a demo that has content."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from playwright.async_api import Page, expect

SOME_LINES = re.compile(r"[\s\S]{90}")
MODEL_MS = 90_000
SAMPLE = "deploy/stack/src/spaces_stack/demo/samples/sign.png"


async def nothing(_: Page) -> None:
    """The page as it opens."""


@dataclass(frozen=True)
class Screen:
    """One picture: a page, and what is done there before it is taken."""

    name: str
    path: str
    prepare: Callable[[Page], Awaitable[None]] = nothing
    signed_in: bool = True


async def _cards(page: Page) -> None:
    await expect(page.get_by_role("article")).to_have_count(4)


async def _new_space(page: Page) -> None:
    await _cards(page)
    await page.locator(".head > .el-button--primary").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.get_by_role("dialog").get_by_role("textbox").first.fill("story-teller")


async def _read_picture(page: Page) -> None:
    await page.locator("input[type=file]").first.set_input_files(SAMPLE)
    await page.locator("button[type=submit]").click()
    await expect(page.locator(".tag.succeeded").first).to_be_visible(timeout=MODEL_MS)
    await expect(page.locator(".outcome")).to_contain_text("Queue size 42")
    await page.evaluate("scrollTo(0, 0)")


async def _stream(page: Page) -> None:
    await page.locator("#prompt").fill(
        "A gateway, a worker and a queue walk into a bar. The queue says:"
    )
    await page.locator("summary").click()
    await page.locator("details textarea").fill('{"max_tokens": 80, "temperature": 0.7}')
    await page.locator("button[type=submit]").click()
    await expect(page.locator(".outcome .markdown")).to_contain_text(SOME_LINES, timeout=MODEL_MS)


async def _worker_command(page: Page) -> None:
    await page.locator(".worker .el-button--primary").click()
    await expect(page.locator(".worker pre")).to_have_count(3)
    # A token is shown once, to who makes it, and in no picture.
    await page.locator(".worker pre").last.evaluate(
        "(line) => { line.textContent = line.textContent.replace(/spw_\\w+/, 'spw_' + '•'.repeat(24)); }"
    )
    await expect(page.locator(".worker pre").last).to_contain_text("•••")


async def _list(page: Page) -> None:
    await expect(page.get_by_role("table").get_by_role("row").nth(8)).to_be_visible()
    await expect(page.locator(".live.on")).to_be_visible()


def _first(state: str) -> Callable[[Page], Awaitable[None]]:
    """The newest request of a state, from the list."""

    async def go(page: Page) -> None:
        await page.get_by_role("table").get_by_role("link").first.click()
        await expect(page.locator(f".tag.{state}").first).to_be_visible()
        await expect(page.locator(".line li").first).to_be_visible()

    return go


async def _mass(page: Page) -> None:
    await expect(page.get_by_role("table").get_by_role("row").nth(1)).to_be_visible()
    await page.locator(".actions button").last.click()
    await expect(page.get_by_role("dialog")).to_be_visible()


async def _rows(page: Page) -> None:
    await expect(page.locator("tbody tr").first).to_be_visible()


async def _limits(page: Page) -> None:
    await expect(page.locator("meter").first).to_be_visible()


async def _plots(page: Page) -> None:
    await expect(page.locator(".u-over").nth(2)).to_be_visible()
    await page.locator(".plots").evaluate("(plots) => plots.scrollIntoView({block: 'end'})")


async def _new_key(page: Page) -> None:
    await page.locator(".head button").click()
    await expect(page.get_by_role("dialog")).to_be_visible()


SCREENS = (
    Screen("sign-in", "/sign-in", signed_in=False),
    Screen("register", "/register", signed_in=False),
    Screen("spaces", "/spaces", _cards),
    Screen("new-space", "/spaces", _new_space),
    Screen("space", "/spaces/image-to-text", _read_picture),
    Screen("streaming", "/spaces/prompt-to-text", _stream),
    Screen("not-connected", "/spaces/video-to-text"),
    Screen("worker-command", "/spaces/video-to-text?worker=new", _worker_command),
    Screen("requests", "/requests", _list),
    Screen("mass-cancel", "/requests?state=queued", _mass),
    Screen("request", "/requests?state=succeeded", _first("succeeded")),
    Screen("failed-request", "/requests?state=failed", _first("failed")),
    Screen("account", "/account", _rows),
    Screen("new-key", "/account", _new_key),
    Screen("admin-workers", "/admin/workers", _rows),
    Screen("admin-queues", "/admin/queues", _rows),
    Screen("admin-people", "/admin/people", _rows),
    Screen("admin-tenants", "/admin/tenants", _limits),
    Screen("admin-tokens", "/admin/tokens", _rows),
    Screen("admin-audit", "/admin/audit", _rows),
    Screen("admin-system", "/admin/system", _plots),
)
