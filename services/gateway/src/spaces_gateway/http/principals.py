"""Who calls, and whether they may: the one place where a call over HTTP is authorised."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal
from spaces_contracts.permissions import HTTP_RULES
from spaces_contracts.problems import Code
from spaces_gateway.access import Access
from spaces_gateway.access_tokens import MAX_TOKEN
from spaces_gateway.authorisation import permitted
from spaces_gateway.http.cookies import SESSION, SameSite
from spaces_gateway.http.proxies import Proxies
from spaces_gateway.settings import GatewaySettings

MAX_SECRET = MAX_TOKEN

_BEARER = HTTPBearer(
    auto_error=False, scheme_name="key", description="An API key, the admin key or an access token."
)
_SESSION = APIKeyCookie(
    name=SESSION.plain_name,
    auto_error=False,
    scheme_name="session",
    description="What POST /login sets; over TLS its name begins with __Host-.",
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


class Callers:
    """Finds out who calls, from where, and by what right."""

    def __init__(self, access: Access, settings: GatewaySettings) -> None:
        self.access = access
        self.proxies = Proxies(settings.trusted_proxies, settings.public_url)
        self.same_site = SameSite(self.proxies, settings.allowed_origins, settings.public_url)

    async def by_bearer(self, request: Request) -> Principal:
        """Whoever the Authorization header stands for, if they may. Problems: those of Access, forbidden."""
        secret = bearer_secret(request.headers.get("authorization"))
        return self._may(request, await self.access.principal(secret))

    async def by_bearer_or_session(self, request: Request) -> Principal:
        """The same, or whoever signed in with this browser. Problems: those, cross_site."""
        secret = SESSION.read(request, tls=self.proxies.is_tls(request.scope))
        if secret is None or "authorization" in request.headers:
            return await self.by_bearer(request)
        return await self.by_session(request)

    async def by_session(self, request: Request) -> Principal:
        """Whoever signed in with this browser. Problems: those of `by_bearer`, cross_site."""
        secret = SESSION.read(request, tls=self.proxies.is_tls(request.scope))
        self.same_site.check(request)
        return self._may(request, await self.access.session(secret or ""))

    def _may(self, request: Request, principal: Principal) -> Principal:
        rule = HTTP_RULES[request.scope["route"].operation_id]
        address = self.proxies.address(request.scope)
        return permitted(rule, principal).model_copy(update={"client_address": address})


def callers(request: Request) -> Callers:
    """Those of this application."""
    found: Callers = request.app.state.callers
    return found


# In the signatures only for the document: they name the schemes of each operation.
ShownBearer = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
ShownSession = Annotated[str | None, Security(_SESSION)]


async def caller(request: Request, _bearer: ShownBearer = None) -> Principal:
    """For operations that take a key or an access token."""
    return await callers(request).by_bearer(request)


async def caller_or_session(
    request: Request, _bearer: ShownBearer = None, _session: ShownSession = None
) -> Principal:
    """For the kept routes, which take a browser's session as well."""
    return await callers(request).by_bearer_or_session(request)


Caller = Annotated[Principal, Depends(caller)]
CallerOrSession = Annotated[Principal, Depends(caller_or_session)]
