"""Every operation with every kind of credential, on one's own and on another tenant's things.

The cases come from the OpenAPI and AsyncAPI documents, what is right from the table of permissions.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from spaces_contracts.access import PrincipalKind
from spaces_contracts.frames import PROTOCOL
from spaces_contracts.permissions import FRAME_RULES, HTTP_RULES, Rule, Whose
from tests.security.campaign import Campaign
from tests.security.matrix_calls import CALLS, Call
from tests.security.matrix_world import Credential, Tenant, World, instance

# Lists and things made in one's own place name no object: another tenant's credential gets its own answer.
NO_OBJECT = frozenset({
    "list_spaces", "list_requests", "list_tenants", "list_keys", "list_worker_tokens", "list_join_tokens",
    "list_users", "list_invites",
    "list_audit", "add_space_with_form", "upload_file", "list_connections", "list_busy_queues",
})  # fmt: skip
# What is done in a space, to be tried in a private one by everybody of its tenant. An uploaded file is in no space.
IN_A_SPACE = (
    frozenset(name for name, rule in HTTP_RULES.items() if rule.whose in (Whose.SEEN, Whose.SCOPE))
    - NO_OBJECT
    - {"create_space", "download_file"}
)
_CONTROLS = {"drain_connection": "drain", "kick_connection": "kick"}
_REFUSED = frozenset({401, 403, 404})
_FRAME_WAIT_S = 20.0


async def run(url: str, admin_key: str) -> Campaign:
    """All of it, against a running gateway."""
    found = Campaign("matrix")
    world = World(url, admin_key)
    try:
        await world.build()
        document = (await world.http.get("/openapi.json")).raise_for_status().json()
        for operation in operations(document):
            for who in world.credentials:
                await _try_http(world, found, operation, who, world.tenants["ours"])
                if operation in IN_A_SPACE and who.tenant == world.private.name:
                    await _try_http(world, found, operation, who, world.private)
        for who in world.credentials:
            await _try_frames(world, found, who, world.tenants["ours"])
            if who.tenant == world.private.name:
                await _try_frames(world, found, who, world.private)
    finally:
        await world.close()
    return found


def operations(document: Mapping[str, Any]) -> list[str]:
    """The operationIds of an OpenAPI document."""
    return [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
    ]


def should_work(rule: Rule, who: Credential, tenant: Tenant, *, has_object: bool) -> bool:
    """What the table says of a call on a tenant's things."""
    if rule.whose is Whose.LINK:
        return False  # no link in these cases verifies
    if rule.whose is Whose.ANYBODY:
        return True
    if who.principal is None or not rule.permits(who.principal):
        return False
    if rule.whose is Whose.OWN or not has_object or who.principal.is_admin:
        return True
    if rule.whose in (Whose.SEEN, Whose.SCOPE):
        return tenant.is_seen_by(who)
    return who.tenant == tenant.name


async def _try_http(
    world: World, found: Campaign, operation: str, who: Credential, tenant: Tenant
) -> None:
    rule = HTTP_RULES[operation]
    right = should_work(rule, who, tenant, has_object=operation not in NO_OBJECT)
    case = f"{operation}{' in a private space' if tenant.private_to else ''} by {who.name}"
    if operation in _CONTROLS:
        async with await _worker(world, tenant) as (_, connection_id):
            path = f"/api/connections/{connection_id}/{_CONTROLS[operation]}"
            await _judge(world, found, case, Call("POST", path), who, right=right)
        return
    await _judge(world, found, case, await CALLS[operation](world, who, tenant), who, right=right)


async def _judge(
    world: World, found: Campaign, case: str, call: Call, who: Credential, *, right: bool
) -> None:
    found.attempts += 1
    response = await world.call(call.who or who, call.method, call.path, **call.options)
    world.http.cookies.clear()
    allowed = call.is_allowed(response)
    if not allowed and response.status_code >= 400 and response.status_code not in _REFUSED:
        found.errors.append(f"{case}: {response.status_code} {response.text[:200]}")
    elif allowed and not right:
        found.wrongly_allowed.append(f"{case}: {response.status_code}")
    elif right and not allowed:
        found.wrongly_refused.append(f"{case}: {response.status_code} {response.text[:200]}")
    if leaks := _leaks(world, who, response):
        found.wrongly_allowed.append(f"{case}: shows {leaks}, which is not for it")


