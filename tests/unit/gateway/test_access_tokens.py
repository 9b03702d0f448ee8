"""Tokens that were not signed for us are refused, whatever they say about themselves."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jwe, jwt
from joserfc.jwk import OctKey, RSAKey

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


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def by_hmac(secret: bytes, header: dict[str, Any], claims: dict[str, Any]) -> str:
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def unsigned(algorithm: str) -> str:
    header = {"alg": algorithm, "typ": "at+jwt", "kid": SIGNER.kid}
    return f"{part(header)}.{part(SIGNER.claims(LOGIN, now=NOW))}."


def swapped(secret: bytes, algorithm: str = "HS256") -> str:
    header = {"alg": algorithm, "typ": "at+jwt", "kid": SIGNER.kid}
    return by_hmac(secret, header, SIGNER.claims(LOGIN, now=NOW))


def raw_public_key() -> bytes:
    return base64.urlsafe_b64decode(SIGNER.public.x + "==")


def tampered(**changes: Any) -> str:
    head, _, signature = SIGNER.token(LOGIN, now=NOW).split(".")
    return f"{head}.{part(SIGNER.claims(LOGIN, now=NOW, **changes))}.{signature}"


def own_key(**header: Any) -> str:
    """Signed by an attacker, who says how it should be checked."""
    attacker = Signer()
    jwk = attacker.public.model_dump()
    return attacker.token(LOGIN, now=NOW, header={"kid": SIGNER.kid, "jwk": jwk} | header)


def encrypted() -> str:
    claims = json.dumps(SIGNER.claims(LOGIN, now=NOW)).encode()
    key = OctKey.import_key(raw_public_key())
    header = {"alg": "dir", "enc": "A256GCM", "kid": SIGNER.kid}
    return jwe.encrypt_compact(header, claims, key)


def good(**changes: Any) -> str:
    return SIGNER.token(LOGIN, **({"now": NOW} | changes))


def headed(**header: Any) -> str:
    return SIGNER.token(LOGIN, now=NOW, header=header)


ATTACKS: dict[str, Callable[[], str]] = {
    "none": lambda: unsigned("none"),
    "None": lambda: unsigned("None"),
    "no signature": lambda: unsigned("Ed25519"),
    "no signature, two parts": lambda: good().rpartition(".")[0],
    "HS256 with the public key": lambda: swapped(raw_public_key()),
    "HS256 with the public key as it is published": lambda: swapped(SIGNER.public.x.encode()),
    "HS256 with the JWK": lambda: swapped(SIGNER.public.model_dump_json().encode()),
    "HS256 with nothing": lambda: swapped(b""),
    "HMAC under the right name": lambda: swapped(raw_public_key(), "Ed25519"),
    "EdDSA, the old name": lambda: headed_as("EdDSA"),
    "another key under our kid": lambda: own_key(jwk=None),
    "a key in the header": own_key,
    "an address of keys in the header": lambda: own_key(jwk=None, jku="https://evil.example/jwks"),
    "a certificate in the header": lambda: own_key(jwk=None, x5u="https://evil.example/x5u"),
    "kid of a path": lambda: headed(kid="../../../../dev/null"),
    "kid of SQL": lambda: headed(kid="' UNION SELECT 'x' --"),
    "kid of nothing": lambda: headed(kid=""),
    "no kid": lambda: headed(kid=None),
    "an unknown kid": lambda: headed(kid=new_id()),
    "crit": lambda: headed_raw({"alg": "Ed25519", "typ": "at+jwt", "kid": SIGNER.kid, "crit": ["x"]}),
    "another type": lambda: headed(typ="JWT"),
    "no type": lambda: headed(typ=None),
    "wrong issuer": lambda: good(iss="https://evil.example"),
    "no issuer": lambda: good(iss=None),
    "wrong audience": lambda: good(aud="others"),
    "no audience": lambda: good(aud=None),
    "audience like ours": lambda: good(aud="spaces.evil.example"),
    "no end": lambda: good(exp=None),
    "end as text": lambda: good(exp=str(NOW + 60)),
    "not yet valid": lambda: good(nbf=NOW + LEEWAY_S + 60),
    "made in the future": lambda: good(iat=NOW + LEEWAY_S + 60),
    "no login": lambda: good(sid=None),
    "login as a list": lambda: good(sid=[LOGIN]),
    "login of a subject": lambda: good(sid="*"),
    "another login put in": lambda: tampered(sid=new_id()),
    "a role put in": lambda: tampered(role="admin"),
    "a longer life put in": lambda: tampered(exp=NOW + 10 * LIFETIME_S),
    "a signature cut short": lambda: good()[:-8],
    "a signature of another token": lambda: good().rpartition(".")[0] + "." + good(sub=new_id()).rpartition(".")[2],
    "claims that are no object": lambda: signed_raw(b"[]"),
    "claims that are no JSON": lambda: signed_raw(b"\xff"),
    "an encrypted one": encrypted,
    "a nested one": lambda: signed_raw(good().encode()),
    "a huge one": lambda: good(pad="x" * 1_000_000),
    "a huge header": lambda: headed(kid="k" * 100_000),
    "not base64": lambda: "a.b.c",
    "empty parts": lambda: "..",
    "blank parts": lambda: good().replace(".", " ."),
    "another alphabet": lambda: good() + "é",
    "an RSA token": lambda: rsa_token(),
}  # fmt: skip


def headed_as(algorithm: str) -> str:
    """A true signature under a name that we do not accept."""
    return headed_raw({"alg": algorithm, "typ": "at+jwt", "kid": SIGNER.kid})


def headed_raw(header: dict[str, Any]) -> str:
    return sign(f"{part(header)}.{part(SIGNER.claims(LOGIN, now=NOW))}")


def signed_raw(payload: bytes) -> str:
    header = {"alg": "Ed25519", "typ": "at+jwt", "kid": SIGNER.kid}
    return sign(f"{part(header)}.{part(payload)}")


def sign(text: str) -> str:
    return f"{text}.{part(SIGNER.key.private_key.sign(text.encode()))}"  # type: ignore[union-attr]  # the key is Ed25519


def rsa_token() -> str:
    key = RSAKey.generate_key(2048)
    header = {"alg": "RS256", "typ": "at+jwt", "kid": SIGNER.kid}
    return jwt.encode(header, SIGNER.claims(LOGIN, now=NOW), key, algorithms=["RS256"])


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
