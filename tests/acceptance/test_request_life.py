"""How requests are ordered, how they end when they do not succeed, and what the kept routes and events tell."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.api import Api
from tests.support.platform import Platform

HANDLERS = Path(__file__).parents[1] / "support/handlers/echo.py"


@pytest.fixture(scope="module")
def echo(platform: Platform) -> Iterator[str]:
    """A space with one slot that echoes."""
    space_id = platform.create_space("echo", policy={"when_offline": "queue"})["space_id"]
    platform.start_worker("echo", spaces=[space_id], handler=str(HANDLERS))
    yield space_id
    platform.stop_worker("echo")


@pytest.fixture(scope="module")
def count(platform: Platform) -> Iterator[str]:
    """A space that streams numbers."""
    space_id = platform.create_space("count")["space_id"]
    platform.start_worker("count", spaces=[space_id], handler=f"{HANDLERS}:count")
    yield space_id
    platform.stop_worker("count")


async def end_of(admin: Api, space: str, **body: Any) -> tuple[str, str, str]:
    """State, code and text of a request that does not succeed."""
    request = await admin.ended((await admin.submit(space, **body))["request_id"])
    return request["state"], request["error"]["code"], request["error"]["message"]


async def test_higher_priority_first_and_equals_in_order_of_arrival(
    platform: Platform, admin: Api
) -> None:
    space_id = platform.create_space("ranks", policy={"when_offline": "queue"})["space_id"]
    ranks = [0, -5, 10, 0, 10, -5, 100]
    ids = [(await admin.submit(space_id, f"{rank}", priority=rank))["request_id"] for rank in ranks]
    expected = [ids[place] for place in (6, 2, 4, 0, 3, 1, 5)]
    places = {request_id: (await admin.request(request_id))["position"] for request_id in ids}
    assert sorted(ids, key=lambda request_id: places[request_id]) == expected
    assert sorted(places.values()) == list(range(1, 8))
    await asyncio.to_thread(
        lambda: platform.start_worker("ranks", spaces=[space_id], handler=str(HANDLERS))
    )
    ended = [await admin.ended(request_id) for request_id in ids]
    ended.sort(key=lambda request: request["started_at"])
    assert [request["request_id"] for request in ended] == expected
    await asyncio.to_thread(platform.stop_worker, "ranks")


async def test_a_handler_that_raises_or_dies_fails_its_request_only(admin: Api, echo: str) -> None:
    raised = await end_of(admin, echo, parameters={"raise": "no such voice"})
    assert raised == ("failed", "handler_failed", "ValueError: no such voice")
    state, code, text = await end_of(admin, echo, parameters={"die": 1})
    assert (state, code) == ("failed", "handler_crashed")
    assert "SIGKILL" in text
    after = await admin.ended((await admin.submit(echo, "and you?"))["request_id"])
    assert after["output"]["echo"] == "and you?"


async def test_the_kept_routes_keep_their_shapes(admin: Api, echo: str) -> None:
    async def status(request_id: str) -> dict[str, Any]:
        answer = await admin.http.get("/websockets/status", params={"request_id": request_id})
        found: dict[str, Any] = answer.json()
        return found

    ids = []
    for options in (
        {"json": {"prompt": "one", "parameters": {"run_s": 60}}},
        {"data": {"prompt": "two", "parameters": '{"raise": "no"}'}},
        {"files": {"prompt": (None, "three")}},
    ):
        answer = await admin.http.post(f"/websockets/submit/{echo}", **options)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"success": True, "request_id": answer.json()["request_id"]}
        ids.append(answer.json()["request_id"])
    await admin.running(ids[0])
    first, third = await status(ids[0]), await status(ids[2])
    assert (first["status"], first["result"]) == ("processing", None)
    assert third == {
        "request_id": ids[2],
        "status": "queued",
        "queue_size": 2,
        "position": 2,
        "result": None,
        "error": None,
    }
    await admin.cancel(ids[0])
    for request_id in ids:
        await admin.ended(request_id)
    cancelled, failed, done = [await status(request_id) for request_id in ids]
    assert (cancelled["status"], failed["status"]) == ("cancelled", "failed")
    assert failed["error"]["message"] == "ValueError: no"
    assert done["status"] == "completed"
    assert done["result"]["echo"] == "three"
    assert done["result"]["processing_time_seconds"] >= 0
    assert done["result"]["timestamp"]


class Events:
    """Server-sent events of a request, read until `until` chunks or the end."""

    def __init__(self) -> None:
        self.chunks: list[str] = []
        self.last_id = ""
        self.types: list[str] = []

    async def read(self, admin: Api, request_id: str, until: int | None = None) -> None:
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        async with admin.http.stream(
            "GET", f"/api/requests/{request_id}/events", headers=headers
        ) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            event: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                    continue
                self._take(event)
                event = {}
                if until is not None and len(self.chunks) >= until:
                    return

    def _take(self, event: dict[str, str]) -> None:
        if "event" not in event:
            return  # a comment that keeps the connection open
        self.types.append(event["event"])
        self.last_id = event.get("id", self.last_id)
        frame = json.loads(event["data"])
        assert frame["type"] == event["event"]
        if frame["type"] == "chunk":
            assert frame["n"] == len(self.chunks) + 1, "a chunk is missing or came twice"
            self.chunks += frame["data"]
            assert self.last_id == f"{frame['attempt']}:{len(self.chunks)}"


async def test_events_go_on_after_the_last_event_id(admin: Api, count: str) -> None:
    submitted = await admin.submit(count, parameters={"chunks": 200, "pace_s": 0.005})
    request_id = submitted["request_id"]
    events = Events()
    for until in (20, 60, 61, 150, None):
        await events.read(admin, request_id, until)
    assert events.chunks == [f"{n} " for n in range(1, 201)]
    assert events.types[-1] == "finished"
    await events.read(admin, request_id)
    assert len(events.chunks) == 200, "nothing is told twice"


async def test_a_waiting_read_answers_when_the_request_ends(admin: Api, echo: str) -> None:
    request_id = (await admin.submit(echo, parameters={"run_s": 0.3}))["request_id"]
    began = time.monotonic()
    request = await admin.ended(request_id)
    assert request["state"] == "succeeded"
    assert time.monotonic() - began < 3, "it waited for something else than the end"


async def test_a_finished_request_never_changes(admin: Api, echo: str) -> None:
    request_id = (await admin.submit(echo))["request_id"]
    before = await admin.ended(request_id)
    assert (await admin.cancel(request_id)) == before
    assert (await admin.request(request_id)) == before
    with pytest.raises(httpx2.HTTPStatusError):
        (await admin.http.delete(f"/api/requests/{request_id}")).raise_for_status()


async def test_each_timeout_has_its_code(platform: Platform, admin: Api, echo: str) -> None:
    idle = platform.create_space("nobody there", policy={"when_offline": "queue"})["space_id"]
    long_run = {"parameters": {"run_s": 60}}
    waiting, total, running = await asyncio.gather(
        end_of(admin, idle, queue_timeout_s=0.5),
        end_of(admin, idle, timeout_s=0.5),
        end_of(admin, echo, run_timeout_s=0.5, **long_run),
    )
    assert waiting == ("expired", "queue_timeout", "It waited too long in the queue")
    assert total == ("expired", "timeout", "The total time is over")
    assert running == ("expired", "run_timeout", "It ran too long")
    assert (await end_of(admin, echo, timeout_s=0.5, **long_run))[:2] == ("expired", "timeout")
    after = await admin.ended((await admin.submit(echo, "still there?"))["request_id"])
    assert after["output"]["echo"] == "still there?"
