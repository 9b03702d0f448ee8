"""A smoke in the system's Firefox, in Chinese: what people do most, with a real worker."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.eventually import eventually
from tests.support.platform import Platform
from tests.web.firefox import Firefox, Tab, firefox
from tests.web.visitor import ADMIN, SPACE_CHANGES_MS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
SCRIPTED = str(Path(__file__).parents[1] / "support/handlers/scripted.py")
SPACE_CHANGES_S = SPACE_CHANGES_MS / 1000
OUTCOME = ".outcome"


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A handler that holds goes on when its file is here."""
    return tmp_path_factory.mktemp("gates")


def start_worker(platform: Platform, gates: Path) -> None:
    platform.start_worker("w", spaces=["poems"], handler=SCRIPTED, env={"GATES": str(gates)})


@pytest.fixture(scope="module")
def space(platform: Platform, gates: Path) -> Iterator[str]:
    """A served space's id."""
    made = platform.create_space("poems", description="Roses are read")
    start_worker(platform, gates)
    yield made["space_id"]
    platform.stop_worker("w")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Firefox]:
    program = firefox()
    if program is None:
        pytest.skip("no Firefox is found: apt install firefox-esr, or set SPACES_TEST_FIREFOX")
    async with Firefox.running(program, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def tab(browser: Firefox, platform: Platform, space: str) -> AsyncIterator[Tab]:
    """Signed in, before the spaces."""
    tab = await browser.tab("zh-CN")
    await tab.open(platform.gateway_url)
    await tab.write("邮箱或用户名", ADMIN)
    await tab.write("密码", (platform.folder / "admin-password").read_text().strip())
    await tab.click("button", "登录")
    await tab.sees("Roses are read")
    yield tab
    await tab.close()
    assert browser.errors == []


async def submit(tab: Tab, *lines: str) -> None:
    await tab.write("提示词", "\n".join(lines))
    await tab.click("button", "提交")


async def test_a_result_streams_and_a_reload_in_the_middle_goes_on(tab: Tab, gates: Path) -> None:
    await tab.click("link", "poems")
    await tab.sees("✓ 已连接")
    await submit(tab, "say first half", "hold reload", "say second half")
    await tab.sees("first half", OUTCOME)
    await tab.reload()
    await tab.sees("first half", OUTCOME)
    await tab.sees("▶ 运行中", OUTCOME)
    (gates / "reload").touch()
    await tab.sees("second half", OUTCOME)
    await tab.sees("✓ 成功", OUTCOME)
    assert (await tab.text(OUTCOME)).count("first half") == 1


async def test_a_running_request_is_cancelled(tab: Tab) -> None:
    await tab.click("link", "poems")
    await submit(tab, "progress 40 reading roses", "hold never")
    await tab.sees("reading roses", OUTCOME)
    await tab.click("button", "取消")
    await tab.sees("已取消", f"{OUTCOME} .tag")


async def test_a_worker_that_stops_and_returns_shows_without_a_reload(
    tab: Tab, platform: Platform, gates: Path
) -> None:
    await tab.click("link", "poems")
    await tab.sees("✓ 已连接")
    await asyncio.to_thread(platform.stop_worker, "w")
    await tab.sees("✗ 未连接", timeout_s=SPACE_CHANGES_S)
    await eventually(lambda: tab.is_disabled("button", "提交"), SPACE_CHANGES_S)
    await asyncio.to_thread(start_worker, platform, gates)
    await tab.sees("✓ 已连接", timeout_s=SPACE_CHANGES_S)
    await submit(tab, "say back again")
    await tab.sees("back again", OUTCOME)
    await tab.sees("✓ 成功", OUTCOME)
