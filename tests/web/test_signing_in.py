"""Who comes in, and what the first page shows."""

from playwright.async_api import expect

from tests.support.platform import Platform
from tests.web.visitor import ADMIN, Visitor


async def test_who_signs_in_sees_the_spaces(
    visitor: Visitor, platform: Platform, admin_password: str
) -> None:
    platform.create_space("poems", description="Roses are read")
    await visitor.sign_in(ADMIN, admin_password)
    await expect(visitor.page.get_by_role("heading", name="poems")).to_be_visible()
    await expect(visitor.page).to_have_url(f"{visitor.url}/spaces")


async def test_a_reload_keeps_the_login_and_the_page(visitor: Visitor, admin_password: str) -> None:
    await visitor.sign_in(ADMIN, admin_password)
    await visitor.page.reload()
    await expect(visitor.page.get_by_role("heading", name="Spaces", exact=True)).to_be_visible()


async def test_who_is_signed_in_is_not_asked_again(visitor: Visitor, admin_password: str) -> None:
    await visitor.sign_in(ADMIN, admin_password)
    await visitor.page.goto("/sign-in?next=/account")
    await expect(visitor.page.get_by_role("heading", name="Account")).to_be_visible()


async def test_a_wrong_password_is_told_with_its_code(visitor: Visitor) -> None:
    await visitor.page.goto("/spaces")
    await visitor.page.get_by_label("Email or username").fill("nobody")
    await visitor.page.get_by_label("Password", exact=True).fill("nothing at all")
    await visitor.page.get_by_role("button", name="Sign in").click()
    await expect(visitor.page.get_by_role("alert")).to_contain_text("login_failed")


async def test_a_login_survives_pages_that_are_left_in_the_middle(
    visitor: Visitor, admin_password: str
) -> None:
    await visitor.sign_in(ADMIN, admin_password)
    page = visitor.page
    for _ in range(10):
        # Left as soon as the exchange of the cookie has begun: its answer comes to nobody.
        async with page.expect_request("**/auth/jwt/refresh"):
            await page.evaluate("location.reload()")
    await page.goto("/account")
    await expect(page.get_by_role("heading", name="Account")).to_be_visible()
