"""How each HTTP operation is called so that it works for who may: fresh objects where a call uses them up."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from spaces_contracts.access import PrincipalKind
from spaces_contracts.keys import new_key, sha256_of, shown_prefix
from tests.security.matrix_world import PASSWORD, PICTURE, Credential, Tenant, World


@dataclass
class Call:
    """One request. `who` is set when it has to be another login of the same person."""

    method: str
    path: str
    options: dict[str, Any] = field(default_factory=dict)
    who: Credential | None = None
    is_allowed: Callable[[httpx2.Response], bool] = lambda response: response.status_code < 400


Make = Callable[[World, Credential, Tenant], Awaitable[Call]]


def _plain(method: str, path: str, **options: Any) -> Make:
    async def make(_world: World, _who: Credential, tenant: Tenant) -> Call:
        return Call(method, path.format(**vars(tenant)), dict(options))

    return make


def _posted(path: str, body: Callable[[World, Tenant], dict[str, Any]]) -> Make:
    async def make(world: World, _who: Credential, tenant: Tenant) -> Call:
        return Call("POST", path, {"json": body(world, tenant)})

    return make


async def _update_space(world: World, _who: Credential, tenant: Tenant) -> Call:
    return Call("PATCH", f"/api/spaces/{tenant.space_id}", {"json": {"description": "new"}})


async def _delete_space(world: World, _who: Credential, tenant: Tenant) -> Call:
    return Call("DELETE", f"/api/spaces/{await world.space(tenant)}")


async def _delete_cover(world: World, _who: Credential, tenant: Tenant) -> Call:
    # Of a space that had none: that is no error, and the one that is looked at keeps its own.
    return Call("DELETE", f"/api/spaces/{await world.space(tenant)}/cover")


async def _cancel_request(world: World, _who: Credential, tenant: Tenant) -> Call:
    return Call("POST", f"/api/requests/{await world.request(tenant)}/cancel")


async def _revoke_key(world: World, who: Credential, tenant: Tenant) -> Call:
    """A key of the tenant's; who only handles their own gets one of those."""
    own = who.principal is not None and who.tenant == tenant.name and who.principal.user_id
    maker = who if own and "keys:manage" in who.permissions else tenant.key
    made = await world.key_of(maker)
    return Call("DELETE", f"/api/keys/{made['credential']['principal']['principal_id']}")


async def _revoke_worker_token(world: World, _who: Credential, tenant: Tenant) -> Call:
    return Call("DELETE", f"/api/worker-tokens/{await world.token(tenant)}")


async def _update_user(world: World, _who: Credential, tenant: Tenant) -> Call:
    # The same again: nobody is shut out by being asked for a hundred times.
    return Call("PATCH", f"/api/users/{tenant.member_id}", {"json": {"role": "member"}})


async def _delete_invite(world: World, _who: Credential, tenant: Tenant) -> Call:
    invite = (await world.invite(tenant))["invite"]
    return Call("DELETE", f"/api/invites/{invite['invite_id']}")


async def _join_token(world: World, tenant: Tenant) -> dict[str, Any]:
    body = {"name": "fresh", "spaces": [tenant.space_id]}
    return await world.made(world.admin, "/api/join-tokens", **body)


async def _revoke_join_token(world: World, _who: Credential, tenant: Tenant) -> Call:
    made = await _join_token(world, tenant)
    return Call("DELETE", f"/api/join-tokens/{made['join_token']['join_id']}")


async def _redeem_join_token(world: World, _who: Credential, tenant: Tenant) -> Call:
    secret = new_key(PrincipalKind.WORKER_TOKEN)
    body = {
        "join_token": (await _join_token(world, tenant))["secret"],
        "worker_token_sha256": sha256_of(secret),
        "worker_token_prefix": shown_prefix(secret),
    }
    return Call("POST", "/api/join-tokens/redeem", {"json": body})


async def _again(world: World, who: Credential, tenant: Tenant) -> Credential:
    """Somebody like the caller whom the call may sign out; the caller when they are no person."""
    if who.principal is None or who.principal.role is None:
        return who
    return (await world.person(world.tenants[who.tenant or tenant.name], who.principal.role))[1]


async def _log_out(world: World, who: Credential, tenant: Tenant) -> Call:
    return Call("POST", "/auth/jwt/logout", who=await _again(world, who, tenant))


