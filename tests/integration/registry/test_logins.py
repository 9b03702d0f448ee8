"""People sign in, stay signed in and are signed out, over the bus."""

import asyncio
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from spaces_contracts.access import (
    AccessChanged,
    Authenticate,
    CreateCredential,
    CreateTicket,
    Permission,
    Principal,
    PrincipalKind,
    RedeemTicket,
    Role,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import new_key, sha256_of, shown_prefix
from spaces_contracts.problems import Code
from spaces_contracts.spaces import CreateSpace
from spaces_contracts.users import (
    TOKEN_ALGORITHM,
    ChangePassword,
    CreateInvite,
    EndLogin,
    GetLogin,
    ListLogins,
    ListSigningKeys,
    LogIn,
    LoginReply,
    RefreshLogin,
    RegisterUser,
    UpdateUser,
    User,
    password_digest,
)
from spaces_registry.logins import TRIES
from tests.integration.registry.conftest import World

PASSWORD = "correct horse battery"
DIGEST = password_digest(PASSWORD)


async def person(world: World, email: str = "ada@example.org", role: Role = Role.OWNER) -> User:
    """Somebody who came by an invitation to the default tenant."""
    secret = new_id()
    await world.bus.request(
        CreateInvite(actor=world.admin, invite_sha256=sha256_of(secret), role=role)
    )
    reply = await world.bus.request(
        RegisterUser(email=email, password_digest=DIGEST, invite_sha256=sha256_of(secret)),
        timeout_s=30,
    )
    return reply.user


def login(name: str = "ada@example.org", secret: str = "", **fields: Any) -> LogIn:
    return LogIn(
        name=name, password_digest=DIGEST, secret_sha256=sha256_of(secret or new_id()), **fields
    )


async def sign_in(world: World, command: LogIn) -> LoginReply:
    return await world.bus.request(command, timeout_s=30)


async def test_a_password_opens_a_login_whose_token_anybody_can_check(world: World) -> None:
    user = await person(world)
    reply = await sign_in(world, login("ADA@example.org"))
    assert (reply.principal.kind, reply.principal.role) == (PrincipalKind.USER, Role.OWNER)
    keys = (await world.bus.request(ListSigningKeys())).keys
    key_set = KeySet.import_key_set({"keys": [key.model_dump() for key in keys]})
    token = jwt.decode(reply.access_token, key_set, algorithms=[TOKEN_ALGORITHM])
    assert token.header["kid"] == keys[0].kid
    assert token.claims["sub"] == user.user_id
    assert token.claims["sid"] == reply.principal.principal_id
    assert token.claims["exp"] - token.claims["iat"] == reply.expires_in_s == 900
    assert "d" not in keys[0].model_dump()


async def test_a_wrong_password_and_an_unknown_name_are_refused_alike(world: World) -> None:
    await person(world)
    wrong = login().model_copy(update={"password_digest": password_digest("something else")})
    problems = [await world.refused(wrong), await world.refused(login("eve@example.org"))]
    assert [problem.code for problem in problems] == [Code.LOGIN_FAILED] * 2
    assert problems[0] == problems[1]


async def test_guessing_is_slowed_down_even_for_who_then_knows_the_password(world: World) -> None:
    await person(world)
    wrong = login(client_address="192.0.2.7").model_copy(update={"password_digest": "0" * 64})
    for _ in range(TRIES["name-place"]):
        assert (await world.refused(wrong)).code is Code.LOGIN_FAILED
    problem = await world.refused(login(client_address="192.0.2.7"))
    assert problem.code is Code.LOGIN_THROTTLED
    assert problem.retry_after_s is not None
    assert 0 < problem.retry_after_s <= 900
    # Its owner, who sits elsewhere, is not locked out by that.
    assert (await sign_in(world, login(client_address="192.0.2.8"))).access_token


async def test_guesses_at_the_same_moment_are_all_counted(world: World) -> None:
    await person(world)
    wrong = login(client_address="192.0.2.7").model_copy(update={"password_digest": "0" * 64})

    async def guess() -> Code:
        return (await world.refused_within(wrong, 30)).code

    codes = await asyncio.gather(*(guess() for _ in range(TRIES["name-place"] + 5)))
    assert codes.count(Code.LOGIN_FAILED) == TRIES["name-place"]
    assert codes.count(Code.LOGIN_THROTTLED) == 5


async def test_a_success_takes_its_try_back(world: World) -> None:
    await person(world)
    for _ in range(TRIES["name-place"] + 2):
        await sign_in(world, login(client_address="192.0.2.7"))


async def test_a_refresh_secret_is_exchanged_once_and_two_holders_end_the_login(
    world: World, tables: Any
) -> None:
    await person(world)
    opened = await sign_in(world, login(secret="first"))
    login_id = opened.principal.principal_id
    first, second = sha256_of("first"), sha256_of("second")
    again = await world.bus.request(RefreshLogin(secret_sha256=first, next_sha256=second))
    assert again.principal == opened.principal
    await tables.execute(
        "UPDATE registry.spent_secret SET spent_at = spent_at - interval '1 minute'"
    )
    async with world.hearing(AccessChanged) as changes:
        problem = await world.refused(RefreshLogin(secret_sha256=first, next_sha256=sha256_of("y")))
        assert problem.code is Code.TOKEN_REVOKED
        assert (await changes.next()).changed_id == login_id
    assert (await world.refused(GetLogin(login_id=login_id))).code is Code.TOKEN_REVOKED
    ended = RefreshLogin(secret_sha256=second, next_sha256=sha256_of("z"))
    assert (await world.refused(ended)).code is Code.UNAUTHENTICATED


async def test_an_answer_that_reached_nobody_costs_no_login(world: World, tables: Any) -> None:
    await person(world)
    opened = await sign_in(world, login(secret="first"))
    secrets = [sha256_of(name) for name in ("first", "lost", "second", "third")]
    first, lost, second, third = secrets
    # Two tabs at the same moment, or a page that was reloaded before it had its answer.
    for following in (lost, second):
        again = await world.bus.request(RefreshLogin(secret_sha256=first, next_sha256=following))
        assert again.principal == opened.principal
    # The tab whose answer came second to the browser may hold the other one.
    await world.bus.request(RefreshLogin(secret_sha256=lost, next_sha256=third))
    await tables.execute(
        "UPDATE registry.spent_secret SET spent_at = spent_at - interval '1 minute'"
    )
    # Later each of them tells that there are two holders.
    problem = await world.refused(RefreshLogin(secret_sha256=second, next_sha256=sha256_of("x")))
    assert problem.code is Code.TOKEN_REVOKED
    ended = RefreshLogin(secret_sha256=third, next_sha256=sha256_of("y"))
    assert (await world.refused(ended)).code is Code.UNAUTHENTICATED


async def test_nothing_is_exchanged_again_once_the_login_has_ended(world: World) -> None:
    await person(world)
    opened = await sign_in(world, login(secret="first"))
    first, second = sha256_of("first"), sha256_of("second")
    await world.bus.request(RefreshLogin(secret_sha256=first, next_sha256=second))
    await world.bus.request(
        EndLogin(actor=opened.principal, login_id=opened.principal.principal_id)
    )
    again = RefreshLogin(secret_sha256=first, next_sha256=sha256_of("x"))
    assert (await world.refused(again)).code is Code.UNAUTHENTICATED


async def test_a_refresh_secret_is_no_credential_and_a_session_secret_no_refresh_secret(
    world: World,
) -> None:
    await person(world)
    await sign_in(world, login(secret="refresh"))
    problem = await world.refused(Authenticate(secret_sha256=sha256_of("refresh")))
    assert problem.code is Code.UNAUTHENTICATED
    opened = await sign_in(world, login(secret="session", is_session=True))
    assert await world.who("session") == opened.principal
    exchange = RefreshLogin(secret_sha256=sha256_of("session"), next_sha256=sha256_of("next"))
    assert (await world.refused(exchange)).code is Code.UNAUTHENTICATED


async def test_signing_out_ends_one_login_and_nobody_elses(world: World) -> None:
    await person(world)
    await person(world, "bob@example.org")
    here, there = [(await sign_in(world, login())).principal for _ in range(2)]
    bob = (await sign_in(world, login("bob@example.org"))).principal
    foreign = EndLogin(actor=bob, login_id=here.principal_id)
    assert (await world.refused(foreign)).code is Code.LOGIN_NOT_FOUND
    async with world.hearing(AccessChanged) as changes:
        await world.bus.request(EndLogin(actor=here, login_id=here.principal_id))
        assert (await changes.next()).changed_id == here.principal_id
    assert (await world.refused(GetLogin(login_id=here.principal_id))).code is Code.TOKEN_REVOKED
    left = (await world.bus.request(ListLogins(actor=there))).logins
    assert [one.login_id for one in left] == [there.principal_id]


async def test_a_new_password_ends_the_other_logins(world: World) -> None:
    await person(world)
    here, there = [(await sign_in(world, login())).principal for _ in range(2)]
    new = password_digest("another long password")
    wrong = ChangePassword(actor=here, password_digest=new, new_digest=new)
    assert (await world.refused_within(wrong, 30)).code is Code.LOGIN_FAILED
    right = ChangePassword(actor=here, password_digest=DIGEST, new_digest=new)
    await world.bus.request(right, timeout_s=30)
    assert (await world.refused(GetLogin(login_id=there.principal_id))).code is Code.TOKEN_REVOKED
    await world.bus.request(GetLogin(login_id=here.principal_id))
    assert (await world.refused_within(login(), 30)).code is Code.LOGIN_FAILED


async def test_a_login_that_was_not_used_for_long_is_over(world: World, tables: Any) -> None:
    await person(world)
    opened = await sign_in(world, login(secret="old"))
    await tables.execute(
        "UPDATE registry.principal SET expires_at = now() - interval '1 second' WHERE kind = 'user'"
    )
    get = GetLogin(login_id=opened.principal.principal_id)
    assert (await world.refused(get)).code is Code.TOKEN_EXPIRED
    refresh = RefreshLogin(secret_sha256=sha256_of("old"), next_sha256=sha256_of("new"))
    assert (await world.refused(refresh)).code is Code.UNAUTHENTICATED
    async with world.hearing(AccessChanged) as changes:
        await world.registry.upkeep.step()
        assert (await changes.next()).changed_id == opened.principal.principal_id


async def test_a_disabled_user_is_out_with_all_that_is_theirs(world: World) -> None:
    user = await person(world)
    principal = (await sign_in(world, login())).principal
    key = await make_key(world, principal)
    ticket = sha256_of("ticket")
    await world.bus.request(CreateTicket(actor=principal, ticket_sha256=ticket))
    async with world.hearing(AccessChanged) as changes:
        await world.bus.request(
            UpdateUser(actor=world.admin, user_id=user.user_id, is_disabled=True)
        )
        told = {(await changes.next()).changed_id, (await changes.next()).changed_id}
    assert principal.principal_id in told
    assert (await world.refused(RedeemTicket(ticket_sha256=ticket))).code is Code.TICKET_INVALID
    assert (await world.refused(GetLogin(login_id=principal.principal_id))).code in (
        Code.TOKEN_REVOKED,
        Code.USER_DISABLED,
    )
    problem = await world.refused(Authenticate(secret_sha256=sha256_of(key)))
    assert problem.code is Code.USER_DISABLED
    assert (await world.refused_within(login(), 30)).code is Code.USER_DISABLED


async def test_a_persons_key_can_do_no_more_than_the_person_can_now(world: World) -> None:
    user = await person(world)
    await person(world, "bob@example.org")
    principal = (await sign_in(world, login())).principal
    secret = await make_key(world, principal, [Permission.SPACES_WRITE, Permission.REQUESTS_READ])
    key = await world.who(secret)
    assert key.scopes == [Permission.REQUESTS_READ, Permission.SPACES_WRITE]
    await world.bus.request(CreateSpace(actor=key, name="by-key"))
    await world.bus.request(UpdateUser(actor=world.admin, user_id=user.user_id, role=Role.MEMBER))
    key = await world.who(secret)
    assert key.scopes == [Permission.REQUESTS_READ]
    assert (await world.refused(CreateSpace(actor=key, name="more"))).code is Code.FORBIDDEN


@pytest.mark.parametrize("digest", ["", "secret", "A" * 64])
async def test_a_secret_that_is_not_hashed_is_refused(world: World, digest: str) -> None:
    command = login().model_copy(update={"secret_sha256": digest})
    assert (await world.refused(command)).code is Code.INVALID_REQUEST


async def make_key(world: World, actor: Principal, scopes: list[Permission] | None = None) -> str:
    secret = new_key(PrincipalKind.API_KEY)
    await world.bus.request(
        CreateCredential(
            actor=actor,
            kind=PrincipalKind.API_KEY,
            name="test",
            secret_sha256=sha256_of(secret),
            prefix=shown_prefix(secret),
            scopes=scopes,
        )
    )
    return secret
