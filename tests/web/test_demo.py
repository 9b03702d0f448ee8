"""`make demo` as a newcomer meets it: what it says on the terminal, and three clicks to what a real model read."""

import asyncio
import os
import pty
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from spaces_stack.demo.catalogue import IMAGE_LINES
from spaces_stack.platform import command
from tests.web.ending import ending_with_us
from tests.web.visitor import Visitor

pytestmark = pytest.mark.timeout(300)
STARTS_WITHIN_S = 180  # three models, on a machine that does other things as well
READS_WITHIN_MS = 30_000


@dataclass(frozen=True)
class Said:
    """What a person takes from the terminal."""

    url: str
    name: str
    password: str


@pytest.fixture
def folder() -> Iterator[Path]:
    """PostgreSQL's user must be able to enter it."""
    folder = Path(tempfile.mkdtemp(prefix="spaces-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def demo(folder: Path) -> AsyncIterator[Said]:
    """The command on a terminal of its own, until Ctrl-C."""
    ours, its = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *ending_with_us(signal.SIGINT, command("spaces-stack"), "demo"),
        env=os.environ | {"SPACES_STATE_DIR": str(folder / "state"), "NO_COLOR": "1"},
        cwd=folder,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    terminal = Terminal(ours)
    try:
        yield await asyncio.wait_for(terminal.said(), STARTS_WITHIN_S)
    finally:
        process.send_signal(signal.SIGINT)
        code = await process.wait()
        terminal.close()
    assert code == 0


class Terminal:
    """Reads until the end, so that the command never waits for its reader."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = ""
        self._came = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._take)

    async def said(self) -> Said:
        """When it says that it is ready, and how to go on."""
        while not (
            found := re.search(
                r"ready: (http\S+).*?sign in as (\S+), password: (\S+)\r", self._text, re.DOTALL
            )
        ):
            self._came.clear()
            await self._came.wait()
            assert self._descriptor >= 0, self._text
        return Said(*found.groups())

    def close(self) -> None:
        """May be called twice."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        self._came.set()

    def _take(self) -> None:
        try:
            self._text += os.read(self._descriptor, 65_536).decode(errors="replace")
        except OSError:  # the command has ended
            self.close()
        self._came.set()


async def test_three_clicks_after_signing_in_a_newcomer_reads_what_the_model_read(
    browser: Browser, demo: Said
) -> None:
    visitor = await Visitor.arrive(browser, demo.url)
    await visitor.sign_in(demo.name, demo.password)
    page = visitor.page
    await page.get_by_role("link", name="image-to-text").click()
    await page.get_by_role("button", name="Use a sample picture").click()
    await page.get_by_role("button", name="Submit").click()
    read = page.get_by_role("region", name="Request", exact=True).locator(".outcome")
    await expect(read.get_by_text("✓ Succeeded")).to_be_visible(timeout=READS_WITHIN_MS)
    for line in IMAGE_LINES:
        await expect(read.locator(".markdown")).to_contain_text(line)
    await visitor.leave()