async def _end_login(world: World, who: Credential, tenant: Tenant) -> Call:
    person = await _again(world, who, tenant)
    login_id = person.principal.principal_id if person.principal else tenant.member_id
    return Call("DELETE", f"/auth/sessions/{login_id}", who=person)


async def _change_password(world: World, who: Credential, tenant: Tenant) -> Call:
    body = {"current_password": PASSWORD, "new_password": "ten goats in a valley"}
    return Call("POST", "/auth/password", {"json": body}, who=await _again(world, who, tenant))


async def _register(world: World, _who: Credential, tenant: Tenant) -> Call:
    secret = (await world.invite(tenant))["secret"]
    email = world.fresh_name("new") + "@example.org"
    return Call(
        "POST", "/auth/register", {"json": {"email": email, "password": PASSWORD, "invite": secret}}
    )


async def _log_in(world: World, _who: Credential, tenant: Tenant) -> Call:
    form = {"username": await _email(world, tenant), "password": PASSWORD}
    return Call("POST", "/auth/jwt/login", {"data": form})


async def _log_in_with_form(world: World, _who: Credential, tenant: Tenant) -> Call:
    form = {"email": await _email(world, tenant), "password": PASSWORD}
    return Call("POST", "/login", {"data": form})


async def _refresh(world: World, _who: Credential, tenant: Tenant) -> Call:
    form = {"username": await _email(world, tenant), "password": PASSWORD}
    answer = await world.http.post("/auth/jwt/login", data=form)
    cookie = answer.raise_for_status().headers["set-cookie"].partition(";")[0]
    world.http.cookies.clear()
    return Call("POST", "/auth/jwt/refresh", {"headers": {"Cookie": cookie}})


async def _email(world: World, tenant: Tenant) -> str:
    listed = (await world.call(world.admin, "GET", "/api/users")).raise_for_status().json()
    return next(
        str(user["email"]) for user in listed["users"] if user["user_id"] == tenant.member_id
    )


async def _add_space_with_form(world: World, _who: Credential, _tenant: Tenant) -> Call:
    form = {"name": world.fresh_name("form"), "card_type": "websockets", "ws_enable_prompt": "on"}
    return Call("POST", "/admin/space/add", {"data": form})


async def _check_worker(world: World, _who: Credential, tenant: Tenant) -> Call:
    def is_allowed(response: httpx2.Response) -> bool:
        if response.status_code >= 400:
            return False
        found = response.json()
        problem = found["spaces"][0]["problem"] if found["spaces"] else None
        return found["token"]["problem"] is None and (
            problem is None or problem["code"] == "already_connected"
        )

    return Call(
        "GET",
        "/api/worker/check",
        {"params": {"space": tenant.space_id}},
        is_allowed=is_allowed,
    )


async def _wrong_link(world: World, _who: Credential, tenant: Tenant) -> Call:
    params = {"request": tenant.request_id, "exp": "9999999999", "sig": "A" * 43}
    return Call("GET", f"/files/{tenant.file_id}", {"params": params})


def _wrong_upload(method: str) -> Make:
    async def make(_world: World, _who: Credential, tenant: Tenant) -> Call:
        params = {"tenant": tenant.tenant_id, "exp": "9999999999", "sig": "A" * 43}
        path = f"/api/results/{tenant.request_id}/files"
        return Call(method, path, {"params": params, "content": b"words"})

    return make


_FILE = {"Content-Type": "application/octet-stream", "X-File-Name": "words.txt"}

