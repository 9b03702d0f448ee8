"""Access tokens: JWTs (RFC 7519) signed with Ed25519 (RFC 8037), and the keys that sign them."""

import json
from dataclasses import dataclass

from joserfc import jwt
from joserfc.jwk import OKPKey

from spaces_contracts.access import Principal
from spaces_contracts.identifiers import new_id
from spaces_contracts.users import (
    TOKEN_ALGORITHM,
    TOKEN_AUDIENCE,
    TOKEN_ISSUER,
    TOKEN_TYPE,
    SigningKey,
)


@dataclass(frozen=True)
class PrivateKey:
    """A signing key with its private half, as a JWK in JSON; it never leaves the registry."""

    kid: str
    jwk: str

    def public(self) -> SigningKey:
        """What whoever checks tokens needs."""
        return SigningKey(kid=self.kid, x=json.loads(self.jwk)["x"])

    def sign(self, principal: Principal, now_s: int, lifetime_s: int) -> str:
        """A token for a login. What somebody may do is asked of the registry; tid and role only inform."""
        header = {"alg": TOKEN_ALGORITHM, "typ": TOKEN_TYPE, "kid": self.kid}
        claims = {
            "iss": TOKEN_ISSUER,
            "aud": TOKEN_AUDIENCE,
            "sub": principal.user_id,
            "sid": principal.principal_id,
            "tid": principal.tenant_id,
            "role": principal.role,
            "iat": now_s,
            "exp": now_s + lifetime_s,
            "jti": new_id(),
        }
        key = OKPKey.import_key(json.loads(self.jwk))
        return jwt.encode(header, claims, key, algorithms=[TOKEN_ALGORITHM])


def new_signing_key() -> PrivateKey:
    """A fresh pair; its id says when it was made."""
    key = OKPKey.generate_key("Ed25519")
    return PrivateKey(kid=new_id(), jwk=json.dumps(key.as_dict(private=True)))
