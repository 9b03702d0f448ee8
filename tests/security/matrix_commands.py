"""Every command with every kind of actor, said on NATS with the credential of each service.

The gateway may say who acts, so it is the registry that holds each actor to the table of permissions and to their own
tenant. Other services' credentials may not say these commands at all.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from nats.aio.client import Client
from pydantic import SecretStr

from spaces_chassis.bus import Bus
from spaces_chassis.errors import ProblemError
from spaces_chassis.settings import BusSettings
from spaces_contracts.access import Act, Permission, PrincipalKind
from spaces_contracts.catalog import CATALOG, Party
from spaces_contracts.identifiers import new_id
from spaces_contracts.message import Command
from spaces_contracts.permissions import COMMAND_RULES, Whose, allows
from spaces_contracts.problems import Code
from spaces_stack.ports import LOOPBACK
from spaces_stack.state_dir import StateDir
from tests.security.campaign import Campaign
from tests.security.matrix import should_work
from tests.security.matrix_calls import CALLS
from tests.security.matrix_world import Credential, Tenant, World
from tests.security.nats_scene import settled
from tests.support.platform import Platform

ACTS: Mapping[str, type[Act[Any]]] = {
    entry.message.__name__: entry.message for entry in CATALOG if issubclass(entry.message, Act)
}
# A password is checked for a while.
_ANSWER_S = 20.0
_REFUSED = frozenset({
    Code.FORBIDDEN, Code.SPACE_NOT_FOUND, Code.TENANT_NOT_FOUND, Code.KEY_NOT_FOUND, Code.USER_NOT_FOUND,
    Code.INVITE_INVALID, Code.TOKEN_SCOPE,
})  # fmt: skip
# The actor got as far as it goes: these commands are about what is not there.
_REACHED = frozenset({
    Code.LOGIN_NOT_FOUND, Code.LOGIN_FAILED, Code.LOGIN_THROTTLED, Code.CONNECTION_NOT_FOUND,
})  # fmt: skip
# To be tried in a private space by everybody of its tenant.
IN_A_SPACE = frozenset(name for name, rule in COMMAND_RULES.items() if rule.whose is Whose.SEEN) - {
    "CreateSpace"
}
Body = Callable[[World, Credential, Tenant], Awaitable[dict[str, Any]]]


class Case(NamedTuple):
    """One command. `needs` when one of the permissions of its row is not enough for this body."""

    command: str
    body: Body
    names_object: bool = True
    needs: Permission | None = None


def _said(**fields: Any) -> Body:
    """Fields, in which `{tenant_id}` and such stand for the tenant's."""

    async def make(_world: World, _who: Credential, tenant: Tenant) -> dict[str, Any]:
        def filled(value: Any) -> Any:
            if isinstance(value, list):
                return [filled(one) for one in value]
            return value.format(**vars(tenant)) if isinstance(value, str) else value

        return {name: filled(value) for name, value in fields.items()}

    return make


def _fresh(**fields: Any) -> Body:
    """The same, with a name or a hash that nothing has yet in place of `*`."""

    async def make(world: World, who: Credential, tenant: Tenant) -> dict[str, Any]:
        body = await _said(**fields)(world, who, tenant)
        for name, value in body.items():
            if value == "*":
                body[name] = secrets.token_hex(32) if name.endswith("_sha256") else new_id()
        return body

    return make


def _deleted_by(operation: str, name: str) -> Body:
    """The object that the HTTP operation would remove, made for this."""

    async def make(world: World, who: Credential, tenant: Tenant) -> dict[str, Any]:
        return {name: (await CALLS[operation](world, who, tenant)).path.rpartition("/")[2]}

    return make


_KEY, _TOKEN = PrincipalKind.API_KEY.value, PrincipalKind.WORKER_TOKEN.value
_KEYS, _WORKERS = Permission.KEYS_MANAGE, Permission.WORKERS_MANAGE
_MADE = {"name": "made", "secret_sha256": "*", "prefix": "spx_made"}
CASES = (
    Case("CreateTenant", _fresh(name="*"), names_object=False),
    Case("ListTenants", _said(), names_object=False),
    Case("CreateCredential", _fresh(kind=_KEY, tenant_id="{tenant_id}", **_MADE), needs=_KEYS),
    Case("CreateCredential", _fresh(kind=_TOKEN, spaces=["{space_id}"], **_MADE), needs=_WORKERS),
    Case("ListCredentials", _said(kind=_KEY), names_object=False, needs=_KEYS),
    Case("ListCredentials", _said(kind=_TOKEN), names_object=False, needs=_WORKERS),
    Case("RevokeCredential", _deleted_by("revoke_key", "principal_id"), needs=_KEYS),
    Case("RevokeCredential", _deleted_by("revoke_worker_token", "principal_id"), needs=_WORKERS),
    Case("CreateTicket", _fresh(ticket_sha256="*"), names_object=False),
    Case("CreateJoinToken", _fresh(join_sha256="*", prefix="spj_made", name="made", spaces=["{space_id}"])),
    Case("ListJoinTokens", _said(), names_object=False),
    Case("RevokeJoinToken", _deleted_by("revoke_join_token", "join_id")),
    Case("ListLogins", _said(), names_object=False),
    Case("EndLogin", _fresh(login_id="*"), names_object=False),
    Case("ChangePassword", _said(password_digest="0" * 64, new_digest="1" * 64), names_object=False),
    Case("ListUsers", _said(), names_object=False),
    Case("UpdateUser", _said(user_id="{member_id}", role="member")),
    Case("CreateInvite", _fresh(invite_sha256="*", tenant_id="{tenant_id}")),
    Case("ListInvites", _said(), names_object=False),
    Case("DeleteInvite", _deleted_by("delete_invite", "invite_id")),
    Case("ListAudit", _said(), names_object=False),
    Case("GetNames", _said(space_ids=["{space_id}"]), names_object=False),
    Case("ListPrincipals", _said(who="{member_id}"), names_object=False),
    Case("GetSystem", _said(), names_object=False),
    Case("GetQuotas", _said(tenant_id="{tenant_id}")),
    Case("SetQuotas", _said(tenant_id="{tenant_id}", changed=["queued"], limits={})),
    Case("CreateSpace", _fresh(name="*", tenant_id="{tenant_id}")),
    Case("GetSpace", _said(ref="{space_id}")),
    Case("ListSpaces", _said(), names_object=False),
    Case("UpdateSpace", _said(space_id="{space_id}", description="new")),
    Case("SetCover", _said(space_id="{space_id}")),
    Case("DeleteSpace", _deleted_by("delete_space", "space_id")),
    Case("ListConnections", _said(space_id="{space_id}")),
    Case("ControlConnection", _fresh(connection_id="*", action="drain"), names_object=False),
)  # fmt: skip


