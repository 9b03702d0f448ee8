"""Bad input on the worker socket: each refusal with its code, text and close code; no request is lost by it."""

import asyncio
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from spaces_contracts.frames import PROTOCOL, ErrorFrame
from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import MAX_FRAME_BYTES, ResultOutcome
from spaces_contracts.worker_socket import (
    Accepted,
    Cancel,
    InferenceRequest,
    InferenceResult,
    Registered,
    RegisterError,
    ResultAckFrame,
)
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.platform import Platform
from tests.support.wire import ANSWER_S, WorkerSocket, socket_url, worker_socket

HANDLERS = Path(__file__).parents[1] / "support/handlers/echo.py"
LEASE_AND_MORE_S = 25.0


@dataclass(frozen=True)
class Served:
    """A space and a token for it."""

    space_id: str
    token: str


def served(platform: Platform, name: str, **fields: Any) -> Served:
    """A space that queues, and a token for it."""
    fields.setdefault("policy", {"when_offline": "queue"})
    space_id = platform.create_space(name, **fields)["space_id"]
    return Served(space_id, platform.worker_token([space_id]).read_text().strip())


@dataclass(frozen=True)
class Refusal:
    """What a worker heard before its socket was closed."""

    code: str
    message: str
    retry: bool
    close: int | None
    holder: str | None = field(default=None)


async def refusal(platform: Platform, token: str, space: str) -> Refusal:
    """Registers for a space and must be refused."""
    async with worker_socket(platform.gateway_url) as worker:
        await worker.register(token, [space])
        told = await worker.expect(RegisterError)
        code, reason = await closed(worker)
        assert reason == told.code
        return Refusal(told.code, told.message, told.retry, code, told.holder)


async def closed(worker: WorkerSocket) -> tuple[int | None, str | None]:
    """Close code and reason, once the gateway has closed."""
    async with asyncio.timeout(ANSWER_S):
        await worker.connection.wait_closed()
    return worker.connection.close_code, worker.connection.close_reason


async def test_an_unknown_space(platform: Platform) -> None:
    known = served(platform, "known")
    assert await refusal(platform, known.token, "nowhere") == Refusal(
        "space_not_found", "No space 'nowhere' found", False, 4404
    )


async def test_a_name_that_two_spaces_of_the_token_have(platform: Platform, admin: Api) -> None:
    tenant = await admin.make("/api/tenants", name="other")
    spaces = [
        platform.create_space("twin", **fields)["space_id"]
        for fields in ({}, {"tenant_id": tenant["tenant_id"]})
    ]
    token = platform.worker_token(spaces).read_text().strip()
    assert await refusal(platform, token, "twin") == Refusal(
        "multiple_spaces",
        "Multiple spaces with name 'twin' found: default/twin, other/twin."
        " Say tenant/name, or the space's id.",
        False,
        4409,
    )
    async with worker_socket(platform.gateway_url) as worker:
        await worker.register(token, ["other/twin"])
        assert (await worker.expect(Registered)).space_id == spaces[1]
    only_one = platform.worker_token([spaces[0]]).read_text().strip()
    async with worker_socket(platform.gateway_url) as worker:
        await worker.register(only_one, ["twin"])
        assert (await worker.expect(Registered)).space_id == spaces[0]


async def test_a_disabled_space(platform: Platform) -> None:
    off = served(platform, "off", enabled=False)
    assert await refusal(platform, off.token, "off") == Refusal(
        "space_disabled", "Space 'off' is disabled", False, 4409
    )


async def test_a_second_connection(platform: Platform) -> None:
    seat = served(platform, "one seat")
    async with worker_socket(platform.gateway_url) as holder:
        await holder.register(seat.token, [seat.space_id])
        await holder.expect(Registered)
        assert await refusal(platform, seat.token, seat.space_id) == Refusal(
            "already_connected", "The space already has a worker connected", False, 4409, "live"
        )
        await holder.send(Accepted(request_id=new_id(), attempt=1))
        await holder.expect(ErrorFrame)  # it is still served


