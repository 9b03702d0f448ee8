"""A browser before the whole platform. Each test has a browser context of its own: cookies, storage, tabs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.support.platform import Platform
from tests.web.browser import ARGUMENTS, chromium
from tests.web.report import Report
from tests.web.visitor import Visitor

BUILT = Path(__file__).parents[2] / "services/gateway/src/spaces_gateway/web/index.html"
REPORTS = Path(__file__).parents[2] / "build/reports"


@pytest.fixture(scope="session", autouse=True)
def needs() -> None:
    """What no test here can do without."""
    if not BUILT.exists():
        pytest.skip("the web application is not built: make web")


@pytest.fixture
async def browser(needs: None) -> AsyncIterator[Browser]:
    """A Chromium process."""
    if chromium() is None:
        pytest.skip("no Chromium is found: apt install chromium, or set SPACES_TEST_CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def visitor(browser: Browser, platform: Platform) -> AsyncIterator[Visitor]:
    """Somebody with a browser who has not signed in. Fails when a page logged an error or left this origin."""
    visitor = await Visitor.arrive(browser, platform.gateway_url)
    yield visitor
    await visitor.leave()


@pytest.fixture
def admin_password(platform: Platform) -> str:
    """Of the admin whom the registry made at its first start."""
    return (platform.folder / "admin-password").read_text().strip()


_REPORT = Report()


@pytest.fixture(scope="session")
def report() -> Report:
    """What is measured goes into build/reports/web.json."""
    return _REPORT


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Counts scenarios."""
    if "tests/web/" in report.nodeid:
        _REPORT.count(report)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the report when browsers were driven."""
    if _REPORT.scenarios:
        _REPORT.write(REPORTS / "web.json")
