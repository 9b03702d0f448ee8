"""The source documents' scenarios in a browser: requests in a space, with a real worker."""

import asyncio
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.platform import Platform
from tests.web.visitor import ADMIN, SPACE_CHANGES_MS, Visitor

SCRIPTED = Path(__file__).parents[1] / "support/handlers/scripted.py"
ALL_INPUTS = ["prompt", "image", "audio", "video", "file"]


@pytest.fixture(scope="module")
def gates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A handler that holds goes on when its file is here."""
    return tmp_path_factory.mktemp("gates")


@pytest.fixture(scope="module")
def space(platform: Platform, gates: Path) -> Iterator[str]:
    """A served space's id."""
    made = platform.create_space("poems", inputs=ALL_INPUTS)
    platform.start_worker("w", spaces=["poems"], handler=str(SCRIPTED), env={"GATES": str(gates)})
    yield made["space_id"]
    platform.stop_worker("w")


@pytest.fixture
async def page(visitor: Visitor, admin_password: str, space: str) -> Page:
    """The space's page, signed in."""
    await visitor.sign_in(ADMIN, admin_password, f"/spaces/{space}")
    await expect(visitor.page.get_by_text("✓ Connected")).to_be_visible()
    return visitor.page


async def submit(page: Page, *lines: str) -> None:
    await page.get_by_label("Prompt", exact=True).fill("\n".join(lines))
    await page.get_by_role("button", name="Submit").click()


def shown(page: Page) -> Locator:
    """What becomes of the request, without what was asked."""
    return page.get_by_role("region", name="Request", exact=True).locator(".outcome")


async def test_a_request_and_its_result(page: Page) -> None:
    await submit(page, "say # Roses", "say are **read** <b>now</b>")
    request = shown(page)
    await expect(request.get_by_role("heading", name="Roses")).to_be_visible()
    await expect(request.locator("strong", has_text="read")).to_be_visible()
    await expect(request.get_by_text("<b>now</b>")).to_be_visible()  # shown, not obeyed
    await expect(request.get_by_text("✓ Succeeded")).to_be_visible()
    await expect(request.get_by_text("took")).to_be_visible()


HOSTILE = (
    "<script>document.title = 'broken in'</script>",
    "<img src=/icon.svg onload=\"document.title = 'broken in'\">",
    "[a link](javascript:document.title='broken')",
    "[data](data:text/html,<script>alert(1)</script>)",
    "![pixel](https://elsewhere.example/pixel.png)",
    "<style>body { display: none }</style>",
    "https://example.org/ is a link",
)


async def test_a_hostile_result_is_text_and_nothing_else(page: Page) -> None:
    await submit(page, *(f"say {line}" for line in HOSTILE), "say and **the end**")
    request = shown(page)
    await expect(request.locator("strong", has_text="the end")).to_be_visible()
    result = request.locator(".markdown")
    assert await result.locator("script, img, style, iframe, form, [onload], [style]").count() == 0
    link = result.get_by_role("link")
    await expect(link).to_have_count(1)
    await expect(link).to_have_attribute("href", "https://example.org/")
    await expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    assert "broken" not in await page.title()


async def test_three_tabs_at_once_are_served_in_order_and_each_gets_its_own(
    visitor: Visitor, page: Page, gates: Path
) -> None:
    tabs = [page]
    for _ in range(2):
        tabs.append(await visitor.context.new_page())
        await tabs[-1].goto(page.url)
    for number, tab in enumerate(tabs, start=1):
        await submit(tab, f"hold tabs-{number}", f"say result {number}")
        state = "▶ Running" if number == 1 else f"Place {number - 1} of"
        await expect(shown(tab).get_by_text(state)).to_be_visible()
    await expect(tabs[2].get_by_text("1 before it")).to_be_visible()
    for number, tab in enumerate(tabs, start=1):
        (gates / f"tabs-{number}").touch()
        request = shown(tab)
        await expect(request.get_by_text(f"result {number}")).to_be_visible()
        await expect(request.get_by_text("✓ Succeeded")).to_be_visible()
        for other in {1, 2, 3} - {number}:
            await expect(request.get_by_text(f"result {other}")).to_have_count(0)
    finished = [await shown(tab).get_by_text("✓ Succeeded").count() for tab in tabs]
    assert finished == [1, 1, 1]


