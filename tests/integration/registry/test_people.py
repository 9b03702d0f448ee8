"""People register, are invited, promoted and shut out; and the audit log tells."""

from pathlib import Path
from typing import Any

import pytest

from spaces_chassis.lifecycle import Loop
from spaces_contracts.access import CreateTenant, PrincipalKind, Role
from spaces_contracts.audit import AuditEntry, ListAudit
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import sha256_of
from spaces_contracts.problems import Code
from spaces_contracts.spaces import CreateSpace, DeleteSpace
from spaces_contracts.users import (
    CreateInvite,
    DeleteInvite,
    GetRegistration,
    ListInvites,
    ListUsers,
    RegisterUser,
    Registration,
    UpdateUser,
    User,
    password_digest,
)
from spaces_registry.admin_password import AdminPasswordError, read_or_make
from spaces_registry.app import Registry
from spaces_registry.settings import RegistrySettings
from tests.integration.registry.conftest import World, running
from tests.integration.registry.test_logins import DIGEST, login, person, sign_in


@pytest.fixture
def settings(
    settings: RegistrySettings, request: pytest.FixtureRequest, tmp_path: Path
) -> RegistrySettings:
    """Open to everybody unless the test says otherwise."""
    how = getattr(request, "param", Registration.OPEN)
    return settings.model_copy(
        update={"registration": how, "admin_password_file": tmp_path / "admin-password"}
    )


def registering(email: str, **fields: Any) -> RegisterUser:
    return RegisterUser(email=email, password_digest=DIGEST, **fields)


async def register(world: World, email: str, **fields: Any) -> User:
    return (await world.bus.request(registering(email, **fields), timeout_s=30)).user


async def test_who_registers_owns_a_tenant_of_their_own(world: World) -> None:
    ada = await register(world, "Ada@Example.org", tenant_name="acme", username="ada")
    assert (ada.email, ada.role) == ("ada@example.org", Role.OWNER)
    bob = await register(world, "bob@example.org")
    assert bob.tenant_id != ada.tenant_id
    principal = (await sign_in(world, login("Ada"))).principal
    assert principal.tenant_id == ada.tenant_id
    assert [
        user.user_id for user in (await world.bus.request(ListUsers(actor=principal))).users
    ] == [ada.user_id]
    for command, code in (
        (registering("ada@example.org"), Code.EMAIL_TAKEN),
        (registering("eve@example.org", username="ADA"), Code.EMAIL_TAKEN),
        (registering("eve@example.org", tenant_name="acme"), Code.TENANT_NAME_TAKEN),
        (registering("eve@example.org", username="bob@example.org"), Code.INVALID_REQUEST),
    ):
        assert (await world.refused_within(command, 30)).code is code


@pytest.mark.parametrize("settings", list(Registration), indirect=True)
async def test_whoever_asks_is_told_who_may_register(
    world: World, settings: RegistrySettings
) -> None:
    reply = await world.bus.request(GetRegistration())
    assert reply.registration is settings.registration


async def test_a_refused_registration_leaves_no_tenant_behind(world: World) -> None:
    await register(world, "ada@example.org")
    again = registering("ada@example.org", tenant_name="left-behind")
    assert (await world.refused_within(again, 30)).code is Code.EMAIL_TAKEN
    await world.bus.request(CreateTenant(actor=world.admin, name="left-behind"))


@pytest.mark.parametrize("settings", [Registration.INVITE], indirect=True)
async def test_an_invitation_lets_one_person_in_once(world: World) -> None:
    assert (await world.refused(registering("ada@example.org"))).code is Code.REGISTRATION_CLOSED
    secret = sha256_of(new_id())
    invite = (
        await world.bus.request(
            CreateInvite(actor=world.admin, invite_sha256=secret, email="ada@example.org")
        )
    ).invite
    assert (await world.bus.request(ListInvites(actor=world.admin))).invites == [invite]
    other = registering("eve@example.org", invite_sha256=secret)
    assert (await world.refused_within(other, 30)).code is Code.INVITE_INVALID
    ada = await register(world, "ada@example.org", invite_sha256=secret)
    assert (ada.role, ada.tenant_id) == (Role.MEMBER, invite.tenant_id)
    again = registering("bob@example.org", invite_sha256=secret)
    assert (await world.refused_within(again, 30)).code is Code.INVITE_INVALID
    assert (await world.bus.request(ListInvites(actor=world.admin))).invites == []
    gone = DeleteInvite(actor=world.admin, invite_id=invite.invite_id)
    assert (await world.refused(gone)).code is Code.INVITE_INVALID


@pytest.mark.parametrize("settings", [Registration.CLOSED], indirect=True)
async def test_closed_is_closed_for_the_invited_too(world: World) -> None:
    secret = sha256_of(new_id())
    await world.bus.request(CreateInvite(actor=world.admin, invite_sha256=secret))
    command = registering("ada@example.org", invite_sha256=secret)
    assert (await world.refused(command)).code is Code.REGISTRATION_CLOSED


async def test_a_member_manages_nobody_and_an_owner_only_their_tenant(world: World) -> None:
    member = await person(world, "member@example.org", Role.MEMBER)
    stranger = await register(world, "owner@example.org")
    as_member = (await sign_in(world, login("member@example.org"))).principal
    as_stranger = (await sign_in(world, login("owner@example.org"))).principal
    assert (await world.refused(ListUsers(actor=as_member))).code is Code.FORBIDDEN
    change = UpdateUser(actor=as_stranger, user_id=member.user_id, is_disabled=True)
    assert (await world.refused(change)).code is Code.USER_NOT_FOUND
    climb = UpdateUser(actor=as_stranger, user_id=stranger.user_id, role=Role.ADMIN)
    assert (await world.refused(climb)).code is Code.FORBIDDEN


