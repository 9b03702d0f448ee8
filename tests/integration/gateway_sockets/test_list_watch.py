"""A client looks at a list: it hears what changes in it, of its own tenant only, a few times a second."""

from datetime import UTC, datetime

import pytest

from spaces_chassis.bus import on
from spaces_chassis.testing import Signal
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.request_changes import RequestChange, RequestsChanged, WatchChanges
from spaces_contracts.requests import RequestState
from spaces_gateway.sockets import list_watch
from tests.integration.gateway_sockets.conftest import Connect, Gateway
from tests.integration.gateway_sockets.platform_double import PlatformDouble
from tests.integration.gateway_sockets.samples import TENANT
from tests.integration.gateway_sockets.test_client_streams import signed_in
from tests.support.eventually import eventually

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def change(state: str = "queued", request_id: str | None = None, **fields: object) -> RequestChange:
    return RequestChange.model_validate(
        {"request_id": request_id or new_id(), "state": state, "at": NOW} | fields
    )


async def tell(
    platform: PlatformDouble, space_id: str, *changes: RequestChange, tenant_id: str = TENANT
) -> None:
    await platform.bus.publish(
        RequestsChanged(space_id=space_id, tenant_id=tenant_id, changes=list(changes))
    )
    await platform.bus.flush()


async def test_changes_of_ones_tenant_come_together_each_request_as_it_is_now(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    await client.send("subscribe", ref="list", changes=True)
    begun = await client.next()
    assert (begun["type"], begun["ref"]) == ("changes", "list")

    space_id, other = new_id(), new_id()
    request_id, maker = new_id(), new_id()
    await tell(platform, space_id, change("queued", request_id, principal_id=maker))
    await tell(platform, space_id, change("running", request_id, attempt=1))
    await tell(platform, other, change("failed", attempt=1, code="worker_lost"))
    await tell(platform, other, change(), tenant_id="othertenant00000000000000")
    frame = await client.next()
    assert frame["missed"] == 0
    first, second = frame["changes"]
    assert (first["request_id"], first["space_id"], first["state"], first["principal_id"]) == (
        request_id,
        space_id,
        "running",
        maker,
    )
    assert (second["space_id"], second["code"]) == (other, "worker_lost")
    await client.quiet()


async def test_an_end_is_not_undone_by_a_word_that_comes_late(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    await client.send("subscribe", changes=True)
    await client.next()
    request_id, space_id = new_id(), new_id()
    await tell(platform, space_id, change("succeeded", request_id, attempt=1))
    await tell(platform, space_id, change("running", request_id, attempt=1))
    (shown,) = (await client.next())["changes"]
    assert shown["state"] == "succeeded"


async def test_a_look_at_one_space_shows_that_space_until_it_ends(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    space_id = platform.space_ids["demo"]
    await client.send("subscribe", changes=True, space_id=space_id)
    await client.next()
    await tell(platform, new_id(), change())
    await tell(platform, space_id, change())
    (shown,) = (await client.next())["changes"]
    assert shown["space_id"] == space_id

    await client.send("unsubscribe", changes=True, space_id=space_id)
    await client.quiet()
    assert len(gateway.sockets.lists) == 0
    await tell(platform, space_id, change())
    await client.quiet()


async def test_a_space_that_one_cannot_see_cannot_be_looked_at(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    await client.send("subscribe", ref="x", changes=True, space_id=new_id())
    frame = await client.next()
    assert (frame["type"], frame["code"], frame["ref"]) == ("error", Code.SPACE_NOT_FOUND, "x")
    assert len(gateway.sockets.lists) == 0


async def test_schedulers_are_told_while_somebody_looks_and_forgotten_lists_leave_nothing(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    told: Signal[WatchChanges] = Signal()
    subscription = await platform.bus.subscribe(on(WatchChanges, lambda m, _: told.send(m)))
    client = await signed_in(connect, gateway)
    await client.send("subscribe", changes=True)
    assert (await told.next()).gateway_id == gateway.services.gateway_id
    await client.connection.close()
    await eventually(lambda: len(gateway.sockets.lists) == 0)
    await subscription.stop()


async def test_what_does_not_fit_in_a_frame_is_counted_so_that_the_list_is_read_again(
    gateway: Gateway, platform: PlatformDouble, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_watch, "MAX_CHANGES", 3)
    client = await signed_in(connect, gateway)
    await client.send("subscribe", changes=True)
    await client.next()
    await tell(platform, new_id(), *(change() for _ in range(5)))
    frame = await client.next()
    assert (len(frame["changes"]), frame["missed"]) == (3, 2)


async def test_a_cut_of_the_bus_is_told_as_something_missed(
    gateway: Gateway, platform: PlatformDouble, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await signed_in(connect, gateway)
    await client.send("subscribe", changes=True)
    await client.next()
    lists = gateway.sockets.lists
    lists._connected_for_s = float("inf")  # as before a reconnect
    await lists.step()
    frame = await client.next()
    assert (frame["changes"], frame["missed"]) == ([], 1)


async def test_a_thousand_changes_a_second_are_four_frames(
    gateway: Gateway, platform: PlatformDouble, connect: Connect
) -> None:
    client = await signed_in(connect, gateway)
    await client.send("subscribe", changes=True)
    await client.next()
    space_id, ids = new_id(), [new_id() for _ in range(200)]
    for state in (RequestState.QUEUED, RequestState.RUNNING, RequestState.SUCCEEDED):
        for start in range(0, 200, 20):
            changes = [change(state, one, attempt=1) for one in ids[start : start + 20]]
            await tell(platform, space_id, *changes)
    latest: dict[str, str] = {}
    frames = 0
    while len(latest) < 200 or set(latest.values()) != {"succeeded"}:
        frame = await client.next()
        frames += 1
        assert frame["missed"] == 0
        latest |= {one["request_id"]: one["state"] for one in frame["changes"]}
    assert frames <= 4
