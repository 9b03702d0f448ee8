"""From nothing to a result: register, make a space, run the worker's command as it was copied."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.support.platform import Platform, running_platform
from tests.web.visitor import ADMIN, SPACE_CHANGES_MS, Visitor

PASSWORD = "nine sheep on a hill"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """Where everybody may register."""
    with running_platform(environ={"SPACES_REGISTRY_REGISTRATION": "open"}) as running:
        yield running


@asynccontextmanager
async def shell(command: str, folder: Path) -> AsyncIterator[None]:
    """Runs a line as a person's shell would, and stops what it started."""
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
               "HOME": str(folder), "XDG_STATE_HOME": str(folder)}  # fmt: skip
    process = await asyncio.create_subprocess_shell(
        command, cwd=folder, env=environ, start_new_session=True
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()


async def test_a_newcomer_registers_makes_a_space_and_serves_it(
    visitor: Visitor, tmp_path: Path
) -> None:
    page = visitor.page
    await page.goto("/")
    await page.get_by_role("link", name="Register").click()
    await page.get_by_label("Email").fill("ada@example.org")
    await page.get_by_label("Name of your organisation").fill("acme")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Register").click()
    await expect(page.get_by_role("heading", name="There is no space yet")).to_be_visible()

    await page.get_by_role("button", name="Create space").last.click()
    await page.get_by_label("Name", exact=True).fill("my poems")
    await page.get_by_role("dialog").get_by_role("button", name="Create space").click()
    await expect(page.get_by_role("heading", name="my poems")).to_be_visible()
    await expect(page.get_by_text("✗ Not connected")).to_be_visible()
    await expect(page.get_by_text("Waiting for your worker")).to_be_visible()
    await expect(page.get_by_role("button", name="Submit")).to_be_disabled()

    await page.get_by_role("button", name="Make a token and the command").click()
    await page.get_by_role("button", name="Copy command").click()
    command = await page.evaluate("navigator.clipboard.readText()")
    assert "--space 'my poems'" in command
    handler = await page.locator("pre", has_text="# model.py").inner_text()
    await asyncio.to_thread((tmp_path / "model.py").write_text, handler)
    async with shell(command, tmp_path):
        await expect(page.get_by_text("A worker is connected.")).to_be_visible(timeout=30_000)
        await expect(page.get_by_text("✓ Connected")).to_be_visible(timeout=SPACE_CHANGES_MS)
        await page.get_by_label("Prompt", exact=True).fill("roses are read")
        await page.keyboard.press("Control+Enter")
        await expect(page.get_by_text("ROSES ARE READ", exact=True)).to_be_visible()
    await expect(page.get_by_text("✗ Not connected")).to_be_visible(timeout=SPACE_CHANGES_MS)


async def test_a_space_that_lets_wait_takes_requests_before_a_worker_comes(
    visitor: Visitor, platform: Platform, admin_password: str
) -> None:
    space = platform.create_space("patient", policy={"when_offline": "queue"})
    await visitor.sign_in(ADMIN, admin_password, f"/spaces/{space['space_id']}")
    page = visitor.page
    await expect(page.get_by_text("The request waits for one.")).to_be_visible()
    await page.get_by_label("Prompt", exact=True).fill("hello")
    await page.get_by_role("button", name="Submit").click()
    request = page.get_by_role("region", name="Request", exact=True)
    await expect(request.get_by_text("No worker is connected: it starts")).to_be_visible()
    handler = str(Path(__file__).parents[1] / "support/handlers/scripted.py")
    await asyncio.to_thread(
        lambda: platform.start_worker("late", spaces=["patient"], handler=handler)
    )
    await expect(request.get_by_text("✓ Succeeded")).to_be_visible()
    await asyncio.to_thread(platform.stop_worker, "late")


async def test_a_request_that_takes_too_long_expires(
    visitor: Visitor, platform: Platform, admin_password: str
) -> None:
    # Two minutes unless the space says otherwise.
    space = platform.create_space("hurried", policy={"when_offline": "queue", "timeout_s": 1})
    await visitor.sign_in(ADMIN, admin_password, f"/spaces/{space['space_id']}")
    await visitor.page.get_by_label("Prompt", exact=True).fill("hello")
    await visitor.page.get_by_role("button", name="Submit").click()
    request = visitor.page.get_by_role("region", name="Request", exact=True)
    await expect(request.get_by_text("Expired")).to_be_visible()
    await expect(request.get_by_role("alert").locator("code")).to_be_visible()


async def test_two_spaces_of_one_name_are_refused_and_a_wrong_name_leads_nowhere(
    visitor: Visitor, platform: Platform, admin_password: str
) -> None:
    platform.create_space("taken")
    await visitor.sign_in(ADMIN, admin_password)
    page = visitor.page
    await page.get_by_role("button", name="Create space").first.click()
    await page.get_by_label("Name", exact=True).fill("taken")
    await page.get_by_role("dialog").get_by_role("button", name="Create space").click()
    await expect(page.get_by_role("alert")).to_contain_text("space_name_taken")
    await page.goto("/spaces/no-such-space")
    await expect(page.get_by_role("alert")).to_contain_text("space_not_found")


async def test_a_space_is_found_changed_disabled_and_deleted(
    visitor: Visitor, platform: Platform, admin_password: str
) -> None:
    for name in ("violets", "lilies"):
        platform.create_space(name, description=f"about {name}")
    await visitor.sign_in(ADMIN, admin_password)
    page = visitor.page
    await page.get_by_label("Search spaces").fill("VIOL about")
    await expect(page.get_by_role("article")).to_have_count(1)
    card = page.get_by_role("article", name="violets")
    await card.get_by_role("button", name="Edit").click()
    await page.get_by_text("Takes requests").click()
    await page.get_by_role("dialog").get_by_text("Image", exact=True).click()
    await page.get_by_role("button", name="Save").click()
    await expect(card.get_by_text("Disabled")).to_be_visible()
    await card.get_by_role("link", name="violets").click()
    await expect(page.get_by_text("This space is disabled")).to_be_visible()
    await expect(page.get_by_label("Choose images, or drop them here")).to_be_disabled()
    await page.get_by_role("button", name="Edit").click()
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("tooltip").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("article", name="lilies")).to_be_visible()
    await expect(page.get_by_role("article", name="violets")).to_have_count(0)


