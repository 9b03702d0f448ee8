"""The two cookies of browsers, and the check that a call which they authorise comes from a page that may make it."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from spaces_chassis.errors import ProblemError
from spaces_contracts.problems import Code
from spaces_gateway.http.proxies import Proxies
from spaces_gateway.origins import Origins

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})


@dataclass(frozen=True)
class Cookie:
    """One cookie: scripts cannot read it, and pages of other sites cannot have it sent."""

    plain_name: str
    path: str
    prefix: str  # over TLS: makes browsers refuse one that another host or a plain connection set

    def name(self, *, tls: bool) -> str:
        """What it is called on such a connection."""
        return self.prefix + self.plain_name if tls else self.plain_name

    def read(self, request: Request, *, tls: bool) -> str | None:
        """Its value. None without one, and when there are several: somebody may have planted one."""
        name = self.name(tls=tls)
        pairs = [
            pair.strip().partition("=")
            for line in request.headers.getlist("cookie")
            for pair in line.split(";")
        ]
        values = {value for found, _, value in pairs if found == name}
        return values.pop() or None if len(values) == 1 else None

    def set(self, response: Response, value: str, *, tls: bool, lifetime_s: int) -> None:
        """Has the browser keep it."""
        response.set_cookie(
            self.name(tls=tls),
            value,
            max_age=lifetime_s,
            path=self.path,
            secure=tls,
            httponly=True,
            samesite="strict",
        )

    def clear(self, response: Response, *, tls: bool) -> None:
        """Has the browser drop it."""
        response.delete_cookie(
            self.name(tls=tls), path=self.path, secure=tls, httponly=True, samesite="strict"
        )


SESSION = Cookie("spaces_session", "/", "__Host-")
REFRESH = Cookie("spaces_refresh", "/auth/jwt", "__Secure-")  # __Host- would need the path /


class SameSite:
    """Refuses what a page of another site makes a browser send. Scripts that are no browsers pass."""

    def __init__(
        self, proxies: Proxies, allowed_origins: Sequence[str], public_url: str | None = None
    ) -> None:
        self._proxies = proxies
        # A star opens sockets, where a ticket is asked for. It does not hand out people's cookies.
        self._allowed = frozenset(origin for origin in allowed_origins if origin != "*")
        # The gateway may not know that a proxy ended TLS, so https is right on any connection; http is not.
        self._own = {tls: Origins((), public_url=public_url, tls=tls) for tls in (False, True)}

    def check(self, request: Request) -> None:
        """Problem: cross_site."""
        if request.method in _SAFE:
            return
        origin = request.headers.get("origin", "")
        if origin in self._allowed:
            return
        if origin and not self._is_own(origin, request):
            raise _refused(f"of {origin[:200]}")
        site = request.headers.get("sec-fetch-site", "none")
        if site not in _OWN_SITES:
            raise _refused("of another site")

    def _is_own(self, origin: str, request: Request) -> bool:
        own = self._own[self._proxies.is_tls(request.scope)]
        return own.allow(origin, self._proxies.host(request.scope))


def _refused(whose: str) -> ProblemError:
    return ProblemError.of(
        Code.CROSS_SITE, f"Pages {whose} may not make this call with a browser's cookies."
    )
