"""Tokens that were not signed for us are refused, whatever they say about themselves."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from spaces_chassis.bus import serve
from spaces_chassis.errors import ProblemError
from spaces_chassis.testing import ManualClock, MemoryBus
from spaces_contracts.access import (
    AccessChanged,
    Authenticate,
    Principal,
    PrincipalKind,
    PrincipalReply,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import new_key
from spaces_contracts.problems import Code
from spaces_contracts.users import GetLogin, ListSigningKeys, SigningKeys
from spaces_gateway.access import Access, sha256_hex
from spaces_gateway.access_tokens import KEYS_ASK_AGAIN_S, KEYS_REMEMBER_S, LEEWAY_S
from tests.support.forged_tokens import Forger
from tests.support.signing import LIFETIME_S, Signer

LOGIN = new_id()
SIGNER = Signer()
NOW = int(time.time())


@dataclass
class World:
    """Access beside a registry that knows one login and one key."""

    access: Access
    clock: ManualClock
    signers: list[Signer]
    known: dict[str, Principal] = field(default_factory=dict)
    secrets: dict[str, Principal] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def refusal(self, secret: str) -> Code:
        with pytest.raises(ProblemError) as refused:
            await self.access.principal(secret)
        return refused.value.problem.code


def principal(**changes: Any) -> Principal:
    facts: dict[str, Any] = {
        "principal_id": LOGIN,
        "kind": PrincipalKind.USER,
        "tenant_id": new_id(),
        "role": "member",
        "user_id": new_id(),
    }
    return Principal.model_validate(facts | changes)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock, bus = ManualClock(datetime.fromtimestamp(NOW, UTC)), MemoryBus()
    world = World(Access(bus, clock), clock, [SIGNER], {LOGIN: principal()})

    async def get_login(command: GetLogin) -> PrincipalReply:
        world.asked.append("login")
        if command.login_id not in world.known:
            raise ProblemError.of(Code.TOKEN_REVOKED)
        return PrincipalReply(principal=world.known[command.login_id])

    async def authenticate(command: Authenticate) -> PrincipalReply:
        world.asked.append("secret")
        if command.secret_sha256 not in world.secrets:
            raise ProblemError.of(Code.UNAUTHENTICATED)
        return PrincipalReply(principal=world.secrets[command.secret_sha256])

    async def keys(_command: ListSigningKeys) -> SigningKeys:
        world.asked.append("keys")
        return SigningKeys(keys=[signer.public for signer in world.signers])

    bus.add_routes(
        [
            serve(GetLogin, get_login, queue="q"),
            serve(Authenticate, authenticate, queue="q"),
            serve(ListSigningKeys, keys, queue="q"),
        ]
    )
    await bus.start()
    yield world
    await bus.stop()


FORGER = Forger(SIGNER, LOGIN, NOW)
ATTACKS = FORGER.attacks()
good, headed_raw = FORGER.good, FORGER.headed_raw


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_forged_token_is_refused_and_the_registry_is_not_asked_about_it(
    world: World, attack: str
) -> None:
    assert await world.refusal(ATTACKS[attack]()) is Code.UNAUTHENTICATED
    assert set(world.asked) <= {"keys"}


async def test_a_token_is_the_login_that_it_names_as_the_registry_knows_it(world: World) -> None:
    assert await world.access.principal(good(role="admin", tid=new_id())) == world.known[LOGIN]


async def test_a_token_made_by_hand_like_the_good_one_is_good(world: World) -> None:
    """So that what the attacks above are refused for is what is wrong with them."""
    header = {"alg": "Ed25519", "typ": "at+jwt", "kid": SIGNER.kid}
    assert await world.access.principal(headed_raw(header)) == world.known[LOGIN]


async def test_a_token_has_an_end_and_clocks_may_differ_a_little(world: World) -> None:
    token = good()
    world.clock.forward(LIFETIME_S + LEEWAY_S - 1)
    assert await world.access.principal(token) == world.known[LOGIN]
    world.clock.forward(LEEWAY_S)
    assert await world.refusal(token) is Code.TOKEN_EXPIRED
    assert LEEWAY_S <= 30


async def test_a_new_key_is_learnt_from_the_first_token_that_names_it(world: World) -> None:
    await world.access.principal(good())
    world.signers = [Signer(), SIGNER]
    token = world.signers[0].token(LOGIN, now=NOW)
    assert await world.access.principal(token) == world.known[LOGIN]


async def test_unknown_keys_cost_the_registry_one_question_in_five_seconds(world: World) -> None:
    for _ in range(50):
        assert await world.refusal(Signer().token(LOGIN, now=NOW)) is Code.UNAUTHENTICATED
    assert world.asked == ["keys", "keys"]
    world.clock.forward(KEYS_ASK_AGAIN_S)
    await world.refusal(Signer().token(LOGIN, now=NOW))
    assert world.asked == ["keys"] * 3


async def test_a_key_that_was_taken_out_of_use_is_believed_a_minute_at_the_longest(
    world: World,
) -> None:
    await world.access.principal(good())
    world.signers = [Signer()]
    world.clock.forward(KEYS_REMEMBER_S)
    assert await world.refusal(good()) is Code.UNAUTHENTICATED


async def test_a_login_that_ended_is_forgotten_when_told(world: World) -> None:
    token = good()
    await world.access.principal(token)
    del world.known[LOGIN]
    assert (await world.access.principal(token)).principal_id == LOGIN
    world.access.forget(AccessChanged(what="principal", changed_id=LOGIN))
    assert await world.refusal(token) is Code.TOKEN_REVOKED


# Browsers' secrets


async def test_a_session_is_good_in_its_cookie_and_never_as_a_bearer(world: World) -> None:
    secret = new_key(PrincipalKind.USER)
    world.secrets[sha256_hex(secret)] = world.known[LOGIN]
    assert await world.refusal(secret) is Code.UNAUTHENTICATED
    assert world.asked == []
    assert await world.access.session(secret) == world.known[LOGIN]
    assert await world.refusal(secret) is Code.UNAUTHENTICATED, "not even while it is remembered"


@pytest.mark.parametrize("secret", ["", "x", new_key(PrincipalKind.ADMIN), good()])
async def test_nothing_else_is_good_as_a_session(world: World, secret: str) -> None:
    with pytest.raises(ProblemError) as refused:
        await world.access.session(secret)
    assert refused.value.problem.code is Code.UNAUTHENTICATED
    assert world.asked == []


@pytest.mark.parametrize("secret", ["x", "spk_short", new_key(PrincipalKind.API_KEY)[:-1] + "~"])
async def test_a_mistyped_key_is_refused_without_asking(world: World, secret: str) -> None:
    assert await world.refusal(secret) is Code.UNAUTHENTICATED
    assert world.asked == []


async def test_who_belongs_to_no_tenant_and_is_no_admin_gets_nowhere(world: World) -> None:
    """The scheduler shows everything to whoever comes without a tenant."""
    world.known[LOGIN] = principal(tenant_id=None)
    assert await world.refusal(good()) is Code.FORBIDDEN
    world.known[LOGIN] = principal(tenant_id=None, role="admin")
    assert (await world.access.principal(good())).is_admin