async def test_an_api_key_is_shown_once_works_and_is_revoked(
    visitor: Visitor, admin_password: str
) -> None:
    await visitor.sign_in(ADMIN, admin_password, "/account")
    page = visitor.page
    await page.get_by_role("button", name="New API key").click()
    await page.get_by_label("Name", exact=True).fill("nightly batch")
    await page.get_by_text("Only for some things").click()
    await page.get_by_role("dialog").get_by_text("spaces:read").click()
    await page.get_by_role("button", name="Make key").click()
    secret = await page.get_by_role("dialog").get_by_role("status").locator("code").inner_text()
    me = await page.evaluate(
        """async (key) => {
          const answer = await fetch('/api/me', {headers: {authorization: `Bearer ${key}`}});
          return answer.json();
        }""",
        secret,
    )
    assert me["permissions"] == ["spaces:read"]
    await page.get_by_role("dialog").get_by_role("button", name="Close", exact=True).click()
    row = page.get_by_role("row", name="nightly batch")
    await expect(row).not_to_contain_text(secret)
    await row.get_by_role("button", name="Revoke").click()
    await page.get_by_role("tooltip").get_by_role("button", name="Revoke").click()
    await expect(row).to_have_count(0)


async def test_a_login_is_ended_from_another_browser_and_comes_back_where_it_was(
    visitor: Visitor, platform: Platform, admin_password: str, browser: Browser
) -> None:
    other = await Visitor.arrive(browser, platform.gateway_url, language="zh", width=360)
    await visitor.sign_in(ADMIN, admin_password, "/account")
    await other.page.goto("/account")
    await other.page.get_by_label("邮箱或用户名").fill(ADMIN)
    await other.page.get_by_label("密码", exact=True).fill(admin_password)
    await other.page.get_by_role("button", name="登录").click()
    await expect(other.page.get_by_role("heading", name="账户")).to_be_visible()
    await visitor.page.reload()
    await visitor.page.get_by_role("button", name="Sign out there").first.click()
    await expect(visitor.page.get_by_text("That browser is signed out.")).to_be_visible()
    await other.page.get_by_role("button", name="新建 API 密钥").click()
    await other.page.reload()
    await expect(other.page.get_by_role("heading", name="登录")).to_be_visible()
    await other.leave()


async def test_language_and_theme_are_remembered(visitor: Visitor, admin_password: str) -> None:
    await visitor.sign_in(ADMIN, admin_password)
    page = visitor.page
    await page.get_by_role("button", name="中文").click()
    await expect(page.get_by_role("heading", name="空间", exact=True)).to_be_visible()
    await page.get_by_role("button", name="主题").click()
    await page.get_by_role("button", name="主题").click()
    await page.reload()
    await expect(page.get_by_role("heading", name="空间", exact=True)).to_be_visible()
    assert await page.evaluate("document.documentElement.className") == "dark"
    assert await page.evaluate("document.documentElement.lang") == "zh-CN"
