"""Every page and dialog with axe, in both themes and languages, on a wide and on a narrow screen."""

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Browser, Page, ViewportSize, expect

from tests.support.platform import Platform
from tests.web.axe import serious_findings
from tests.web.furnishing import WORKER, Furnished, furnish
from tests.web.report import Report
from tests.web.visitor import ADMIN, Visitor

# Each test looks at many pages, and has to on busy machines too.
pytestmark = pytest.mark.timeout(400)
LANGUAGES = ("en", "zh")
WIDE: ViewportSize = {"width": 1280, "height": 800}
NARROWEST: ViewportSize = {"width": 360, "height": 740}
# Each theme at one of the widths, and at the other one in the other language.
LOOKS = {
    "en": ((WIDE, "light"), (NARROWEST, "dark")),
    "zh": ((WIDE, "dark"), (NARROWEST, "light")),
}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PAINT = "(dark) => document.documentElement.classList.toggle('dark', dark)"


@pytest.fixture(scope="module")
def furnished(platform: Platform) -> Iterator[Furnished]:
    """Content for every page."""
    yield furnish(platform)
    platform.stop_worker(WORKER)


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    """What the pages speak."""
    return str(request.param)


class Inspector:
    """Goes through pages, and looks at each in its looks."""

    def __init__(self, visitor: Visitor, report: Report, language: str) -> None:
        self.page = visitor.page
        self._report = report
        self._language = language

    async def speak(self) -> None:
        """From the next page on. English words are looked for while signing in."""
        await self.page.evaluate(
            "(language) => localStorage.setItem('spaces.language', language)", self._language
        )

    async def see(self, path: str) -> Page:
        """Opens a page. Nothing moves in it, so that no colour is caught on its way to another."""
        await self.page.emulate_media(reduced_motion="reduce")
        await self.page.goto(path)
        await expect(self.page.locator("h1").first).to_be_visible()
        return self.page

    async def check(self, what: str) -> None:
        """Whatever is open now, in the wide look and in the narrow one."""
        for size, theme in LOOKS[self._language]:
            await self.page.set_viewport_size(size)
            await self.page.evaluate(PAINT, theme == "dark")
            found = await serious_findings(self.page)
            self._report.axe_serious = (self._report.axe_serious or 0) + len(found)
            assert not found, f"{what}, {theme}, {size['width']} px: {found}"
            assert await self.page.evaluate(OVERFLOW) <= 0, f"{what} at {size['width']} px"
        await self.page.set_viewport_size(WIDE)


@pytest.fixture
async def stranger(
    browser: Browser, platform: Platform, report: Report, language: str
) -> AsyncIterator[Inspector]:
    """Looks at pages for those who have not signed in."""
    visitor = await Visitor.arrive(browser, platform.gateway_url)
    await visitor.page.goto("/sign-in")
    inspector = Inspector(visitor, report, language)
    await inspector.speak()
    yield inspector
    await visitor.leave()


@pytest.fixture
async def inspector(
    browser: Browser, platform: Platform, report: Report, admin_password: str, language: str
) -> AsyncIterator[Inspector]:
    """Looks at everything, as the admin."""
    visitor = await Visitor.arrive(browser, platform.gateway_url)
    await visitor.sign_in(ADMIN, admin_password, "/account")
    inspector = Inspector(visitor, report, language)
    await inspector.speak()
    yield inspector
    await visitor.leave()


async def test_pages_before_signing_in(stranger: Inspector) -> None:
    page = await stranger.see("/sign-in")
    await stranger.check("sign-in")
    await page.locator("#name").fill("owner@example.org")
    await page.locator("#password").fill("not her password")
    await page.locator("button[type=submit]").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await stranger.check("a refused login")
    await stranger.see("/register?invite=abc")
    await expect(page.locator("#invite")).to_be_visible()
    await stranger.check("register")
    await stranger.see("/no/such/page")
    await stranger.check("no such page")


