"""A join token lets one machine get a worker token, once."""

import asyncio
from typing import Any

import pytest

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import (
    Authenticate,
    CredentialReply,
    Principal,
    PrincipalKind,
    RevokeCredential,
)
from spaces_contracts.audit import ListAudit
from spaces_contracts.identifiers import new_id
from spaces_contracts.joins import (
    CreateJoinToken,
    JoinToken,
    ListJoinTokens,
    RedeemJoinToken,
    RevokeJoinToken,
)
from spaces_contracts.keys import kind_of, new_join_token, new_key, sha256_of, shown_prefix
from spaces_contracts.problems import Code
from tests.integration.registry.conftest import Agent, World


def creation(
    actor: Principal, secret: str, *spaces: str, expires_in_s: float = 60.0
) -> CreateJoinToken:
    return CreateJoinToken(
        actor=actor,
        join_sha256=sha256_of(secret),
        prefix=shown_prefix(secret),
        name="rented gpu",
        spaces=list(spaces),
        expires_in_s=expires_in_s,
    )


def exchange(secret: str, token: str | None = None) -> RedeemJoinToken:
    token = token or new_key(PrincipalKind.WORKER_TOKEN)
    return RedeemJoinToken(
        join_sha256=sha256_of(secret),
        secret_sha256=sha256_of(token),
        prefix=shown_prefix(token),
        client_address="192.0.2.7",
    )


async def made(world: World, actor: Principal | None = None) -> tuple[str, JoinToken]:
    secret = new_join_token()
    reply = await world.bus.request(creation(actor or world.admin, secret, "chat"))
    return secret, reply.join_token


async def test_a_machine_gets_a_worker_token_of_its_own_and_serves_with_it(world: World) -> None:
    space = await world.space("chat")
    secret, join = await made(world)
    assert join.space_ids == [space.space_id]
    assert kind_of(secret) is None, "it is no credential"
    token = new_key(PrincipalKind.WORKER_TOKEN)
    credential = (await world.bus.request(exchange(secret, token))).credential
    assert credential.principal.kind is PrincipalKind.WORKER_TOKEN
    assert credential.principal.space_ids == [space.space_id]
    assert credential.principal.tenant_id == space.tenant_id
    assert (await world.who(token)).principal_id == credential.principal.principal_id
    assert (await world.attach(Agent(token), "chat")).problem is None
    listed = (await world.bus.request(ListJoinTokens(actor=world.admin))).join_tokens
    assert [one.used_by for one in listed] == [credential.principal.principal_id]


async def test_the_second_machine_is_refused(world: World) -> None:
    await world.space("chat")
    secret, _ = await made(world)
    await world.bus.request(exchange(secret))
    assert (await world.refused(exchange(secret))).code is Code.JOIN_TOKEN_USED


async def test_the_same_exchange_again_is_answered_the_same(world: World) -> None:
    """The answer was lost, or the machine died before it wrote it down."""
    await world.space("chat")
    secret, _ = await made(world)
    once = exchange(secret)
    assert await world.bus.request(once) == await world.bus.request(once)
    first = (await world.bus.request(once)).credential.principal
    await world.bus.request(RevokeCredential(actor=world.admin, principal_id=first.principal_id))
    assert (await world.refused(once)).code is Code.JOIN_TOKEN_USED, "not once it is revoked"


async def test_of_twenty_machines_at_once_one_gets_a_token(world: World) -> None:
    await world.space("chat")
    secret, _ = await made(world)
    tries = [world.bus.request(exchange(secret), timeout_s=20) for _ in range(20)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(answer, CredentialReply) for answer in answers) == 1
    refused = [answer for answer in answers if isinstance(answer, ProblemError)]
    assert {answer.problem.code for answer in refused} == {Code.JOIN_TOKEN_USED}
    assert len(refused) == 19


async def test_one_that_is_late_unknown_or_taken_back_is_no_good(world: World, tables: Any) -> None:
    await world.space("chat")
    late, _ = await made(world)
    await tables.execute("UPDATE registry.join_token SET expires_at = clock_timestamp()")
    back, join = await made(world)
    taken = RevokeJoinToken(actor=world.admin, join_id=join.join_id)
    assert (await world.bus.request(taken)).join_token.revoked_at is not None
    for secret in (late, back, new_join_token()):
        assert (await world.refused(exchange(secret))).code is Code.JOIN_TOKEN_INVALID