async def run(platform: Platform, *, every: int = 1) -> Campaign:
    """Each case with each actor; `every` third, say, for a small form."""
    found = Campaign("matrix_commands")
    world = World(platform.gateway_url, platform.admin_key)
    try:
        await world.build()
        actors = [who for who in world.credentials if who.principal is not None]
        async with _as_gateway(platform) as bus:
            for number, (case, who) in enumerate((case, who) for case in CASES for who in actors):
                if number % every:
                    continue
                await _try(world, bus, found, case, who, world.tenants["ours"])
                in_private = case.command in IN_A_SPACE and case.names_object
                if in_private and who.tenant == world.private.name:
                    await _try(world, bus, found, case, who, world.private)
        await _other_services(platform, found)
    finally:
        await world.close()
    return found


async def _try(
    world: World, bus: Bus, found: Campaign, case: Case, who: Credential, tenant: Tenant
) -> None:
    assert who.principal is not None
    right = should_work(
        COMMAND_RULES[case.command], who, tenant, has_object=case.names_object
    ) and (case.needs is None or allows(who.principal, case.needs))
    body = await case.body(world, who, tenant)
    command = ACTS[case.command].model_validate({"actor": who.principal} | body)
    found.attempts += 1
    where = "a private space of ours" if tenant.private_to else "ours"
    name = f"{case.command}({', '.join(sorted(body))}) in {where} by {who.name}"
    try:
        reply = (await bus.request(command, timeout_s=_ANSWER_S)).model_dump_json()
    except ProblemError as error:
        code = error.problem.code
        allowed, said, reply = code in _REACHED, str(error), ""
        if not allowed and code not in _REFUSED:
            found.errors.append(f"{name}: {said}")
            return
    else:
        allowed, said = True, reply[:200]
    if allowed and not right:
        found.wrongly_allowed.append(f"{name}: {said}")
    elif right and not allowed:
        found.wrongly_refused.append(f"{name}: {said}")
    if leaks := _leaks(world, who, case, reply):
        found.wrongly_allowed.append(f"{name}: shows {leaks}, which is not for it")


def _leaks(world: World, who: Credential, case: Case, reply: str) -> set[str]:
    # What somebody tried in vain is theirs to see in the audit log, with the ids that they named.
    if (who.principal is not None and who.principal.is_admin) or case.command == "ListAudit":
        return set()
    hidden = [tenant for tenant in world.tenants.values() if tenant.name != who.tenant]
    if not world.private.is_seen_by(who):
        hidden.append(world.private)
    return {one for tenant in hidden for one in tenant.ids if one in reply}


def _settings(platform: Platform, user: str) -> BusSettings:
    password = StateDir(platform.folder).secrets.get(f"nats-{user}")
    url = f"nats://{LOOPBACK}:{platform.processes.ports[1]}"
    return BusSettings(nats_url=url, nats_user=user, nats_password=SecretStr(password))


@asynccontextmanager
async def _as_gateway(platform: Platform) -> AsyncIterator[Bus]:
    bus = Bus.from_settings(_settings(platform, Party.GATEWAY.value), name="hostile")
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


async def _other_services(platform: Platform, found: Campaign) -> None:
    """Who is no gateway says no command of a gateway's: the broker does not pass it on."""
    for party in (Party.REGISTRY, Party.SCHEDULER):
        for command in _not_of(party):
            refused = await _refused(platform, party, command)
            found.attempts += 1
            if not refused:
                found.wrongly_allowed.append(f"{command} by the {party.value}'s credential")


def _not_of(party: Party) -> Iterator[str]:
    for entry in CATALOG:
        subject = entry.message.subject
        if issubclass(entry.message, Command) and party not in entry.senders and not subject.fields:
            yield subject.template


async def _refused(platform: Platform, party: Party, subject: str) -> bool:
    told: list[str] = []

    async def note(error: Exception) -> None:
        told.append(str(error))

    settings = _settings(platform, party.value)
    async with AsyncExitStack() as stack:
        client = Client()
        assert settings.nats_password is not None
        await client.connect(
            settings.nats_url,
            user=party.value,
            password=settings.nats_password.get_secret_value(),
            error_cb=note,
        )
        stack.push_async_callback(client.close)
        await client.publish(subject, b"{}")
        await settled(client)
        await asyncio.sleep(0)
        return any("permissions violation for publish" in error for error in told)
