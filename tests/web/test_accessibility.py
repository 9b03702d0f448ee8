"""Every page with axe, in both themes and languages, on a wide and on a narrow screen."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.platform import Platform
from tests.web.axe import serious_findings
from tests.web.report import Report
from tests.web.visitor import ADMIN, Visitor

SCRIPTED = Path(__file__).parents[1] / "support/handlers/scripted.py"
LOOKS = [("light", "en"), ("dark", "en"), ("light", "zh"), ("dark", "zh")]
NARROWEST = 360


@pytest.fixture(scope="module")
def space(platform: Platform) -> Iterator[str]:
    """A served space's id, beside one that nobody serves and one that is disabled."""
    platform.create_space("alone", description="Nobody serves it")
    platform.create_space("resting", enabled=False)
    made = platform.create_space("poems", inputs=["prompt", "image", "audio", "video", "file"])
    platform.start_worker("w", spaces=["poems"], handler=str(SCRIPTED))
    yield made["space_id"]
    platform.stop_worker("w")


@pytest.fixture
async def visitor(browser: Browser, platform: Platform) -> AsyncIterator[Visitor]:
    """English words are looked for while signing in; the language is set later."""
    visitor = await Visitor.arrive(browser, platform.gateway_url)
    yield visitor
    await visitor.leave()


async def look(page: Page, theme: str, language: str) -> None:
    await page.evaluate(
        "([theme, language]) => { localStorage.setItem('spaces.theme', theme);"
        "localStorage.setItem('spaces.language', language); }",
        [theme, language],
    )
    await page.reload()
    await expect(page.locator("h1")).to_be_visible()


async def check(page: Page, report: Report, what: str) -> None:
    found = await serious_findings(page)
    report.axe_serious = (report.axe_serious or 0) + len(found)
    assert found == [], what
    await page.set_viewport_size({"width": NARROWEST, "height": 740})
    too_wide = await page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert too_wide <= 0, f"{what} at {NARROWEST} px"
    await page.set_viewport_size({"width": 1280, "height": 800})


@pytest.mark.parametrize(("theme", "language"), LOOKS)
async def test_pages_before_signing_in(
    visitor: Visitor, report: Report, theme: str, language: str
) -> None:
    page = visitor.page
    for path in ("/sign-in", "/register", "/no/such/page"):
        await page.goto(path)
        await look(page, theme, language)
        await check(page, report, path)


@pytest.mark.parametrize(("theme", "language"), LOOKS)
async def test_pages_of_spaces_and_of_the_account(
    visitor: Visitor, report: Report, admin_password: str, space: str, theme: str, language: str
) -> None:
    await visitor.sign_in(ADMIN, admin_password, "/account")
    page = visitor.page
    await look(page, theme, language)
    await expect(page.locator("#logins-title ~ ul li").first).to_be_visible()
    await check(page, report, "/account")
    await page.locator(".head button").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await check(page, report, "new key")
    await page.goto("/spaces")
    await expect(page.get_by_role("article")).to_have_count(3)
    await check(page, report, "/spaces")
    await page.locator(".head button").last.click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.locator(".el-dialog summary").click()
    await check(page, report, "new space")


@pytest.mark.parametrize(("theme", "language"), LOOKS)
async def test_the_page_of_a_space(
    visitor: Visitor, report: Report, admin_password: str, space: str, theme: str, language: str
) -> None:
    await visitor.sign_in(ADMIN, admin_password, f"/spaces/{space}?worker=new")
    page = visitor.page
    await expect(page.get_by_text("✓ Connected")).to_be_visible()
    for lines in ("say # Roses\nsay | a |\nsay |---|\nsay | b |\nfiles", "say half\nfail no paper"):
        await page.get_by_label("Prompt", exact=True).fill(lines)
        await page.get_by_role("button", name="Submit").click()
        await expect(page.locator(".tag.succeeded, .tag.failed").first).to_be_visible()
        await look(page, theme, language)
        await expect(page.locator(".markdown")).to_be_visible()
        await check(page, report, "a request that ended")
        await look(page, theme, "en")
    await page.goto("/spaces/alone")
    await look(page, theme, language)
    await expect(page.locator("#why-not")).to_be_visible()
    await check(page, report, "nobody serves it")
