"""Join tokens, as far as HTTP needs the registry for them: the answers, without a memory."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from spaces_chassis.errors import ProblemError
from spaces_contracts.identifiers import new_id
from spaces_contracts.joins import (
    CreateJoinToken,
    JoinToken,
    JoinTokenList,
    JoinTokenReply,
    ListJoinTokens,
    RedeemJoinToken,
    RevokeJoinToken,
)
from spaces_contracts.problems import Code

if TYPE_CHECKING:
    from tests.integration.gateway.backends import Backends


NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)


def serve(backends: "Backends") -> None:
    """Answers commands from now on."""

    def create(command: CreateJoinToken) -> JoinTokenReply:
        made = JoinToken(
            join_id=new_id(),
            tenant_id=backends.tenant_id,
            name=command.name,
            prefix=command.prefix,
            space_ids=[new_id()],
            created_at=NOW,
            expires_at=NOW,
        )
        return JoinTokenReply(join_token=made)

    def unknown(_command: object) -> JoinTokenReply:
        raise ProblemError.of(Code.KEY_NOT_FOUND, "There is no such join token.")

    def invalid(_command: object) -> JoinTokenReply:
        raise ProblemError.of(Code.JOIN_TOKEN_INVALID, "The join token is not known.")

    backends.serve(CreateJoinToken, create)
    backends.serve(ListJoinTokens, lambda _: JoinTokenList())
    backends.serve(RevokeJoinToken, unknown)
    backends.serve(RedeemJoinToken, invalid)