async def test_what_came_of_a_used_one_is_not_taken_back_with_it(world: World) -> None:
    await world.space("chat")
    secret, join = await made(world)
    token = new_key(PrincipalKind.WORKER_TOKEN)
    await world.bus.request(exchange(secret, token))
    problem = await world.refused(RevokeJoinToken(actor=world.admin, join_id=join.join_id))
    assert problem.code is Code.JOIN_TOKEN_USED
    assert (await world.who(token)).principal_id in problem.message


async def test_a_maker_whose_key_was_revoked_lets_nobody_in(world: World) -> None:
    space = await world.space("chat")
    key = await world.key(PrincipalKind.API_KEY, tenant_id=space.tenant_id)
    maker = await world.who(key)
    secret, _ = await made(world, maker)
    await world.bus.request(RevokeCredential(actor=world.admin, principal_id=maker.principal_id))
    assert (await world.refused(exchange(secret))).code is Code.JOIN_TOKEN_INVALID


async def test_another_tenants_spaces_and_tokens_do_not_exist(world: World, tables: Any) -> None:
    await world.space("chat")
    _, join = await made(world)
    tenant_id = new_id()
    await tables.execute(
        "INSERT INTO registry.tenant (tenant_id, name) VALUES ($1, 'other')", tenant_id
    )
    other = await world.who(await world.key(PrincipalKind.API_KEY, tenant_id=tenant_id))
    created = creation(other, new_join_token(), "chat")
    assert (await world.refused(created)).code is Code.SPACE_NOT_FOUND
    taken = RevokeJoinToken(actor=other, join_id=join.join_id)
    assert (await world.refused(taken)).code is Code.KEY_NOT_FOUND
    assert (await world.bus.request(ListJoinTokens(actor=other))).join_tokens == []


@pytest.mark.parametrize("seconds", [0, -1, 31 * 86_400])
async def test_it_lives_for_a_while_and_not_for_ever(world: World, seconds: float) -> None:
    await world.space("chat")
    created = creation(world.admin, new_join_token(), "chat", expires_in_s=seconds)
    assert (await world.refused(created)).code is Code.INVALID_REQUEST


async def test_a_worker_makes_none_and_a_hash_that_is_none_is_refused(world: World) -> None:
    await world.space("chat")
    worker = await world.who(await world.token("chat"))
    created = creation(worker, new_join_token(), "chat")
    assert (await world.refused(created)).code is Code.FORBIDDEN
    secret = new_join_token()
    plain = creation(world.admin, secret, "chat").model_copy(update={"join_sha256": secret})
    assert (await world.refused(plain)).code is Code.INVALID_REQUEST


async def test_it_is_in_the_audit_log_without_its_secret(world: World) -> None:
    await world.space("chat")
    secret, join = await made(world)
    used = exchange(secret)
    credential = (await world.bus.request(used)).credential
    await world.refused(exchange(secret))
    entries = (await world.bus.request(ListAudit(actor=world.admin))).entries
    assert [(entry.action, entry.outcome, entry.object_id) for entry in entries[:3]] == [
        ("RedeemJoinToken", "join_token_used", None),
        ("RedeemJoinToken", "done", credential.principal.principal_id),
        ("CreateJoinToken", "done", join.join_id),
    ]
    assert entries[0].client_address == "192.0.2.7"
    for hidden in (secret, sha256_of(secret), used.secret_sha256):
        assert hidden not in repr(entries)


async def test_a_join_token_opens_nothing_else(world: World) -> None:
    await world.space("chat")
    secret, _ = await made(world)
    asked = Authenticate(secret_sha256=sha256_of(secret))
    assert (await world.refused(asked)).code is Code.UNAUTHENTICATED
    problem = (await world.attach(Agent(secret), "chat")).problem
    assert problem is not None
    assert problem.code is Code.TOKEN_INVALID
