"""A browser's way through the platform: a ticket, a watched space, places in the queue, a cancel, an end."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from spaces_contracts.client_socket import (
    Auth,
    CancelFrame,
    FinishedFrame,
    Ready,
    SpaceFrame,
    StatusFrame,
    SubmitFrame,
    SubmittedFrame,
    Subscribe,
    ToClient,
)
from spaces_contracts.frames import PROTOCOL, ErrorFrame
from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState
from tests.support.platform import Platform
from tests.support.wire import ClientSocket, client_socket, socket_url

HANDLERS = Path(__file__).parents[1] / "support/handlers/echo.py"


async def until(client: ClientSocket, wanted: Callable[[Any], bool]) -> ToClient:
    """Reads until a frame is the wanted one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        frame = await client.receive(20)
        if wanted(frame):
            return frame
    raise AssertionError("the frame did not come")


async def submit(client: ClientSocket, space_id: str, ref: str, **parameters: object) -> str:
    await client.send(SubmitFrame(ref=ref, space=space_id, prompt=ref, parameters=parameters))
    frame = await until(client, lambda f: isinstance(f, SubmittedFrame | ErrorFrame))
    assert isinstance(frame, SubmittedFrame), frame
    assert frame.ref == ref
    return frame.request_id


@pytest.mark.timeout(90)
async def test_watching_a_space_and_the_queue_in_it(platform: Platform) -> None:
    space_id = platform.create_space("queue to watch", policy={"when_offline": "queue"})["space_id"]
    async with client_socket(platform.gateway_url, platform.admin_key) as client:
        await client.send(Subscribe(space_id=space_id))
        first = await until(client, lambda f: isinstance(f, SpaceFrame))
        assert isinstance(first, SpaceFrame)
        assert (first.connected, first.queue_size) == (False, 0)

        first_id = await submit(client, space_id, "one", run_s=1)
        second_id = await submit(client, space_id, "two")
        platform.start_worker("watched", spaces=[space_id], handler=str(HANDLERS))
        await until(client, lambda f: isinstance(f, SpaceFrame) and f.connected is True)
        await until(client, lambda f: _is(f, second_id, RequestState.QUEUED, position=1))
        ends = [await until(client, lambda f: isinstance(f, FinishedFrame)) for _ in range(2)]
        assert [end.request_id for end in ends if isinstance(end, FinishedFrame)] == [
            first_id,
            second_id,
        ]
    platform.stop_worker("watched")


def _is(frame: ToClient, request_id: str, state: RequestState, position: int | None) -> bool:
    return (
        isinstance(frame, StatusFrame)
        and (frame.request_id, frame.state) == (request_id, state)
        and frame.position == position
    )


@pytest.mark.timeout(90)
async def test_cancelling_a_running_request_over_the_socket(platform: Platform) -> None:
    space_id = platform.create_space("cancel here")["space_id"]
    platform.start_worker("cancelled", spaces=[space_id], handler=str(HANDLERS))
    async with client_socket(platform.gateway_url, platform.admin_key) as client:
        request_id = await submit(client, space_id, "long", run_s=60)
        await client.send(CancelFrame(ref="stop", request_id=request_id))
        await until(client, lambda f: isinstance(f, StatusFrame) and f.ref == "stop")
        end = await until(client, lambda f: isinstance(f, FinishedFrame))
        assert isinstance(end, FinishedFrame)
        assert (end.state, end.request_id) == (RequestState.CANCELLED, request_id)
    platform.stop_worker("cancelled")


@pytest.mark.timeout(60)
async def test_an_offline_space_refuses_with_the_text_people_know(platform: Platform) -> None:
    space_id = platform.create_space("nobody there")["space_id"]
    async with client_socket(platform.gateway_url, platform.admin_key) as client:
        await client.send(SubmitFrame(ref="x", space=space_id, prompt="hello"))
        refused = await until(client, lambda f: isinstance(f, ErrorFrame))
        assert isinstance(refused, ErrorFrame)
        assert (refused.ref, refused.code) == ("x", Code.WORKER_NOT_CONNECTED)
        assert "Remote app not connected" in refused.message


@pytest.mark.timeout(60)
async def test_a_ticket_opens_one_socket_once(platform: Platform) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{platform.gateway_url}/api/ws-ticket",
            headers={"Authorization": f"Bearer {platform.admin_key}"},
        )
    ticket = answer.raise_for_status().json()["ticket"]
    for attempt in range(2):
        async with connect(
            socket_url(platform.gateway_url, "/ws"),
            subprotocols=[Subprotocol(PROTOCOL)],
            proxy=None,
        ) as connection:
            client = ClientSocket(connection)
            await client.send(Auth(ticket=ticket))
            if attempt == 0:
                await client.expect(Ready)
            else:
                refused = await client.expect(ErrorFrame)
                assert refused.code is Code.TICKET_INVALID


@pytest.mark.timeout(90)
async def test_a_socket_that_outlives_nats_and_its_scheduler_gets_its_end(
    platform: Platform,
) -> None:
    space_id = platform.create_space("hard times")["space_id"]
    platform.start_worker("steady", spaces=[space_id], handler=str(HANDLERS))
    async with client_socket(platform.gateway_url, platform.admin_key) as client:
        request_id = await submit(client, space_id, "through", run_s=3)
        for name in ("nats", "scheduler"):
            platform.kill(name)
            platform.revive(name)
        end = await until(client, lambda f: isinstance(f, FinishedFrame))
        assert isinstance(end, FinishedFrame)
        assert (end.request_id, end.state) == (request_id, RequestState.SUCCEEDED)
        assert end.output == {"echo": "through", "attempt": 1}
    platform.stop_worker("steady")
