"""Access tokens, checked here by their signature: only which login they are for counts, not what they say it may do."""

import re

from joserfc import jws, jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import OKPKey

from spaces_chassis.bus import Bus
from spaces_chassis.clock import Clock
from spaces_chassis.errors import ProblemError
from spaces_contracts.identifiers import is_id
from spaces_contracts.problems import Code
from spaces_contracts.users import (
    TOKEN_ALGORITHM,
    TOKEN_AUDIENCE,
    TOKEN_ISSUER,
    TOKEN_TYPE,
    ListSigningKeys,
    SigningKey,
)
from spaces_gateway.memory import Memory

MAX_TOKEN = 2048
# Clocks of two hosts differ a little; a token is good for minutes.
LEEWAY_S = 10
# A key that was taken out of use is believed for so long.
KEYS_REMEMBER_S = 60.0
# Tokens that name unknown keys cost the registry no more than one question in this time.
KEYS_ASK_AGAIN_S = 5.0

_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# Nothing in a header may say how it is to be checked: no jwk, no jku, no crit.
_HEADER = frozenset({"alg", "typ", "kid"})
_ALL = "all"


def is_token(secret: str) -> bool:
    """Whether a bearer has the shape of a signed token."""
    return len(secret) <= MAX_TOKEN and _SHAPE.fullmatch(secret) is not None


class AccessTokens:
    """Checks tokens with the registry's public keys, which it asks for now and then."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._keys: Memory[str, list[SigningKey]] = Memory(clock, KEYS_REMEMBER_S)
        self._asked_again = float("-inf")

    async def login_of(self, token: str) -> str:
        """The id of the login that a token was made for. Problems: unauthenticated, token_expired, unavailable."""
        kid = key_id(token)
        key = _find(await self.keys(), kid)
        if key is None and self._may_ask_again():
            # It may have been made since.
            self._keys.forget(lambda _: True)
            key = _find(await self.keys(), kid)
        if key is None:
            raise _bad("it was signed with a key that is not in use")
        return verified(token, key, int(self._clock.now().timestamp()))

    async def keys(self) -> list[SigningKey]:
        """The public keys, up to a minute old. Problem: unavailable."""
        return await self._keys.recall(_ALL, self._ask)

    async def _ask(self) -> list[SigningKey]:
        return (await self._bus.request(ListSigningKeys())).keys

    def _may_ask_again(self) -> bool:
        now = self._clock.monotonic()
        if now < self._asked_again + KEYS_ASK_AGAIN_S:
            return False
        self._asked_again = now
        return True


def key_id(token: str) -> str:
    """Which key a token says it was signed with, if it is one of ours at all. Problem: unauthenticated."""
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError) as error:
        raise _bad("it is not a signed token") from error
    kid = header.get("kid")
    if (
        set(header) != _HEADER
        or header["alg"] != TOKEN_ALGORITHM
        or header["typ"] != TOKEN_TYPE
        or not isinstance(kid, str)
    ):
        raise _bad("its header is not that of an access token")
    return kid


def verified(token: str, key: SigningKey, now_s: int) -> str:
    """The login's id, when signature, times, issuer and audience are right."""
    try:
        public = OKPKey.import_key(
            {"kty": key.kty, "crv": key.crv, "x": key.x}, {"use": "sig", "alg": TOKEN_ALGORITHM}
        )
        claims = jwt.decode(token, public, algorithms=[TOKEN_ALGORITHM]).claims
        _claims(now_s).validate(claims)
    except ExpiredTokenError:
        raise ProblemError.of(Code.TOKEN_EXPIRED, "The access token has expired.") from None
    except (JoseError, ValueError) as error:
        raise _bad("it does not verify") from error
    login_id = claims["sid"]
    if not isinstance(login_id, str) or not is_id(login_id):
        raise _bad("it names no login")
    return login_id


def _claims(now_s: int) -> jwt.JWTClaimsRegistry:
    return jwt.JWTClaimsRegistry(
        now=now_s,
        leeway=LEEWAY_S,
        iss={"essential": True, "value": TOKEN_ISSUER},
        aud={"essential": True, "value": TOKEN_AUDIENCE},
        exp={"essential": True},
        iat={"essential": True},
        sid={"essential": True},
    )


def _find(keys: list[SigningKey], kid: str) -> SigningKey | None:
    return next((key for key in keys if key.kid == kid), None)


def _bad(reason: str) -> ProblemError:
    return ProblemError.of(Code.UNAUTHENTICATED, f"The access token is no good: {reason}.")
