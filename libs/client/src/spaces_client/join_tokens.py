"""Join tokens by the SDK: `spaces.joins`."""

from collections.abc import Sequence

from pydantic import Field

from spaces_client.answers import parsed
from spaces_client.http_api import Call, HttpApi
from spaces_client.models import Answer
from spaces_client.retry import Repeat
from spaces_contracts.joins import DEFAULT_LIFE_S, JoinToken


class NewJoinToken(Answer):
    """A join token just made. The secret is shown this once and is stored nowhere."""

    join_token: JoinToken
    secret: str = Field(repr=False)


class JoinTokenPage(Answer):
    """Join tokens, used and revoked ones too."""

    join_tokens: list[JoinToken]


class JoinTokens:
    """Each is good for one machine, which exchanges it for a worker token of its own."""

    def __init__(self, http: HttpApi) -> None:
        self._http = http

    async def create(
        self, spaces: Sequence[str], *, name: str = "", expires_in_s: float = DEFAULT_LIFE_S
    ) -> NewJoinToken:
        """For a worker of these spaces; to be used within so many seconds."""
        body = {
            "name": name or f"worker for {spaces[0]}",
            "spaces": list(spaces),
            "expires_in_s": expires_in_s,
        }
        call = Call("POST", "/api/join-tokens", body=body, repeat=Repeat.ONLY_UNSENT)
        return parsed(NewJoinToken, await self._http.send(call))

    async def list(self) -> list[JoinToken]:
        """Used and revoked ones too, newest first."""
        answer = await self._http.send(Call("GET", "/api/join-tokens"))
        return parsed(JoinTokenPage, answer).join_tokens

    async def revoke(self, join_id: str) -> None:
        """Takes back one that nobody has used."""
        await self._http.send(Call("DELETE", f"/api/join-tokens/{join_id}"))
