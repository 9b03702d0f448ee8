"""Somebody with a browser: what every scenario does, and what no page may do."""

import re
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, Page, expect

ADMIN = "admin@spaces.internal"
WAIT_MS = 10_000
# How soon a page shows that a worker came or went.
SPACE_CHANGES_MS = 3_000


@dataclass
class Visitor:
    """One browser context; pages are its tabs."""

    context: BrowserContext
    page: Page
    url: str
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    @classmethod
    async def arrive(
        cls, browser: Browser, url: str, *, language: str = "en", width: int = 1280
    ) -> Self:
        """Opens a browser window; nothing is loaded yet."""
        context = await browser.new_context(
            base_url=url,
            locale={"en": "en-GB", "zh": "zh-CN"}[language],
            viewport={"width": width, "height": 800},
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(WAIT_MS)
        expect.set_options(timeout=WAIT_MS)
        visitor = cls(context, await context.new_page(), url)
        context.on("request", lambda request: visitor._seen(request.url))
        context.on("weberror", lambda error: visitor.errors.append(str(error.error)))
        context.on("console", lambda said: visitor._said(said.type, said.text))
        return visitor

    async def sign_in(self, name: str, password: str, path: str = "/") -> None:
        """As a person does it, on the way to a page."""
        await self.page.goto(path)
        await self.page.get_by_label("Email or username").fill(name)
        await self.page.get_by_label("Password", exact=True).fill(password)
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.page.get_by_role("navigation", name="Main navigation")).to_be_visible()
        await expect(self.page).not_to_have_url(re.compile("/sign-in"))

    async def cut_off(self, cut: bool) -> None:
        """Takes the network away, or gives it back. Open sockets are cut by what the browser notices itself."""
        await self.context.set_offline(cut)

    async def leave(self) -> None:
        """Closes the window. AssertionError when a page broke a promise."""
        await self.context.close()
        assert self.errors == []
        assert self.strangers == []

    def _seen(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.netloc != urlsplit(self.url).netloc:
            self.strangers.append(url)

    def _said(self, kind: str, text: str) -> None:
        # Browsers log each failed call by themselves. What the page logs, and what breaks the policy, counts.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.errors.append(text)
