"""Access tokens as the registry signs them, and as attackers would."""

import json
import time
from typing import Any

from joserfc import jwt
from joserfc.jwk import OKPKey

from spaces_contracts.identifiers import new_id
from spaces_contracts.users import (
    TOKEN_ALGORITHM,
    TOKEN_AUDIENCE,
    TOKEN_ISSUER,
    TOKEN_TYPE,
    SigningKey,
)

LIFETIME_S = 900


class Signer:
    """One signing key: a fresh one, or one that is known whole."""

    def __init__(self, kid: str | None = None, jwk: str | None = None) -> None:
        self.kid = kid or new_id()
        self.key = (
            OKPKey.generate_key("Ed25519") if jwk is None else OKPKey.import_key(json.loads(jwk))
        )

    @property
    def public(self) -> SigningKey:
        """As the registry publishes it."""
        return SigningKey(kid=self.kid, x=str(self.key.as_dict(private=False)["x"]))

    def claims(self, login_id: str, **changes: Any) -> dict[str, Any]:
        """What a token says; a change to None leaves a claim out."""
        now = changes.pop("now", int(time.time()))
        claims = {
            "iss": TOKEN_ISSUER,
            "aud": TOKEN_AUDIENCE,
            "sub": new_id(),
            "sid": login_id,
            "iat": now,
            "exp": now + LIFETIME_S,
            "jti": new_id(),
        } | changes
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, login_id: str, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A signed token; `header` changes members of its header, `changes` its claims."""
        members = {"alg": TOKEN_ALGORITHM, "typ": TOKEN_TYPE, "kid": self.kid} | (header or {})
        known = {name: value for name, value in members.items() if value is not None}
        return jwt.encode(
            known, self.claims(login_id, **changes), self.key, algorithms=[TOKEN_ALGORITHM]
        )
