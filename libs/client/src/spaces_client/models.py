"""What the gateway answers, typed. Unknown fields are ignored, so a newer gateway is understood."""

from datetime import datetime
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from spaces_contracts.access import Credential, PrincipalKind, Tenant
from spaces_contracts.connections import Connection
from spaces_contracts.files import FileRef
from spaces_contracts.requests import RequestState
from spaces_contracts.spaces import Space


class Answer(BaseModel):
    """Anything a gateway answers."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Failure(Answer):
    """Why a request did not succeed. The code is text: a newer gateway may have new ones."""

    code: str
    message: str = ""


class Request(Answer):
    """One request. Right after a submit only the id, state and place in the queue are known."""

    request_id: str
    space_id: str
    state: RequestState
    attempt: int = 0
    position: int | None = None
    queue_size: int = 0
    eta_s: float | None = None
    duplicate: bool = False
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    output: Any = None
    output_files: list[FileRef] = []
    error: Failure | None = None
    processing_time_seconds: float | None = None
    timestamp: datetime | None = None
    queue_ms: int | None = None
    run_ms: int | None = None

    @property
    def text(self) -> str | None:
        """The output's text, for handlers that make text."""
        if isinstance(self.output, str):
            return self.output
        text = self.output.get("text") if isinstance(self.output, dict) else None
        return text if isinstance(text, str) else None


class RequestPage(Answer):
    """Requests, newest first; `next_cursor` is set when there are more."""

    requests: list[Request] = Field(validation_alias=AliasChoices("requests", "items"))
    next_cursor: str | None = None


class SpacePage(Answer):
    """Spaces, oldest first; `next_cursor` is set when there are more."""

    spaces: list[Space] = Field(validation_alias=AliasChoices("spaces", "items"))
    next_cursor: str | None = None


class TenantPage(Answer):
    """The tenants that the credential sees."""

    tenants: list[Tenant] = Field(validation_alias=AliasChoices("tenants", "items"))


class ConnectionPage(Answer):
    """The live workers of a space."""

    connections: list[Connection] = Field(validation_alias=AliasChoices("connections", "items"))


class CredentialPage(Answer):
    """API keys or worker tokens, without their secrets."""

    credentials: list[Credential] = Field(
        validation_alias=AliasChoices("credentials", "keys", "worker_tokens", "items")
    )


class NewCredential(Answer):
    """A credential just made. The secret is shown this once and is stored nowhere."""

    credential: Credential
    secret: str = Field(validation_alias=AliasChoices("secret", "token", "key"), repr=False)


class Me(Answer):
    """Who the credential stands for."""

    principal_id: str
    kind: PrincipalKind
    tenant_id: str | None = None
    name: str = ""