async def test_an_image_and_a_sound_go_along_and_files_come_back(
    page: Page, tmp_path: Path
) -> None:
    with wave.open(str(tmp_path / "word.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        sound.writeframes(b"\0\0" * 800)
    picture = Path(__file__).parents[2] / "deploy/stack/src/spaces_stack/demo/samples/sign.png"
    await page.get_by_label("Choose images, or drop them here").set_input_files(picture)
    await page.get_by_label("Choose sounds, or drop them here").set_input_files(
        tmp_path / "word.wav"
    )
    await submit(page, "say both came", "files")
    request = shown(page)
    await expect(request.get_by_text("✓ Succeeded")).to_be_visible()
    came = request.locator("pre")
    for name, kind in (("sign.png", "image"), ("word.wav", "audio")):
        await expect(came).to_contain_text(name)
        await expect(came).to_contain_text(kind)
    drawn = request.get_by_role("img", name="drawn picture.png")
    await expect(drawn).to_be_visible()
    assert await drawn.evaluate("image => image.naturalWidth") == 64
    await expect(request.get_by_label("spoken.wav")).to_be_visible()
    async with page.expect_download() as downloading:
        await request.get_by_role("link", name="Download 报告 1.txt").click()
    download = await downloading.value
    assert download.suggested_filename == "报告 1.txt"
    path = await download.path()
    assert await asyncio.to_thread(path.read_text, encoding="utf-8") == "roses are read\n"


async def test_an_empty_prompt_is_not_sent(page: Page) -> None:
    await submit(page, "   ")
    await expect(page.get_by_role("alert")).to_contain_text("empty_prompt")
    await expect(shown(page)).to_have_count(0)


async def test_a_failure_keeps_what_came_before_it(page: Page) -> None:
    await submit(page, "say the first half", "fail out of paper")
    request = shown(page)
    await expect(request.get_by_role("alert")).to_contain_text("out of paper")
    await expect(request.get_by_role("alert").locator("code")).to_be_visible()
    await expect(request.get_by_text("the first half")).to_be_visible()
    await page.reload()
    await expect(request.get_by_text("the first half")).to_be_visible()
    await expect(request.get_by_role("alert")).to_contain_text("out of paper")


async def test_a_failed_request_is_sent_once_more(page: Page) -> None:
    await submit(page, "fail always")
    request = shown(page)
    await expect(request.get_by_role("alert")).to_contain_text("always")
    first = page.url
    await request.get_by_role("button", name="Retry").click()
    await expect(page).not_to_have_url(first)
    await expect(page.locator("blockquote")).to_contain_text("fail always")
    await expect(request.get_by_role("alert")).to_contain_text("always")


async def test_a_running_request_is_cancelled(page: Page) -> None:
    await submit(page, "progress 40 reading roses", "hold never")
    request = shown(page)
    await expect(request.get_by_text("reading roses")).to_be_visible()
    await expect(request.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "40")
    await request.get_by_role("button", name="Cancel").click()
    await expect(request.locator(".tag.cancelled")).to_be_visible()


async def test_a_reload_in_the_middle_goes_on_where_it_was(page: Page, gates: Path) -> None:
    await submit(page, "say before the reload", "hold reload", "say after the reload")
    request = shown(page)
    await expect(request.get_by_text("before the reload")).to_be_visible()
    await page.reload()
    await expect(request.get_by_text("before the reload")).to_be_visible()
    await expect(request.get_by_text("▶ Running")).to_be_visible()
    (gates / "reload").touch()
    await expect(request.get_by_text("after the reload")).to_be_visible()
    await expect(request.get_by_text("before the reload")).to_have_count(1)


async def test_a_lost_network_is_told_apart_from_a_lost_worker(
    visitor: Visitor, page: Page, gates: Path
) -> None:
    await submit(page, "say before the loss", "hold loss", "say after the loss")
    request = shown(page)
    await expect(request.get_by_text("before the loss")).to_be_visible()
    await visitor.cut_off(True)
    await expect(page.get_by_text("No connection to the gateway.")).to_be_visible(timeout=20_000)
    await expect(page.get_by_text("? Unknown")).to_be_visible()
    await expect(page.get_by_text("✗ Not connected")).to_have_count(0)
    (gates / "loss").touch()
    await visitor.cut_off(False)
    await expect(request.get_by_text("after the loss")).to_be_visible()
    await expect(request.get_by_text("before the loss")).to_have_count(1)
    await expect(page.get_by_text("No connection to the gateway.")).to_have_count(0)


async def test_a_stopped_worker_shows_at_once_and_so_does_its_return(
    page: Page, platform: Platform, gates: Path, space: str
) -> None:
    await asyncio.to_thread(platform.stop_worker, "w")
    await expect(page.get_by_text("✗ Not connected")).to_be_visible(timeout=SPACE_CHANGES_MS)
    button = page.get_by_role("button", name="Submit")
    await expect(button).to_be_disabled(timeout=SPACE_CHANGES_MS)
    await expect(page.get_by_text("Remote app not connected")).to_be_visible()
    refused = await page.evaluate(
        """async (space) => {
          const token = (await (await fetch('/auth/jwt/refresh', {method: 'POST'})).json()).access_token;
          const answer = await fetch(`/api/spaces/${space}/requests`, {method: 'POST', body: '{"prompt": "hi"}',
            headers: {'content-type': 'application/json', authorization: `Bearer ${token}`}});
          return (await answer.json()).code;
        }""",
        space,
    )
    assert refused == "worker_not_connected"
    await asyncio.to_thread(
        lambda: platform.start_worker(
            "w", spaces=["poems"], handler=str(SCRIPTED), env={"GATES": str(gates)}
        )
    )
    await expect(page.get_by_text("✓ Connected")).to_be_visible(timeout=SPACE_CHANGES_MS)
    await expect(button).to_be_enabled(timeout=SPACE_CHANGES_MS)
    await submit(page, "say back again")
    await expect(shown(page).get_by_text("back again")).to_be_visible()


async def test_a_killed_gateway_in_the_middle_loses_nothing(
    page: Page, platform: Platform, gates: Path
) -> None:
    await submit(page, "say before the kill", "hold kill", "say after the kill")
    request = shown(page)
    await expect(request.get_by_text("before the kill")).to_be_visible()
    await asyncio.to_thread(platform.kill, "gateway")
    await expect(page.get_by_text("No connection to the gateway.")).to_be_visible()
    await asyncio.to_thread(platform.revive, "gateway")
    (gates / "kill").touch()
    await expect(request.get_by_text("after the kill")).to_be_visible(timeout=30_000)
    await expect(request.get_by_text("before the kill")).to_have_count(1)
    await expect(request.get_by_text("✓ Succeeded")).to_be_visible()
