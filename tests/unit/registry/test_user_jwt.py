"""The tokens that direct workers get."""

import base64
import json
import os
from typing import Any

import nkeys
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_registry.user_jwt import (
    LIFETIME_S,
    ForgedRequest,
    Signer,
    UserRequest,
    answer_claims,
    read_request,
    worker_claims,
)

SEED = bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_ACCOUNT)).decode()
ASKED = UserRequest("UKEY", "NSERVER", "c:chat", "spw_x", "agent", 7)
NOW_S = 1_800_000_000


def opened(part: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def test_a_token_verifies_with_the_issuers_key() -> None:
    signer = Signer(SEED + "\n")
    header, body, signature = signer.sign({"sub": "x"}).split(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    key = nkeys.from_seed(bytearray(SEED.encode()))
    assert key.verify(f"{header}.{body}".encode(), raw)
    assert opened(header) == {"typ": "JWT", "alg": "ed25519-nkey"}
    claims = opened(body)
    assert claims["iss"] == signer.public_key
    assert claims["iss"].startswith("A")
    assert len(claims["jti"]) == 52


def test_a_worker_may_speak_for_one_connection_and_hear_it() -> None:
    claims = worker_claims(ASKED, "sid", "cid", NOW_S)
    rights = claims["nats"]
    up = ["bye", "chunk.*", "draining", "hb", "result", "started"]
    assert rights["pub"] == {"allow": ["edge.cid.attach", *(f"wk.sid.cid.u.{one}" for one in up)]}
    assert rights["sub"] == {"allow": ["wk.sid.cid.d.>", "_INBOX.cid.>"]}
    assert claims["aud"] == "EDGE"
    assert claims["sub"] == "UKEY"
    assert claims["exp"] - claims["iat"] == LIFETIME_S == 86_400
    assert rights["subs"] == 20
    assert "resp" not in rights, "it answers nobody"


def test_the_answer_is_for_the_server_that_asked() -> None:
    granted = answer_claims(ASKED, NOW_S, jwt="a.b.c")
    assert (granted["sub"], granted["aud"]) == ("UKEY", "NSERVER")
    assert granted["nats"] == {"type": "authorization_response", "version": 2, "jwt": "a.b.c"}
    refused = answer_claims(ASKED, NOW_S, error="token_invalid")
    assert refused["nats"]["error"] == "token_invalid"
    assert "jwt" not in refused["nats"]


def request(**options: object) -> str:
    asked = {
        "nats": {
            "user_nkey": "UKEY",
            "server_id": {"id": "NSERVER"},
            "client_info": {"id": 7},
            "connect_opts": options,
        }
    }
    return Signer(SEED).sign(asked)


def test_the_brokers_question_is_read() -> None:
    asked = read_request(request(user="c:chat", **{"pass": "spw_x", "name": "agent"}))
    assert asked == ASKED
    empty = read_request(request())
    assert (empty.user, empty.password, empty.client_name) == ("", "", "")


@given(st.text(max_size=60))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ForgedRequest):
        read_request(text)


@pytest.mark.parametrize("claims", [{}, {"nats": 1}, {"nats": {"user_nkey": "U"}}])
def test_a_question_with_parts_missing_is_refused(claims: dict[str, object]) -> None:
    with pytest.raises(ForgedRequest):
        read_request(Signer(SEED).sign(claims))