def _leaks(world: World, who: Credential, response: httpx2.Response) -> set[str]:
    """Ids of what does not exist for the caller, in an answer that is no echo of what the caller said."""
    if (who.principal is not None and who.principal.is_admin) or response.status_code >= 400:
        return set()
    shown = response.text
    if response.request.url.path == "/api/audit":
        # What the caller tried in vain is theirs to see, with the ids that they named.
        shown = json.dumps([one for one in response.json()["entries"] if one["outcome"] == "done"])
    hidden = [tenant for tenant in world.tenants.values() if tenant.name != who.tenant]
    # What owners did is in their tenant's log, which is theirs and whose key they hand out.
    if response.request.url.path != "/api/audit" and not world.private.is_seen_by(who):
        hidden.append(world.private)
    return {
        one
        for tenant in hidden
        for one in tenant.ids
        if one in shown and one not in str(response.request.url)
    }


# Sockets

Opened = tuple[ClientConnection, str]


class _Held:
    """A worker's socket that stays open for as long as its connection is needed."""

    def __init__(self, socket: ClientConnection, connection_id: str) -> None:
        self._opened = socket, connection_id

    async def __aenter__(self) -> Opened:
        return self._opened

    async def __aexit__(self, *_: object) -> None:
        await self._opened[0].close()


async def _worker(world: World, tenant: Tenant) -> _Held:
    token = next(
        who
        for who in world.credentials
        if who.principal is not None
        and who.principal.kind is PrincipalKind.WORKER_TOKEN
        and tenant.space_id in who.principal.space_ids
    )
    socket = await _open(world, "/ws/worker")
    answer = await _ask(
        socket, instance() | {"token": token.secret, "spaces": [tenant.space_id]}, "registered"
    )
    if answer["type"] != "registered":
        raise RuntimeError(f"no worker to try things on: {answer}")
    return _Held(socket, answer["connection_id"])


async def _open(world: World, path: str) -> ClientConnection:
    address = world.url.replace("http", "ws", 1) + path
    return await connect(address, subprotocols=[PROTOCOL], proxy=None)  # type: ignore[list-item]  # a NewType of str


async def _ask(socket: ClientConnection, frame: Mapping[str, Any], *wanted: str) -> dict[str, Any]:
    """The first answer of a wanted type, or an error; an empty one when the socket was closed instead."""
    try:
        await socket.send(json.dumps(frame))
        async with asyncio.timeout(_FRAME_WAIT_S):
            while True:
                answer: dict[str, Any] = json.loads(await socket.recv())
                if answer["type"] in (*wanted, "error", "register_error"):
                    return answer
    except ConnectionClosed:
        return {"type": "closed"}


async def _try_frames(world: World, found: Campaign, who: Credential, tenant: Tenant) -> None:
    await _try_register(world, found, who, tenant)
    frames: dict[str, tuple[Callable[[], Awaitable[dict[str, Any]]], str]] = {
        "submit": (lambda: _said(ref="r", space=tenant.space_id, prompt="hello"), "submitted"),
        "cancel": (lambda: _cancel(world, tenant), "status"),
        "subscribe": (lambda: _said(ref="r", request_id=tenant.request_id), "finished"),
    }
    opens = who.principal is not None and HTTP_RULES["create_ticket"].permits(who.principal)
    for kind, (make, wanted) in frames.items():
        socket = await _open(world, "/ws")
        try:
            ready = await _ask(socket, {"type": "auth", "token": who.secret or ""}, "ready")
            _judge_frame(found, f"auth by {who.name}", ready, "ready", right=opens)
            if ready["type"] == "ready":
                right = should_work(FRAME_RULES[kind], who, tenant, has_object=True)
                answer = await _ask(socket, {"type": kind} | await make(), wanted, "finished")
                _judge_frame(found, f"{kind} by {who.name}", answer, wanted, right=right)
        finally:
            await socket.close()


async def _said(**fields: Any) -> dict[str, Any]:
    return fields


async def _cancel(world: World, tenant: Tenant) -> dict[str, Any]:
    return {"ref": "r", "request_id": await world.request(tenant)}


async def _try_register(world: World, found: Campaign, who: Credential, tenant: Tenant) -> None:
    socket = await _open(world, "/ws/worker")
    frame = instance() | {"token": who.secret or "x", "spaces": [tenant.space_id]}
    try:
        answer = await _ask(socket, frame, "registered")
        right = should_work(FRAME_RULES["register"], who, tenant, has_object=True)
        _judge_frame(found, f"register by {who.name}", answer, "registered", right=right)
    finally:
        await socket.close()


def _judge_frame(
    found: Campaign, case: str, answer: Mapping[str, Any], wanted: str, *, right: bool
) -> None:
    found.attempts += 1
    allowed = answer["type"] in (wanted, "finished")
    if allowed and not right:
        found.wrongly_allowed.append(f"{case}: {answer['type']}")
    elif right and not allowed:
        found.wrongly_refused.append(f"{case}: {json.dumps(answer)[:200]}")
