"""A private space and a cover, as people see them: one who may, and one who does not know of it."""

import struct
import zlib
from pathlib import Path
from typing import Any

import httpx2
from playwright.async_api import Browser, expect

from tests.support.platform import Platform
from tests.web.visitor import ADMIN, Visitor

PASSWORD = "nine sheep on a hill"


def picture(side: int = 24) -> bytes:
    """A red square as PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\xc0\x20\x20" * side) * side
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def call(platform: Platform, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Something that the admin does beside the browser."""
    headers = {"authorization": f"Bearer {platform.admin_key}"}
    url = platform.gateway_url + path
    return (
        httpx2.request(method, url, json=body, headers=headers, trust_env=False)
        .raise_for_status()
        .json()
    )


async def member(platform: Platform, browser: Browser, email: str) -> Visitor:
    """A member of the first tenant, signed in, with a browser of their own."""
    tenant = call(platform, "GET", "/api/tenants")["tenants"][0]["tenant_id"]
    invite = call(platform, "POST", "/api/invites", {"tenant_id": tenant, "role": "member"})
    body = {"email": email, "password": PASSWORD, "invite": invite["secret"]}
    call(platform, "POST", "/auth/register", body)
    visitor = await Visitor.arrive(browser, platform.gateway_url, language="zh", width=360)
    page = visitor.page
    await page.goto("/spaces")
    await page.get_by_label("邮箱或用户名").fill(email)
    await page.get_by_label("密码", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="登录").click()
    await expect(page.get_by_role("heading", name="空间", exact=True)).to_be_visible()
    return visitor


async def test_a_space_becomes_private_before_the_eyes_of_a_member_and_comes_back(
    visitor: Visitor, platform: Platform, admin_password: str, browser: Browser
) -> None:
    space = platform.create_space("plans", policy={"when_offline": "queue"})
    await visitor.sign_in(ADMIN, admin_password)
    other = await member(platform, browser, "eve@example.org")
    card = visitor.page.get_by_role("article", name="plans")
    theirs = other.page.get_by_role("article", name="plans")
    await expect(theirs.get_by_text("✗ 未连接")).to_be_visible()

    await card.get_by_role("button", name="Edit").click()
    dialog = visitor.page.get_by_role("dialog")
    await expect(dialog.get_by_text("Everybody in the tenant sees the space")).to_be_visible()
    await dialog.get_by_text("Private", exact=True).click()
    await expect(dialog.get_by_text("Only who made it, the tenant's owners")).to_be_visible()
    await dialog.get_by_role("button", name="Save").click()
    await expect(card.get_by_text("Private")).to_be_visible()
    # The page of the member lists its spaces again as it comes back, which it does by itself.
    await expect(theirs).to_have_count(0)
    await other.page.goto(f"/spaces/{space['space_id']}")
    await expect(other.page.get_by_role("alert")).to_contain_text("space_not_found")

    await visitor.page.reload()
    await expect(card.get_by_text("Private")).to_be_visible()
    await card.get_by_role("link", name="plans").click()
    head = visitor.page.locator(".head")
    await expect(head.get_by_text("Private")).to_be_visible()
    await visitor.page.get_by_role("button", name="Edit").click()
    await dialog.get_by_text("Everybody in the tenant", exact=True).click()
    await dialog.get_by_role("button", name="Save").click()
    await expect(head.get_by_text("Private")).to_have_count(0)
    await other.page.goto("/spaces")
    await expect(theirs).to_be_visible()
    await other.leave()


async def test_a_page_that_is_open_is_closed_to_who_does_not_see_the_space_any_more(
    platform: Platform, browser: Browser
) -> None:
    space = platform.create_space("drafts", policy={"when_offline": "queue"})
    other = await member(platform, browser, "bob@example.org")
    await other.page.goto(f"/spaces/{space['space_id']}")
    await expect(other.page.get_by_role("heading", name="drafts")).to_be_visible()
    call(platform, "PATCH", f"/api/spaces/{space['space_id']}", {"visibility": "private"})
    await expect(other.page.get_by_role("alert")).to_contain_text("space_not_found")
    await expect(other.page.get_by_role("heading", name="drafts")).to_have_count(0)
    await other.leave()


async def test_a_cover_is_chosen_seen_after_a_reload_and_taken_away(
    visitor: Visitor, admin_password: str, tmp_path: Path
) -> None:
    (tmp_path / "red.png").write_bytes(picture())
    (tmp_path / "words.txt").write_text("no picture")
    (tmp_path / "lie.png").write_text("no picture either")
    await visitor.sign_in(ADMIN, admin_password)
    page = visitor.page
    await page.get_by_role("button", name="Create space").first.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name", exact=True).fill("paintings")
    choose = dialog.get_by_label("Choose a picture")
    await choose.set_input_files(tmp_path / "words.txt")
    await expect(dialog.get_by_role("alert")).to_contain_text("no PNG, JPEG or WebP")
    # A browser believes names; the gateway looks inside. The space is made all the same, and is not made twice.
    await choose.set_input_files(tmp_path / "lie.png")
    await dialog.get_by_role("button", name="Create space").click()
    await expect(dialog.get_by_role("alert")).to_contain_text("file_type_mismatch")
    await choose.set_input_files(tmp_path / "red.png")
    await expect(dialog.locator(".cover img")).to_be_visible()
    await dialog.get_by_role("button", name="Create space").click()
    await expect(page.get_by_role("heading", name="paintings")).to_be_visible()
    await expect(page.locator(".head .cover img")).to_be_visible()

    await page.goto("/spaces")
    card = page.get_by_role("article", name="paintings")
    await expect(card.locator(".cover img")).to_be_visible()
    await page.reload()
    await expect(card.locator(".cover img")).to_be_visible()
    colour = await card.locator(".cover img").evaluate(
        """(img) => {
          const canvas = document.createElement('canvas');
          const paint = canvas.getContext('2d');
          paint.drawImage(img, 0, 0);
          return [...paint.getImageData(3, 3, 1, 1).data];
        }"""
    )
    assert colour == [0xC0, 0x20, 0x20, 0xFF]

    await card.get_by_role("button", name="Edit").click()
    await dialog.get_by_role("button", name="Remove").click()
    await dialog.get_by_role("button", name="Save").click()
    await expect(card.locator(".cover img")).to_have_count(0)
    await page.reload()
    await expect(card.locator(".cover")).to_have_text("PA")
