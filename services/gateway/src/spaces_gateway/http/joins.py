"""Join tokens over HTTP: a machine that was just rented exchanges one for a worker token of its own."""

import shlex
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request

from spaces_chassis.errors import ProblemError
from spaces_contracts.identifiers import PrincipalId, TenantId
from spaces_contracts.joins import (
    DEFAULT_LIFE_S,
    LONGEST_LIFE_S,
    CreateJoinToken,
    JoinToken,
    JoinTokenList,
    ListJoinTokens,
    RedeemJoinToken,
    RevokeJoinToken,
)
from spaces_contracts.keys import is_join_token, new_join_token, shown_prefix
from spaces_contracts.problems import Code
from spaces_gateway.access import sha256_hex
from spaces_gateway.http import examples
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.paths import IdInPath
from spaces_gateway.http.principals import Caller, Callers
from spaces_gateway.http.text import Text
from spaces_gateway.services import Services


class NewJoinToken(BaseModel):
    """A join token to make."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Text] = Field(
        min_length=1, max_length=100, description="Of the worker token that comes of it."
    )
    spaces: list[Annotated[str, Text]] = Field(
        min_length=1,
        max_length=64,
        description="What its worker may serve: ids, names or tenant/name.",
    )
    tenant_id: TenantId | None = Field(default=None, description="For admins; else one's own.")
    expires_in_s: float = Field(
        default=DEFAULT_LIFE_S, gt=0, le=LONGEST_LIFE_S, description="Seconds to use it within."
    )


class MadeJoinToken(BaseModel):
    """A join token just made."""

    join_token: JoinToken
    secret: str = Field(description="Shown this once; only its hash is kept.")
    command: str = Field(description="Joins and serves its spaces with a handler in model.py.")


class JoinTokenUse(BaseModel):
    """What a machine says that joins. It keeps the worker token, and sends its hash."""

    model_config = ConfigDict(extra="forbid")

    join_token: Annotated[str, Text] = Field(min_length=1, max_length=200)
    worker_token_sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 in hex of the worker token that it made."
    )
    worker_token_prefix: str = Field(
        pattern="^spw_[0-9A-Za-z]{6}$", description="The first ten signs of it, for lists."
    )


class Joined(BaseModel):
    """The worker token is good now."""

    principal_id: PrincipalId = Field(description="The worker token's id in lists.")
    name: str
    prefix: str


class JoinsApi:
    """Join tokens over HTTP."""

    def __init__(self, services: Services, callers: Callers) -> None:
        self._bus = services.bus
        self._callers = callers

    def operations(self) -> Operations:
        """Make, list, take back, and use up."""
        api = Operations("access")
        api.add(
            "POST /api/join-tokens",
            self.create_join_token,
            Code.TENANT_NOT_FOUND,
            Code.SPACE_NOT_FOUND,
            Code.MULTIPLE_SPACES,
            status=201,
            extra=examples.body("token", {"name": "rented gpu", "spaces": ["poems"]}),
        )
        api.add("GET /api/join-tokens", self.list_join_tokens)
        api.add(
            "DELETE /api/join-tokens/{join_id}",
            self.revoke_join_token,
            Code.KEY_NOT_FOUND,
            Code.JOIN_TOKEN_USED,
        )
        api.add(
            "POST /api/join-tokens/redeem",
            self.redeem_join_token,
            Code.JOIN_TOKEN_INVALID,
            Code.JOIN_TOKEN_USED,
            Code.INVALID_REQUEST,
            Code.UNAVAILABLE,
            status=201,
            extra=examples.body("machine", examples.JOINING),
        )
        return api

    async def create_join_token(
        self, request: Request, body: NewJoinToken, actor: Caller
    ) -> MadeJoinToken:
        """Make a join token: one machine exchanges it for a worker token, once."""
        secret = new_join_token()
        command = CreateJoinToken(
            actor=actor,
            join_sha256=sha256_hex(secret),
            prefix=shown_prefix(secret),
            name=body.name,
            spaces=body.spaces,
            tenant_id=body.tenant_id,
            expires_in_s=body.expires_in_s,
        )
        made = (await self._bus.request(command)).join_token
        gateway = self._callers.proxies.origin(request.scope)
        return MadeJoinToken(
            join_token=made, secret=secret, command=join_command(gateway, made, secret, body.spaces)
        )

    async def list_join_tokens(self, actor: Caller) -> JoinTokenList:
        """List join tokens, used and revoked ones too."""
        return await self._bus.request(ListJoinTokens(actor=actor))

    async def revoke_join_token(self, join_id: IdInPath, actor: Caller) -> JoinToken:
        """Take a join token back that nobody has used."""
        command = RevokeJoinToken(actor=actor, join_id=join_id)
        return (await self._bus.request(command)).join_token

    async def redeem_join_token(self, request: Request, body: JoinTokenUse) -> Joined:
        """Exchange a join token for a worker token.

        The machine makes the worker token itself. The same call again gets the same answer; one with another
        worker token is refused.
        """
        if not is_join_token(body.join_token):
            raise ProblemError.of(Code.JOIN_TOKEN_INVALID, "This is no join token; is it whole?")
        command = RedeemJoinToken(
            join_sha256=sha256_hex(body.join_token),
            secret_sha256=body.worker_token_sha256,
            prefix=body.worker_token_prefix,
            client_address=self._callers.proxies.address(request.scope),
        )
        made = (await self._bus.request(command)).credential
        known = made.principal
        return Joined(principal_id=known.principal_id, name=known.name, prefix=made.prefix)


def join_command(gateway: str, made: JoinToken, secret: str, refs: list[str]) -> str:
    """One line for a shell, with the token in the environment and never among the arguments."""
    # The agent takes a comma for the end of a name.
    spaces = made.space_ids if any("," in ref for ref in refs) else refs
    words = ["spaces-worker", "run", "model.py", "--gateway", gateway]
    for space in spaces:
        words += ["--space", space]
    return f"SPACES_WORKER_JOIN_TOKEN={secret} {shlex.join(words)}"
