"""NATS user tokens: claims in, signed JWT out. Pure but for the random id.

The formats are those of nats-io/jwt version 2: https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_callout
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nkeys

from spaces_contracts.nats_permissions import worker_rights

ACCOUNT = "EDGE"
# A session longer than this dials again, and its token is looked at again.
LIFETIME_S = 24 * 3600
_MAX_SUBSCRIPTIONS = 20
_MAX_PAYLOAD_BYTES = 2_097_152


class ForgedRequest(ValueError):
    """What came is not a request of the broker for a user."""


@dataclass(frozen=True)
class UserRequest:
    """Somebody dials: the key that the broker made for the session, and what they say of themselves."""

    user_key: str
    server_id: str
    user: str
    password: str
    client_name: str
    client_id: int


class Signer:
    """Signs with the key of the account that the broker trusts for callouts."""

    def __init__(self, seed: str) -> None:
        self._key = nkeys.from_seed(bytearray(seed.strip().encode()))
        self.public_key: str = bytes(self._key.public_key).decode()

    def sign(self, claims: Mapping[str, Any]) -> str:
        """The claims as a JWT of this issuer."""
        body = {**claims, "iss": self.public_key}
        # The id is the hash of the claims, as the broker's own tools make it.
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()
        body["jti"] = base64.b32encode(digest).decode().rstrip("=")
        text = f"{_encoded({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_encoded(body)}"
        return f"{text}.{_base64(self._key.sign(text.encode()))}"


def read_request(token: str) -> UserRequest:
    """What the broker asks. Raises ForgedRequest.

    Only the broker can publish on the subject that this comes on, so its signature adds nothing.
    """
    try:
        _, body, _ = token.split(".")
        asked = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["nats"]
        options = asked["connect_opts"]
        return UserRequest(
            user_key=str(asked["user_nkey"]),
            server_id=str(asked["server_id"]["id"]),
            user=str(options.get("user", "")),
            password=str(options.get("pass", "")),
            client_name=str(options.get("name", "")),
            client_id=int(asked.get("client_info", {}).get("id", 0)),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ForgedRequest(str(error)) from None


def worker_claims(
    asked: UserRequest, space_id: str, connection_id: str, now_s: int
) -> dict[str, Any]:
    """What a direct worker may do: speak for one connection of one space, and hear what is for it."""
    rights = worker_rights(space_id, connection_id)
    return {
        "sub": asked.user_key,
        "aud": ACCOUNT,
        "name": connection_id,
        "iat": now_s,
        "exp": now_s + LIFETIME_S,
        "nats": {
            "type": "user",
            "version": 2,
            "pub": {"allow": list(rights.publish)},
            "sub": {"allow": list(rights.subscribe)},
            "subs": _MAX_SUBSCRIPTIONS,
            "payload": _MAX_PAYLOAD_BYTES,
            "data": -1,
        },
    }


def answer_claims(
    asked: UserRequest, now_s: int, *, jwt: str = "", error: str = ""
) -> dict[str, Any]:
    """What the broker is told: the user's JWT, or why there is none."""
    verdict = {"error": error} if error else {"jwt": jwt}
    return {
        "sub": asked.user_key,
        "aud": asked.server_id,
        "iat": now_s,
        "nats": {"type": "authorization_response", "version": 2, **verdict},
    }


def _encoded(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
