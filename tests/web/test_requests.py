"""The list of requests: found, live, opened, retried and cancelled in a browser."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from playwright.async_api import Page, Route, expect
from pydantic import SecretStr

from spaces_chassis.bus import Bus
from spaces_chassis.settings import BusSettings
from spaces_contracts.identifiers import new_id
from spaces_contracts.request_changes import RequestChange, RequestsChanged
from spaces_contracts.requests import RequestState
from spaces_stack.state_dir import StateDir
from tests.support.platform import Platform
from tests.web.visitor import ADMIN, Visitor


class Sender:
    """Sends requests over HTTP as the admin."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.http = httpx2.Client(
            base_url=platform.gateway_url,
            headers={"Authorization": f"Bearer {platform.admin_key}"},
            trust_env=False,
            timeout=30,
        )

    def space(self, name: str, **policy: Any) -> str:
        made = self._platform.create_space(name, policy={"when_offline": "queue"} | policy)
        return str(made["space_id"])

    def send(self, space: str, prompt: str = "hello") -> str:
        answer = self.http.post(f"/api/spaces/{space}/requests", json={"prompt": prompt})
        return str(answer.raise_for_status().json()["request_id"])

    def cancel(self, request_id: str) -> None:
        self.http.post(f"/api/requests/{request_id}/cancel").raise_for_status()


@pytest.fixture
def sender(platform: Platform) -> Iterator[Sender]:
    sender = Sender(platform)
    yield sender
    sender.http.close()


def tail(request_id: str) -> str:
    return f"…{request_id[-8:]}"


async def test_requests_are_found_by_state_and_space_and_the_address_keeps_the_filter(
    visitor: Visitor, sender: Sender, admin_password: str
) -> None:
    poems, songs = sender.space("poems"), sender.space("songs")
    gone, waits, other = sender.send(poems), sender.send(poems), sender.send(songs)
    sender.cancel(gone)
    await visitor.sign_in(ADMIN, admin_password, "/requests")
    page = visitor.page
    table = page.get_by_role("table", name="Requests")
    for one in (gone, waits, other):
        await expect(table.get_by_text(tail(one))).to_be_visible()
    await page.get_by_role("combobox", name="Space", exact=True).select_option(poems)
    await expect(table.get_by_text(tail(other))).to_have_count(0)
    await page.get_by_role("checkbox", name="Cancelled").check()
    await expect(table.get_by_text(tail(waits))).to_have_count(0)
    await expect(table.get_by_text(tail(gone))).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("table", name="Requests").get_by_text(tail(gone))).to_be_visible()
    await page.get_by_role("button", name="Show all").click()
    await expect(
        page.get_by_role("table", name="Requests").get_by_text(tail(other))
    ).to_be_visible()


async def test_new_requests_and_their_ends_appear_by_themselves(
    visitor: Visitor, sender: Sender, admin_password: str
) -> None:
    space = sender.space("live")
    sender.send(space)
    await visitor.sign_in(ADMIN, admin_password, f"/requests?space={space}")
    page = visitor.page
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    request_id = sender.send(space)
    row = page.get_by_role("row").filter(has_text=tail(request_id))
    await expect(row).to_contain_text("Queued", timeout=3_000)
    sender.cancel(request_id)
    await expect(row).to_contain_text("Cancelled", timeout=3_000)


async def test_a_request_tells_its_story_and_is_retried_and_copied(
    visitor: Visitor, sender: Sender, admin_password: str
) -> None:
    space = sender.space("story")
    request_id = sender.send(space, "tell me a story")
    await visitor.sign_in(ADMIN, admin_password, f"/requests/{request_id}")
    page = visitor.page
    line = page.get_by_role("list", name="Timeline")
    await expect(line).to_contain_text("Accepted and queued")
    await expect(line).to_contain_text("Waits in the queue")
    await expect(page.get_by_role("region", name="Prompt")).to_have_text("tell me a story")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("heading", name="Why it did not succeed")).to_be_visible()
    await expect(line).to_contain_text("Cancelled")
    await page.get_by_role("button", name="Copy as curl").click()
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert f"/api/spaces/{space}/requests" in copied
    assert '"prompt":"tell me a story"' in copied
    await page.get_by_role("button", name="Retry").click()
    await expect(page.get_by_text("A retry of")).to_be_visible()
    await expect(page.get_by_role("region", name="Prompt")).to_have_text("tell me a story")