async def test_wrong_revoked_and_foreign_tokens(platform: Platform, admin: Api) -> None:
    space = served(platform, "guarded")
    other = served(platform, "other's")
    made = await admin.make("/api/worker-tokens", name="former", spaces=[space.space_id])
    key_id = made["credential"]["principal"]["principal_id"]
    assert (await admin.http.delete(f"/api/worker-tokens/{key_id}")).status_code == 200
    assert await refusal(platform, "spw_nobody", space.space_id) == Refusal(
        "token_invalid", "The worker token is not known", False, 4401
    )
    assert await refusal(platform, made["secret"], space.space_id) == Refusal(
        "token_revoked", "The worker token was revoked", False, 4401
    )
    assert await refusal(platform, other.token, space.space_id) == Refusal(
        "token_scope", "The token does not cover space 'default/guarded'", False, 4403
    )
    assert await refusal(platform, platform.admin_key, space.space_id) == Refusal(
        "forbidden", "This is an API key; a worker needs a worker token", False, 4403
    )


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("{", "malformed_frame", "The frame is not JSON."),
        ('"x"', "malformed_frame", "A frame is a JSON object with a `type`."),
        ('{"type":"register"}', "malformed_frame", "register: token: Field required"),
        ('{"type":"sing"}', "unknown_frame_type", "Type 'sing' is not one of: accepted, "),
        (b"{}", "malformed_frame", "Frames are text; this one was binary."),
        ('{"type":"draining"}', "unauthenticated", "The first frame is `register`."),
    ],
)
async def test_a_frame_that_is_not_understood_is_answered(
    platform: Platform, text: str | bytes, code: str, told: str
) -> None:
    async with worker_socket(platform.gateway_url) as worker:
        await worker.connection.send(text)
        frame = await worker.expect(ErrorFrame)
        assert frame.code == code
        assert frame.message.startswith(told)


async def test_a_frame_that_is_too_large(platform: Platform) -> None:
    async with worker_socket(platform.gateway_url) as worker:
        await worker.connection.send("x" * (MAX_FRAME_BYTES + 1))
        assert (await closed(worker))[0] == 1009


async def test_no_first_frame(platform: Platform) -> None:
    """On both sockets at the same time: it takes five seconds."""

    async def silent(path: str) -> tuple[str, str, int | None, str | None]:
        async with connect(
            socket_url(platform.gateway_url, path), subprotocols=[Subprotocol(PROTOCOL)], proxy=None
        ) as connection:
            peer = WorkerSocket(connection, instance_id=new_id(), secret="")
            frame = await peer.expect(ErrorFrame)
            return frame.code, frame.message, *await closed(peer)

    code = "first_frame_timeout"
    of_worker, of_client = await asyncio.gather(silent("/ws/worker"), silent("/ws"))
    assert of_worker == (code, "No `register` came in time.", 4408, code)
    assert of_client == (code, "No `auth` came in time.", 4408, code)


@pytest.mark.parametrize("offered", [["spaces.v0.json"], ["spaces.v9.json"], []])
async def test_a_worker_of_another_version(platform: Platform, offered: list[str]) -> None:
    async with connect(
        socket_url(platform.gateway_url, "/ws/worker"),
        subprotocols=[Subprotocol(name) for name in offered] or None,
        proxy=None,
    ) as connection:
        worker = WorkerSocket(connection, instance_id=new_id(), secret="")
        frame = await worker.expect(ErrorFrame)
        said = ", ".join(offered) or "none"
        assert (frame.code, frame.message) == (
            "unsupported_protocol",
            f"This gateway speaks spaces.v1.json; offered: {said}.",
        )
        assert await closed(worker) == (4406, "unsupported_protocol")


async def test_results_for_unknown_foreign_cancelled_and_finished_requests(
    platform: Platform, admin: Api
) -> None:
    mine, other = served(platform, "mine"), served(platform, "somebody's")
    async with (
        worker_socket(platform.gateway_url) as worker,
        worker_socket(platform.gateway_url) as stranger,
    ):
        await worker.register(mine.token, [mine.space_id])
        await worker.expect(Registered)
        await stranger.register(other.token, [other.space_id])
        await stranger.expect(Registered)

        unknown = new_id()
        assert await hand_in(worker, unknown, mine.space_id) is ResultOutcome.UNKNOWN
        # Work of a space that this socket does not serve is no matter for the scheduler.
        await worker.send(result(unknown, other.space_id))
        await says_unknown(worker, unknown)
        await worker.send(Accepted(request_id=unknown, attempt=1))
        await says_unknown(worker, unknown)

        request_id = (await admin.submit(mine.space_id))["request_id"]
        job = await worker.expect(InferenceRequest)
        await worker.send(Accepted(request_id=request_id, attempt=job.attempt))
        # Somebody else's request, by a worker of another space.
        assert await hand_in(stranger, request_id, other.space_id) is ResultOutcome.UNKNOWN
        assert (await admin.request(request_id))["state"] == "running"
        # The right one's counts, twice the same is the same, and an attempt that never was is unknown.
        assert await hand_in(worker, request_id, mine.space_id) is ResultOutcome.STORED
        assert await hand_in(worker, request_id, mine.space_id) is ResultOutcome.STORED
        assert await hand_in(worker, request_id, mine.space_id, attempt=7) is ResultOutcome.UNKNOWN
        ended = await admin.ended(request_id)
        assert (ended["state"], ended["output"]) == ("succeeded", {"of": request_id})

        cancelled = (await admin.submit(mine.space_id))["request_id"]
        job = await worker.expect(InferenceRequest)
        await worker.send(Accepted(request_id=cancelled, attempt=job.attempt))
        await admin.cancel(cancelled)
        await worker.expect(Cancel)
        stopped = result(cancelled, mine.space_id).model_copy(
            update={"status": "cancelled", "output": None}
        )
        await worker.send(stopped)
        assert await judged(worker, cancelled) is ResultOutcome.STORED
        late = await hand_in(worker, cancelled, mine.space_id)
        assert late in (ResultOutcome.STORED, ResultOutcome.STALE)
        assert (await admin.ended(cancelled))["state"] == "cancelled"


