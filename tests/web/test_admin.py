"""The admin's pages: workers, queues, people, limits, tokens, the audit log and the platform's health."""

from pathlib import Path

import httpx2
from playwright.async_api import expect

from tests.support.platform import Platform
from tests.web.visitor import ADMIN, Visitor

HANDLER = str(Path(__file__).parents[1] / "support/handlers/echo.py")


async def test_a_worker_is_listed_drained_and_disconnected(
    visitor: Visitor, platform: Platform, admin_password: str
) -> None:
    platform.create_space("worked")
    platform.start_worker("one", spaces=["worked"], handler=f"{HANDLER}:handler")
    await visitor.sign_in(ADMIN, admin_password, "/admin/workers")
    page = visitor.page
    row = page.get_by_role("row").filter(has_text="default/worked")
    await expect(row).to_contain_text("Live")
    await expect(row).to_contain_text("0 of 1")
    await row.get_by_role("button", name="Disconnect").click()
    await page.get_by_role("tooltip").get_by_role("button", name="Disconnect").click()
    await expect(page.get_by_text("Disconnected.")).to_be_visible()
    platform.stop_worker("one")


async def test_a_full_queue_leads_to_its_requests(
    visitor: Visitor, platform: Platform, admin_password: str
) -> None:
    space = platform.create_space("waiting", policy={"when_offline": "queue"})
    bearer = {"Authorization": f"Bearer {platform.admin_key}"}
    for _ in range(2):
        httpx2.post(
            f"{platform.gateway_url}/api/spaces/{space['space_id']}/requests",
            json={"prompt": "hello"},
            headers=bearer,
            trust_env=False,
        ).raise_for_status()
    await visitor.sign_in(ADMIN, admin_password, "/admin/queues")
    page = visitor.page
    row = page.get_by_role("row").filter(has_text="default/waiting")
    await expect(row.get_by_role("cell").nth(1)).to_have_text("2")
    await row.get_by_role("link").click()
    await expect(page.get_by_role("table", name="Requests").get_by_text("Queued")).to_have_count(2)


async def test_somebody_is_invited_promoted_and_shut_out(
    visitor: Visitor, platform: Platform, admin_password: str
) -> None:
    await visitor.sign_in(ADMIN, admin_password, "/admin/people")
    page = visitor.page
    await page.get_by_label("For the email").fill("ada@example.org")
    await page.get_by_role("button", name="Invite").click()
    secret = await page.locator(".secret code").inner_text()
    body = {"email": "ada@example.org", "password": "nine sheep on a hill", "invite": secret}
    httpx2.post(
        f"{platform.gateway_url}/auth/register", json=body, trust_env=False
    ).raise_for_status()
    await page.reload()
    await page.get_by_label("Role of ada@example.org").select_option("owner")
    await expect(page.get_by_text("It takes effect at once")).to_be_visible()
    row = page.get_by_role("row").filter(has_text="ada@example.org")
    await row.get_by_role("button", name="Disable").click()
    await page.get_by_role("tooltip").get_by_role("button", name="Disable").click()
    await expect(row).to_contain_text("Disabled")


async def test_a_tenants_limits_are_set_and_what_is_used_is_shown(
    visitor: Visitor, admin_password: str
) -> None:
    await visitor.sign_in(ADMIN, admin_password, "/admin/tenants")
    page = visitor.page
    field = page.get_by_role("spinbutton", name="Requests a minute")
    await field.fill("600")
    await page.get_by_role("button", name="Save limits").click()
    await expect(page.get_by_text("The limits hold from now on.")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("spinbutton", name="Requests a minute")).to_have_value("600")


async def test_a_worker_token_is_made_shown_once_and_revoked_and_the_log_knows(
    visitor: Visitor, platform: Platform, admin_password: str
) -> None:
    platform.create_space("tokened")
    await visitor.sign_in(ADMIN, admin_password, "/admin/tokens")
    page = visitor.page
    await page.get_by_label("Name").fill("rack 7")
    await page.get_by_role("listbox", name="Spaces").select_option(label="default/tokened")
    await page.get_by_role("button", name="Make token").click()
    await expect(page.locator(".secret code")).not_to_be_empty()
    row = page.get_by_role("row").filter(has_text="rack 7")
    await row.get_by_role("button", name="Revoke").click()
    await page.get_by_role("tooltip").get_by_role("button", name="Revoke").click()
    await expect(row).to_have_count(0)
    await page.get_by_role("link", name="Audit log").click()
    await expect(page.get_by_role("row").filter(has_text="RevokeCredential").first).to_be_visible()


async def test_the_system_page_shows_every_part_and_what_is_away(
    visitor: Visitor, platform: Platform, admin_password: str
) -> None:
    await visitor.sign_in(ADMIN, admin_password, "/admin/system")
    page = visitor.page
    table = page.get_by_role("region", name="Processes")
    for service in ("gateway", "registry", "scheduler"):
        await expect(table.get_by_role("row").filter(has_text=service).first).to_contain_text(
            "Live", timeout=8_000
        )
    await expect(page.get_by_role("heading", name="PostgreSQL")).to_be_visible()
    await expect(page.get_by_role("img", name="Requests a minute")).to_be_visible()
    platform.kill("scheduler")
    try:
        row = table.get_by_role("row").filter(has_text="scheduler").first
        await expect(row).to_contain_text("Silent", timeout=20_000)
    finally:
        platform.revive("scheduler")