# Drain and kick need a live connection: matrix.py makes one.
CALLS: dict[str, Make] = {
    "create_space": _posted("/api/spaces", lambda world, tenant: {
        "name": world.fresh_name("made"), "tenant_id": tenant.tenant_id}),
    "list_spaces": _plain("GET", "/api/spaces?limit=200"),
    "get_space": _plain("GET", "/api/spaces/{space_id}"),
    "update_space": _update_space,
    "delete_space": _delete_space,
    "put_cover": _plain("PUT", "/api/spaces/{space_id}/cover", content=PICTURE),
    "get_cover": _plain("GET", "/api/spaces/{space_id}/cover"),
    "delete_cover": _delete_cover,
    "get_queue": _plain("GET", "/api/spaces/{space_id}/queue"),
    "list_space_connections": _plain("GET", "/api/spaces/{space_id}/connections"),
    "submit_request": _plain("POST", "/api/spaces/{space_id}/requests", json={"prompt": "hello"}),
    "list_requests": _plain("GET", "/api/requests?limit=200"),
    "get_request": _plain("GET", "/api/requests/{request_id}"),
    "get_request_details": _plain("GET", "/api/requests/{request_id}/details"),
    "cancel_request": _cancel_request,
    "cancel_requests": _posted("/api/requests/cancel", lambda _, tenant: {
        "space": tenant.space_id, "limit": 1}),
    "retry_request": _plain("POST", "/api/requests/{request_id}/retry"),
    "retry_requests": _posted("/api/requests/retry", lambda _, tenant: {
        "space": tenant.space_id, "limit": 1}),
    "list_connections": _plain("GET", "/api/connections"),
    "get_system": _plain("GET", "/api/system"),
    "get_system_history": _plain("GET", "/api/system/history"),
    "list_busy_queues": _plain("GET", "/api/queues"),
    "stream_request_events": _plain("GET", "/api/requests/{request_id}/events"),
    "upload_file": _plain("POST", "/api/files", content=b"words", headers=_FILE),
    "download_file": _plain("GET", "/api/files/{file_id}"),
    "download_signed_file": _wrong_link,
    "upload_result_file": _wrong_upload("POST"),
    "put_result_file": _wrong_upload("PUT"),
    "get_me": _plain("GET", "/api/me"),
    "create_ticket": _plain("POST", "/api/ws-ticket"),
    "list_tenants": _plain("GET", "/api/tenants"),
    "create_tenant": _posted("/api/tenants", lambda world, _: {"name": world.fresh_name("made")}),
    "get_quotas": _plain("GET", "/api/tenants/{tenant_id}/quotas"),
    "set_quotas": _plain("PATCH", "/api/tenants/{tenant_id}/quotas", json={"queued": None}),
    "list_keys": _plain("GET", "/api/keys"),
    "create_key": _posted("/api/keys", lambda _, tenant: {
        "name": "made", "tenant_id": tenant.tenant_id}),
    "revoke_key": _revoke_key,
    "list_worker_tokens": _plain("GET", "/api/worker-tokens"),
    "create_worker_token": _posted("/api/worker-tokens", lambda _, tenant: {
        "name": "made", "spaces": [tenant.space_id]}),
    "revoke_worker_token": _revoke_worker_token,
    "create_join_token": _posted("/api/join-tokens", lambda _, tenant: {
        "name": "made", "spaces": [tenant.space_id]}),
    "list_join_tokens": _plain("GET", "/api/join-tokens"),
    "revoke_join_token": _revoke_join_token,
    "redeem_join_token": _redeem_join_token,
    "register_user": _register,
    "log_in": _log_in,
    "refresh_login": _refresh,
    "log_out": _log_out,
    "change_password": _change_password,
    "list_logins": _plain("GET", "/auth/sessions"),
    "end_login": _end_login,
    "get_registration": _plain("GET", "/auth/registration"),
    "get_signing_keys": _plain("GET", "/.well-known/jwks.json"),
    "list_users": _plain("GET", "/api/users"),
    "update_user": _update_user,
    "list_invites": _plain("GET", "/api/invites"),
    "create_invite": _posted("/api/invites", lambda _, tenant: {
        "role": "member", "tenant_id": tenant.tenant_id}),
    "delete_invite": _delete_invite,
    "check_worker": _check_worker,
    "submit_websocket_request": _plain("POST", "/websockets/submit/{space_id}", json={"prompt": "hello"}),
    "get_websocket_status": _plain("GET", "/websockets/status?request_id={request_id}"),
    "log_in_with_form": _log_in_with_form,
    "add_space_with_form": _add_space_with_form,
    "list_audit": _plain("GET", "/api/audit"),
    "get_about": _plain("GET", "/"),
    "get_health": _plain("GET", "/health"),
    "get_readiness": _plain("GET", "/health/ready"),
    "get_liveness": _plain("GET", "/health/live"),
    "get_metrics": _plain("GET", "/metrics"),
    "get_problem_codes": _plain("GET", "/docs/problems"),
}  # fmt: skip
