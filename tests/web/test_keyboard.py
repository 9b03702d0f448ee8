"""Without a mouse: the order of focus, what is seen of it, and dialogs; and with motion reduced."""

import pytest
from playwright.async_api import Page, expect

from tests.support.platform import Platform
from tests.web.visitor import ADMIN, Visitor

FOCUSED = """() => {
  const {activeElement: one} = document;
  const {outlineStyle, outlineWidth} = getComputedStyle(one);
  return {
    text: (one.getAttribute('aria-label') || one.innerText || one.id || '').trim(),
    outlined: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
    inDialog: one.closest('[role=dialog]') !== null,
  };
}"""


@pytest.fixture
async def page(visitor: Visitor, admin_password: str, platform: Platform) -> Page:
    """The spaces, signed in."""
    await visitor.sign_in(ADMIN, admin_password, "/spaces")
    await visitor.page.reload()
    await expect(visitor.page.get_by_role("button", name="Create space").first).to_be_visible()
    return visitor.page


async def test_the_first_tab_leads_past_the_header_into_the_content(page: Page) -> None:
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("searchbox", name="Search spaces")).to_be_focused()


async def test_focus_goes_through_the_header_in_the_order_that_is_seen(page: Page) -> None:
    texts = []
    for _ in range(8):
        await page.keyboard.press("Tab")
        focused = await page.evaluate(FOCUSED)
        assert focused["outlined"], focused
        texts.append(focused["text"])
    assert texts[1:7] == [
        "WebSocket Spaces, home", "Spaces", "Requests", "Admin", "中文", "Theme: as the system",
    ]  # fmt: skip
    assert texts[7].startswith("Account")


async def test_a_dialog_keeps_the_focus_and_gives_it_back_on_escape(page: Page) -> None:
    opener = page.get_by_role("button", name="Create space").first
    await opener.focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    await page.wait_for_selector("[role=dialog] :focus, [role=dialog]:focus")
    for _ in range(24):
        await page.keyboard.press("Tab")
        focused = await page.evaluate(FOCUSED)
        assert focused["inDialog"], focused
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(opener).to_be_focused()


async def test_a_question_before_something_is_revoked_is_closed_by_escape(
    page: Page, platform: Platform
) -> None:
    platform.create_space("tokened")
    platform.worker_token(["tokened"])
    await page.goto("/admin/tokens")
    revoke = page.get_by_role("row").filter(has_text="tokened").get_by_role("button")
    await revoke.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator(".el-popconfirm")).to_be_visible()
    await page.wait_for_selector(".el-popper :focus")  # from then on the question hears keys
    await page.keyboard.press("Escape")
    await expect(page.locator(".el-popconfirm")).to_be_hidden()
    await expect(page.get_by_role("row").filter(has_text="tokened")).to_be_visible()


async def test_another_page_begins_at_its_top_and_says_what_it_is(page: Page) -> None:
    await page.get_by_role("link", name="Requests").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Requests", level=1)).to_be_visible()
    await expect(page.locator("main > [role=status]").first).to_have_text("Requests")


async def test_nothing_moves_for_who_asked_for_less_motion(page: Page, platform: Platform) -> None:
    platform.create_space("still")
    await page.emulate_media(reduced_motion="reduce")
    await page.goto("/spaces/still?worker=new")
    await expect(page.get_by_text("Waiting for your worker…")).to_be_visible()
    moving = "document.getAnimations().filter((one) => one.playState === 'running').length"
    await page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    assert await page.evaluate(moving) == 0