def result(request_id: str, space_id: str, attempt: int = 1) -> InferenceResult:
    """A success."""
    return InferenceResult(
        request_id=request_id,
        attempt=attempt,
        space_id=space_id,
        status="succeeded",
        output={"of": request_id},
        timestamp=datetime.now(UTC),
    )


async def hand_in(
    worker: WorkerSocket, request_id: str, space_id: str, attempt: int = 1
) -> ResultOutcome:
    """What a success is answered with."""
    await worker.send(result(request_id, space_id, attempt))
    ack = await worker.expect(ResultAckFrame)
    assert (ack.request_id, ack.attempt) == (request_id, attempt)
    return ack.outcome


async def judged(worker: WorkerSocket, request_id: str) -> ResultOutcome:
    """The outcome that is told next; before it the job may be repeated, while it is not noted as taken."""
    frame = await worker.receive()
    if isinstance(frame, InferenceRequest):
        assert frame.request_id == request_id
        frame = await worker.receive()
    assert isinstance(frame, ResultAckFrame)
    return frame.outcome


async def says_unknown(worker: WorkerSocket, request_id: str) -> None:
    """The next frame tells that the request was not given to this socket."""
    frame = await worker.expect(ErrorFrame)
    assert (frame.code, frame.message, frame.request_id) == (
        "unknown_request",
        "Attempt 1 of this request was not given to this connection.",
        request_id,
    )


async def test_workers_that_accept_and_go_silent_lose_their_seats_and_their_work(
    platform: Platform, admin: Api, tmp_path: Path
) -> None:
    """Two by hand and a real agent that is frozen, side by side: one lease is waited for."""
    queue = {"when_offline": "queue"}
    frozen = served(platform, "frozen", policy={**queue, "max_connections": 2})
    executions = tmp_path / "executions"
    env = {"EXECUTIONS": str(executions)}

    def start(name: str) -> None:
        platform.start_worker(name, spaces=[frozen.space_id], handler=str(HANDLERS), env=env)

    await asyncio.to_thread(start, "frozen one")
    kept = (await admin.submit(frozen.space_id, "kept", parameters={"run_s": 0.5}))["request_id"]
    await eventually(executions.exists, timeout_s=ANSWER_S)
    platform.signal("frozen one", signal.SIGSTOP)
    await asyncio.to_thread(start, "frozen two")

    retried = served(platform, "retried", policy={**queue, "max_connections": 2})
    single = served(platform, "single", policy={**queue, "max_attempts": 1})
    async with (
        worker_socket(platform.gateway_url) as silent,
        worker_socket(platform.gateway_url) as silent_too,
        worker_socket(platform.gateway_url) as next_one,
    ):
        ids = []
        for worker, space in ((silent, retried), (silent_too, single)):
            await worker.register(space.token, [space.space_id])
            await worker.expect(Registered)
            ids.append((await admin.submit(space.space_id))["request_id"])
            job = await worker.expect(InferenceRequest)
            await worker.send(Accepted(request_id=job.request_id, attempt=job.attempt))
        await next_one.register(retried.token, [retried.space_id])
        await next_one.expect(Registered)

        again = await next_one.expect(InferenceRequest, LEASE_AND_MORE_S)
        assert (again.request_id, again.attempt) == (ids[0], 2)
        assert await hand_in(next_one, ids[0], retried.space_id, attempt=2) is ResultOutcome.STORED
        assert (await admin.ended(ids[0]))["attempt"] == 2
        lost = await admin.ended(ids[1])
        assert lost["state"] == "failed"
        assert (lost["error"]["code"], lost["error"]["message"]) == (
            "worker_lost",
            "The worker was lost, and no try is left",
        )
        assert await closed(silent) == (4408, "heartbeat_timeout")

    assert await _thawed(platform, admin, frozen, kept) == "succeeded"
    assert executions.read_text().split()[:4] == [kept, "1", kept, "2"]


async def _thawed(platform: Platform, admin: Api, frozen: Served, kept: str) -> str:
    """The frozen agent comes back; how the next request ends that only it can serve."""
    ended = await admin.ended(kept)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2)
    platform.signal("frozen one", signal.SIGCONT)
    await eventually(lambda: platform.space(frozen.space_id)["connections"] == 2, timeout_s=30)
    # What the first one finished late is stale: it changed nothing, and the agent serves on.
    assert await admin.request(kept) == ended
    await asyncio.to_thread(platform.stop_worker, "frozen two")
    after = await admin.ended((await admin.submit(frozen.space_id))["request_id"])
    await asyncio.to_thread(platform.stop_worker, "frozen one")
    return str(after["state"])
