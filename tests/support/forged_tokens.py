"""Access tokens as attackers would make them: each is wrong in one way."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe, jwt
from joserfc.jwk import OctKey, RSAKey

from spaces_contracts.identifiers import new_id
from spaces_gateway.access_tokens import LEEWAY_S
from tests.support.signing import LIFETIME_S, Signer

_TYPE = "at+jwt"


def part(value: Any) -> str:
    """One part of a compact token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Forger:
    """Makes tokens around one key, one login and one moment (Unix seconds)."""

    def __init__(self, signer: Signer, login_id: str, now_s: int) -> None:
        self._signer = signer
        self._login = login_id
        self._now = now_s

    def good(self, **changes: Any) -> str:
        """Signed by our key; `changes` are of its claims, None leaves one out."""
        return self._signer.token(self._login, **({"now": self._now} | changes))

    def headed(self, **header: Any) -> str:
        """Signed by our key, under another header."""
        return self._signer.token(self._login, now=self._now, header=header)

    def headed_raw(self, header: dict[str, Any]) -> str:
        """The same with any header at all."""
        return self._sign(f"{part(header)}.{part(self._claims())}")

    def attacks(self) -> dict[str, Callable[[], str]]:
        """By name. Each is to be refused, and only for what it is named after."""
        return self._algorithms() | self._keys() | self._claimed() | self._mangled()

    def _algorithms(self) -> dict[str, Callable[[], str]]:
        return {
            "none": lambda: self._unsigned("none"),
            "None": lambda: self._unsigned("None"),
            "no signature": lambda: self._unsigned("Ed25519"),
            "no signature, two parts": lambda: self.good().rpartition(".")[0],
            "HS256 with the public key": lambda: self._swapped(self._raw()),
            "HS256 with the public key as it is published": lambda: self._swapped(
                self._signer.public.x.encode()
            ),
            "HS256 with the public key in PEM": lambda: self._swapped(self._pem()),
            "HS256 with the JWK": lambda: self._swapped(
                self._signer.public.model_dump_json().encode()
            ),
            "HS512 with the public key": lambda: self._swapped(self._raw(), "HS512"),
            "HS256 with nothing": lambda: self._swapped(b""),
            "HMAC under the right name": lambda: self._swapped(self._raw(), "Ed25519"),
            "EdDSA, the old name": lambda: self.headed_raw(self._header(alg="EdDSA")),
            "an RSA token": self._by_rsa,
            "an encrypted one": self._encrypted,
        }

    def _keys(self) -> dict[str, Callable[[], str]]:
        evil = "https://evil.example/keys"
        kids = {
            "a path": "../../../../dev/null", "an absolute path": "/proc/self/environ", "a file": "file:///dev/null",
            "SQL": "' UNION SELECT 'x' --", "SQL that waits": "'; SELECT pg_sleep(5) --", "a command": "x|id",
            "an address": evil, "a subject": "rpc.reg.>", "nothing": "", "a list": ["x"], "an object": {"$ne": None},
            "an unknown one": new_id(), "a huge one": "k" * 100_000,
        }  # fmt: skip
        named: dict[str, Callable[[], str]] = {
            f"kid of {what}": lambda kid=kid: self.headed_raw(self._header(kid=kid))  # type: ignore[misc]  # a default binds it in the loop
            for what, kid in kids.items()
        }
        return named | {
            "no kid": lambda: self.headed(kid=None),
            "another key under our kid": lambda: self._own_key(),
            "a key in the header": lambda: self._own_key(own=True),
            "an address of keys in the header": lambda: self._own_key(jku=evil),
            "a certificate in the header": lambda: self._own_key(x5u=evil),
            "crit": lambda: self.headed_raw(self._header(crit=["x"])),
            "another type": lambda: self.headed(typ="JWT"),
            "no type": lambda: self.headed(typ=None),
        }

    def _claimed(self) -> dict[str, Callable[[], str]]:
        late = self._now + LEEWAY_S + 60
        return {
            "wrong issuer": lambda: self.good(iss="https://evil.example"),
            "no issuer": lambda: self.good(iss=None),
            "wrong audience": lambda: self.good(aud="others"),
            "no audience": lambda: self.good(aud=None),
            "audience like ours": lambda: self.good(aud="spaces.evil.example"),
            "no end": lambda: self.good(exp=None),
            "end as text": lambda: self.good(exp=str(self._now + 60)),
            "not yet valid": lambda: self.good(nbf=late),
            "made in the future": lambda: self.good(iat=late),
            "no login": lambda: self.good(sid=None),
            "login as a list": lambda: self.good(sid=[self._login]),
            "login of a subject": lambda: self.good(sid="*"),
            "another login put in": lambda: self._tampered(sid=new_id()),
            "a role put in": lambda: self._tampered(role="admin"),
            "a longer life put in": lambda: self._tampered(exp=self._now + 10 * LIFETIME_S),
        }

    def _mangled(self) -> dict[str, Callable[[], str]]:
        return {
            "a signature cut short": lambda: self.good()[:-8],
            "a signature of another token": lambda: (
                f"{self.good().rpartition('.')[0]}.{self.good(sub=new_id()).rpartition('.')[2]}"
            ),
            "claims that are no object": lambda: self._signed_raw(b"[]"),
            "claims that are no JSON": lambda: self._signed_raw(b"\xff"),
            "a nested one": lambda: self._signed_raw(self.good().encode()),
            "a huge one": lambda: self.good(pad="x" * 1_000_000),
            "not base64": lambda: "a.b.c",
            "empty parts": lambda: "..",
            "blank parts": lambda: self.good().replace(".", " ."),
            "another alphabet": lambda: self.good() + "é",
        }

    def _claims(self, **changes: Any) -> dict[str, Any]:
        return self._signer.claims(self._login, now=self._now, **changes)

    def _header(self, **changes: Any) -> dict[str, Any]:
        return {"alg": "Ed25519", "typ": _TYPE, "kid": self._signer.kid} | changes

    def _sign(self, text: str) -> str:
        return f"{text}.{part(self._signer.key.private_key.sign(text.encode()))}"  # type: ignore[union-attr]  # the key is Ed25519

    def _signed_raw(self, payload: bytes) -> str:
        return self._sign(f"{part(self._header())}.{part(payload)}")

    def _unsigned(self, algorithm: str) -> str:
        return f"{part(self._header(alg=algorithm))}.{part(self._claims())}."

    def _swapped(self, secret: bytes, algorithm: str = "HS256") -> str:
        text = f"{part(self._header(alg=algorithm))}.{part(self._claims())}"
        digest = hashlib.sha512 if algorithm == "HS512" else hashlib.sha256
        return f"{text}.{part(hmac.new(secret, text.encode(), digest).digest())}"

    def _raw(self) -> bytes:
        return base64.urlsafe_b64decode(self._signer.public.x + "==")

    def _pem(self) -> bytes:
        public = Ed25519PublicKey.from_public_bytes(self._raw())
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def _tampered(self, **changes: Any) -> str:
        head, _, signature = self.good().split(".")
        return f"{head}.{part(self._claims(**changes))}.{signature}"

    def _own_key(self, *, own: bool = False, **header: Any) -> str:
        """Signed by an attacker, who says how it should be checked."""
        attacker = Signer()
        members = {"kid": self._signer.kid} | header
        if own:
            members["jwk"] = attacker.public.model_dump()
        return attacker.token(self._login, now=self._now, header=members)

    def _encrypted(self) -> str:
        key = OctKey.import_key(self._raw())
        header = {"alg": "dir", "enc": "A256GCM", "kid": self._signer.kid}
        return jwe.encrypt_compact(header, json.dumps(self._claims()).encode(), key)

    def _by_rsa(self) -> str:
        key = RSAKey.generate_key(2048)
        return jwt.encode(self._header(alg="RS256"), self._claims(), key, algorithms=["RS256"])