async def test_all_that_a_filter_names_is_cancelled_and_retried(
    visitor: Visitor, sender: Sender, admin_password: str
) -> None:
    space = sender.space("many")
    for _ in range(3):
        sender.send(space)
    await visitor.sign_in(ADMIN, admin_password, f"/requests?space={space}")
    page = visitor.page
    await page.get_by_role("button", name="Cancel all of these").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("in the space many")
    await dialog.get_by_role("button", name="Cancel all of these").click()
    await expect(dialog).to_contain_text("3 of 3 done")
    await dialog.get_by_role("button", name="Close", exact=True).click()
    await page.get_by_role("button", name="Retry all of these").click()
    await dialog.get_by_role("button", name="Retry all of these").click()
    await expect(dialog).to_contain_text("3 of 3 done")
    await dialog.get_by_role("button", name="Close", exact=True).click()
    await expect(page.get_by_role("cell", name="Queued")).to_have_count(3)


SECONDS = 5.0
STATES = (RequestState.QUEUED, RequestState.RUNNING, RequestState.SUCCEEDED)
A_MOMENT = "new Promise((done) => setTimeout(done, 100))"
LONG_TASKS = """() => {
  window.longest = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
  }).observe({ type: 'longtask', buffered: false });
}"""


async def test_a_thousand_changes_a_second_do_not_freeze_the_list(
    visitor: Visitor, platform: Platform, sender: Sender, admin_password: str
) -> None:
    space = sender.space("busy")
    tenant = sender.http.get(f"/api/spaces/{space}").raise_for_status().json()["tenant_id"]
    await visitor.sign_in(ADMIN, admin_password, f"/requests?space={space}")
    page = visitor.page
    await expect(page.get_by_text("Live", exact=True)).to_be_visible()
    scheduler = BusyScheduler(platform, space, tenant)
    await scheduler.start()
    await page.route("**/api/requests?*", scheduler.answer)
    await page.evaluate(LONG_TASKS)
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        while (passed := clock() - began) < SECONDS:
            await scheduler.tell(min(400, int(passed * 1_000) - scheduler.told + 1))
            await page.evaluate(A_MOMENT)
    finally:
        await scheduler.stop()
    told_a_second = scheduler.told / (clock() - began)
    await expect(page.get_by_role("cell", name="Queued").first).to_be_visible()
    assert await rendered(page) < 100
    longest = await page.evaluate("window.longest")
    assert told_a_second > 900
    assert longest <= 200, f"a task of {longest} ms"


async def rendered(page: Page) -> int:
    """Rows that are in the page at all."""
    return await page.get_by_role("table", name="Requests").get_by_role("row").count()


class BusyScheduler:
    """What a scheduler would tell of requests that come, run and end, as fast as is wanted."""

    def __init__(self, platform: Platform, space_id: str, tenant_id: str) -> None:
        password = StateDir(platform.folder).secrets.get("nats-scheduler")
        self._bus = Bus.from_settings(
            BusSettings(
                nats_url=platform.processes.describe().nats_url,
                nats_user="scheduler",
                nats_password=SecretStr(password),
            ),
            name="busy scheduler",
        )
        self._space_id = space_id
        self._tenant_id = tenant_id
        self._open: list[tuple[str, int]] = []
        self._states: dict[str, RequestState] = {}
        self.told = 0

    async def start(self) -> None:
        await self._bus.start()

    async def stop(self) -> None:
        await self._bus.stop()

    async def tell(self, count: int) -> None:
        """So many changes, each of another request."""
        changes: list[RequestChange] = []
        for _ in range(count):
            request_id, stage = self._open.pop(0) if len(self._open) > 400 else (new_id(), 0)
            changes.append(change(request_id, STATES[stage]))
            self._states[request_id] = STATES[stage]
            if stage < 2:
                self._open.append((request_id, stage + 1))
        self.told += count
        await self._bus.publish(
            RequestsChanged(space_id=self._space_id, tenant_id=self._tenant_id, changes=changes)
        )
        await self._bus.flush()

    async def answer(self, route: Route) -> None:
        """What the list would be: none of these requests is stored anywhere."""
        newest = sorted(self._states, reverse=True)[:100]
        rows = [
            {
                "request_id": one,
                "state": self._states[one],
                "space_id": self._space_id,
                "tenant_id": self._tenant_id,
                "space_name": "busy",
                "created_at": datetime.now(UTC).isoformat(),
                "made_by": {"principal_id": one, "kind": "user", "name": "ada"},
            }
            for one in newest
        ]
        await route.fulfill(json={"requests": rows, "next_cursor": newest[-1]})


def change(request_id: str, state: RequestState) -> RequestChange:
    return RequestChange(
        request_id=request_id,
        state=state,
        attempt=int(state is not RequestState.QUEUED),
        at=datetime.now(UTC),
    )
