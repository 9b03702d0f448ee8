"""What the first page costs, and that nothing comes from elsewhere or runs inline."""

import gzip
from urllib.parse import urlsplit

from playwright.async_api import Response, expect

from tests.web.conftest import BUILT
from tests.web.report import Report
from tests.web.visitor import ADMIN, Visitor

MOST_JS_KIB = 250
MOST_INTERACTIVE_MS = 1000
LOADS = 3


def packed(url: str) -> int:
    """A script's size in gzip, as it was built."""
    content = (BUILT.parent / urlsplit(url).path.lstrip("/")).read_bytes()
    return len(gzip.compress(content, 9))


async def test_the_first_page_is_small_and_soon_there(
    visitor: Visitor, report: Report, admin_password: str
) -> None:
    scripts: set[str] = set()

    def seen(answer: Response) -> None:
        if urlsplit(answer.url).path.endswith(".js"):
            scripts.add(answer.url)

    page = visitor.page
    await page.goto("/sign-in")  # a gateway that was just started is warmed up by its first caller
    await visitor.sign_in(ADMIN, admin_password)
    page.on("response", seen)
    times = []
    for _ in range(LOADS):
        await page.reload()
        await expect(page.get_by_role("button", name="Create space").first).to_be_enabled()
        times.append(await page.evaluate("performance.now()"))
    report.initial_js_gzip_kib = round(sum(map(packed, scripts)) / 1024, 1)
    report.interactive_ms = round(min(times))
    assert 20 < report.initial_js_gzip_kib <= MOST_JS_KIB
    assert report.interactive_ms <= MOST_INTERACTIVE_MS


async def test_the_page_holds_nothing_inline_and_names_no_other_origin(visitor: Visitor) -> None:
    answer = await visitor.page.goto("/")
    assert answer is not None
    text = await answer.text()
    assert "<style" not in text
    assert "style=" not in text
    assert "://" not in text
    policy = (await answer.all_headers())["content-security-policy"]
    assert "unsafe" not in policy


def test_no_style_fetches_another() -> None:
    for path in (BUILT.parent / "assets").glob("*.css"):
        assert "@import" not in path.read_text(encoding="utf-8"), path.name