async def test_a_tenant_keeps_an_owner(world: World) -> None:
    ada = await register(world, "ada@example.org")
    principal = (await sign_in(world, login())).principal
    for change in ({"role": Role.MEMBER}, {"is_disabled": True}):
        command = UpdateUser(actor=principal, user_id=ada.user_id, **change)
        assert (await world.refused(command)).code is Code.LAST_OWNER


async def test_the_first_admin_signs_in_with_the_password_in_the_file(
    world: World, settings: RegistrySettings
) -> None:
    path = settings.admin_password_file
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    password = path.read_text(encoding="utf-8").strip()
    command = login(settings.admin_email).model_copy(
        update={"password_digest": password_digest(password)}
    )
    admin = (await sign_in(world, command)).principal
    assert admin.is_admin
    assert admin.tenant_id is None
    only = UpdateUser(actor=world.admin, user_id=admin.user_id or "", is_disabled=True)
    assert (await world.refused(only)).code is Code.LAST_OWNER


async def test_a_second_start_makes_no_second_admin(
    world: World, settings: RegistrySettings
) -> None:
    path = settings.admin_password_file
    assert path is not None
    before = path.read_text(encoding="utf-8")
    second = Registry(settings)
    async with running([part for part in second.parts if not isinstance(part, Loop)]):
        pass
    assert path.read_text(encoding="utf-8") == before
    admins = (await world.bus.request(ListUsers(actor=world.admin))).users
    assert [user.role for user in admins] == [Role.ADMIN]


def test_a_password_file_that_holds_next_to_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("short", encoding="utf-8")
    with pytest.raises(AdminPasswordError, match="less than"):
        read_or_make(path)


async def audit(world: World, **fields: Any) -> list[AuditEntry]:
    return (await world.bus.request(ListAudit(actor=world.admin, **fields))).entries


async def test_what_is_done_and_what_is_refused_is_in_the_log(world: World) -> None:
    space = await world.space("chat")
    token = await world.token("chat")
    refused = CreateSpace(actor=await world.who(token), name="more")
    assert (await world.refused(refused)).code is Code.FORBIDDEN
    missing = DeleteSpace(actor=world.admin, space_id=new_id())
    assert (await world.refused(missing)).code is Code.SPACE_NOT_FOUND
    actor = world.admin.model_copy(update={"client_address": "192.0.2.7"})
    await world.bus.request(DeleteSpace(actor=actor, space_id=space.space_id))
    entries = await audit(world)
    assert [(entry.action, entry.outcome) for entry in entries] == [
        ("DeleteSpace", "done"),
        ("DeleteSpace", "space_not_found"),
        ("CreateSpace", "forbidden"),
        ("CreateCredential", "done"),
        ("CreateSpace", "done"),
    ]
    assert entries[0].object_id == entries[4].object_id == space.space_id
    assert entries[0].tenant_id == space.tenant_id
    assert entries[0].client_address == "192.0.2.7"
    assert entries[4].details["name"] == "chat"
    assert entries[2].principal_kind == PrincipalKind.WORKER_TOKEN


async def test_the_log_holds_no_secret_and_no_hash_of_one(world: World) -> None:
    secret = new_id()
    await register(world, "ada@example.org")
    await sign_in(world, login(secret=secret))
    token = await world.key(PrincipalKind.API_KEY)
    text = repr(await audit(world))
    for hidden in (DIGEST, sha256_of(secret), token, sha256_of(token)):
        assert hidden not in text
    assert "ada@example.org" in text


async def test_a_tenant_reads_its_own_part_of_the_log_page_by_page(world: World) -> None:
    ada = await register(world, "ada@example.org")
    await world.space("of-the-default-tenant")
    principal = (await sign_in(world, login())).principal
    for name in ("one", "two", "three"):
        await world.bus.request(CreateSpace(actor=principal, name=name))
    first = await world.bus.request(ListAudit(actor=principal, limit=2))
    second = await world.bus.request(ListAudit(actor=principal, limit=2, cursor=first.next_cursor))
    names = [entry.details.get("name") for entry in (*first.entries, *second.entries)]
    assert names[:3] == ["three", "two", "one"]
    assert {entry.tenant_id for entry in (*first.entries, *second.entries)} == {ada.tenant_id}
    bad = ListAudit(actor=principal, cursor="1; DROP TABLE registry.audit")
    assert (await world.refused(bad)).code is Code.INVALID_REQUEST


async def test_a_try_on_anothers_things_is_in_the_log_of_who_tried(world: World) -> None:
    await register(world, "ada@example.org")
    await register(world, "eve@example.org")
    ada = (await sign_in(world, login())).principal
    eve = (await sign_in(world, login("eve@example.org"))).principal
    space = (await world.bus.request(CreateSpace(actor=ada, name="chat"))).space
    tried = DeleteSpace(actor=eve, space_id=space.space_id)
    assert (await world.refused(tried)).code is Code.SPACE_NOT_FOUND
    seen = [(await world.bus.request(ListAudit(actor=one))).entries[0] for one in (ada, eve)]
    assert [(entry.action, entry.outcome) for entry in seen] == [
        ("CreateSpace", "done"),
        ("DeleteSpace", "space_not_found"),
    ]
    assert (await audit(world))[0] == seen[1]
