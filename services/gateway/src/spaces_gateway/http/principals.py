"""Who calls: the bearer of `Authorization`, looked up; never anything from the address."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal, PrincipalKind
from spaces_contracts.problems import Code
from spaces_gateway.access import Access

MAX_SECRET = 512

_BEARER = HTTPBearer(
    auto_error=False, scheme_name="key", description="An API key, or the admin key."
)


def bearer_secret(authorization: str | None) -> str:
    """The secret in an Authorization header. Problem: unauthenticated."""
    scheme, _, secret = (authorization or "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret or len(secret) > MAX_SECRET:
        raise ProblemError.of(
            Code.UNAUTHENTICATED, "The call carries no `Authorization: Bearer KEY`."
        )
    return secret


# In the signatures only for the document: it names the scheme of each operation.
Shown = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


async def caller(request: Request, _shown: Shown = None) -> Principal:
    """Whoever the credential stands for. Problems: unauthenticated, token_revoked."""
    access: Access = request.app.state.access
    return await access.principal(bearer_secret(request.headers.get("authorization")))


async def user(principal: Annotated[Principal, Depends(caller)]) -> Principal:
    """An API key or admin. Problem: forbidden."""
    return no_worker(principal)


def no_worker(principal: Principal) -> Principal:
    """The principal, unless it is a worker token, which only serves. Problem: forbidden."""
    if principal.kind is PrincipalKind.WORKER_TOKEN:
        raise ProblemError.of(Code.FORBIDDEN, "A worker token only serves its spaces.")
    return principal


Caller = Annotated[Principal, Depends(caller)]
User = Annotated[Principal, Depends(user)]