async def test_the_account(inspector: Inspector, furnished: Furnished) -> None:
    page = await inspector.see("/account")
    await expect(page.locator("#logins-title ~ ul li").first).to_be_visible()
    await expect(page.locator("tbody tr").first).to_be_visible()
    await inspector.check("account")
    await page.locator("header .el-dropdown button").click()
    await expect(page.get_by_role("menuitem").first).to_be_visible()
    await inspector.check("the account's menu")
    await page.keyboard.press("Escape")
    await page.locator("tbody button").first.click()
    await expect(page.locator(".el-popconfirm")).to_be_visible()
    await inspector.check("revoke a key?")
    await inspector.see("/account")
    await page.locator("#keys-title ~ button").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.locator("#new-key .el-checkbox").first.click()
    await expect(page.locator("#new-key .scopes")).to_be_visible()
    await inspector.check("new key")
    await page.locator("#new-key .el-checkbox").first.click()
    await page.locator("#key-name").fill("rack 7")
    await page.locator("button[form=new-key]").click()
    await expect(page.locator(".secret code")).to_be_visible()
    await inspector.check("a key that was made")


async def test_spaces(inspector: Inspector, furnished: Furnished) -> None:
    page = await inspector.see("/spaces")
    await expect(page.get_by_role("article")).to_have_count(3)
    await inspector.check("spaces")
    await page.locator(".head button.el-button--primary").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.locator(".el-dialog summary").click()
    await inspector.check("new space")
    await inspector.see("/spaces")
    await page.locator("article button").first.click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await inspector.check("edit a space")
    await inspector.see("/spaces")
    await page.locator(".search input").fill("no such space")
    await expect(page.get_by_role("article")).to_have_count(0)
    await inspector.check("nothing is found")


async def test_the_page_of_a_space(inspector: Inspector, furnished: Furnished) -> None:
    page = await inspector.see(f"/spaces/poems?worker=new&request={furnished.succeeded}")
    await expect(page.locator(".outcome .markdown table")).to_be_visible()
    await expect(page.locator(".outcome img")).to_be_visible()
    await page.locator(".worker .el-button--primary").click()
    await expect(page.locator(".worker pre")).to_have_count(3)
    await inspector.check("a space with a result and the worker's command")
    await inspector.see(f"/spaces/poems?request={furnished.failed}")
    await expect(page.locator(".outcome .error")).to_be_visible()
    await inspector.check("a space with a failed request")
    await inspector.see(f"/spaces/alone?request={furnished.waiting}")
    await expect(page.locator(".tag.queued").first).to_be_visible()
    await inspector.check("a space that lets requests wait")
    await inspector.see("/spaces/resting")
    await expect(page.locator("#why-not")).to_be_visible()
    await inspector.check("a disabled space")
    await page.goto("/spaces/nowhere")
    await expect(page.get_by_role("alert")).to_be_visible()
    await inspector.check("no such space")


async def test_requests(inspector: Inspector, furnished: Furnished) -> None:
    page = await inspector.see("/requests")
    await expect(page.locator(".cells").nth(2)).to_be_visible()
    await inspector.check("requests")
    for action in range(2):
        await page.locator(".actions button").nth(action).click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await inspector.check("what is done to many requests")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_have_count(0)
    await inspector.see("/requests?state=expired")
    await expect(page.locator(".empty")).to_be_visible()
    await inspector.check("no request fits")
    for request_id in (furnished.succeeded, furnished.failed, furnished.waiting):
        await inspector.see(f"/requests/{request_id}")
        await expect(page.locator(".line li").first).to_be_visible()
        await inspector.check("a request")
    await page.goto(f"/requests/{furnished.waiting[::-1]}")
    await expect(page.get_by_role("alert")).to_be_visible()
    await inspector.check("no such request")


async def test_the_admins_pages(inspector: Inspector, furnished: Furnished) -> None:
    page = inspector.page
    for section in ("workers", "queues", "people", "tenants", "tokens", "audit", "system"):
        await inspector.see(f"/admin/{section}")
        rows = page.locator("meter" if section == "tenants" else "tbody tr")
        await expect(rows.first).to_be_visible()
        if section == "system":
            await expect(page.locator(".u-over")).to_have_count(3)
        await inspector.check(section)
        if section in ("workers", "people", "tokens"):
            await page.locator("tbody tr").last.locator("button").last.click()
            await expect(page.locator(".el-popconfirm")).to_be_visible()
            await inspector.check(f"{section}: are you sure?")


async def test_what_is_made_for_others_is_shown_once(
    inspector: Inspector, furnished: Furnished
) -> None:
    page = await inspector.see("/admin/people")
    await page.locator("section form button[type=submit]").click()
    await expect(page.locator(".secret code")).to_be_visible()
    await inspector.check("an invitation")
    await inspector.see("/admin/tenants")
    await page.locator("#limit-queued").fill("1")
    await page.locator(".panel button[type=submit]").click()
    await expect(page.locator(".notice")).to_be_visible()
    await inspector.check("limits that were saved")
