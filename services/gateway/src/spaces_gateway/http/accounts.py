"""Signing in and out: passwords come in here, access tokens and cookies go out."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal, PrincipalKind
from spaces_contracts.identifiers import Name
from spaces_contracts.keys import kind_of, new_key
from spaces_contracts.problems import Code
from spaces_contracts.users import (
    ChangePassword,
    Email,
    EndLogin,
    GetRegistration,
    ListLogins,
    LogIn,
    LoginList,
    LoginReply,
    RefreshLogin,
    RegisterUser,
    RegistrationReply,
    SigningKey,
    User,
)
from spaces_gateway.access import sha256_hex
from spaces_gateway.http import examples
from spaces_gateway.http.cookies import REFRESH, SESSION
from spaces_gateway.http.forms import read_form
from spaces_gateway.http.operations import ALWAYS, Operations
from spaces_gateway.http.passwords import NewPassword, Password, digest, digest_of_new
from spaces_gateway.http.paths import IdInPath
from spaces_gateway.http.principals import Caller, Callers
from spaces_gateway.http.text import Text
from spaces_gateway.services import Services

LOGIN_NAME = Annotated[str, Text, Field(min_length=1, max_length=254)]
CREDENTIALS = (Code.LOGIN_FAILED, Code.LOGIN_THROTTLED, Code.USER_DISABLED)
# What a call that nobody needs a credential for may hear all the same.
ASKED = (Code.INVALID_REQUEST, Code.UNAVAILABLE)
# Checking a password is slow on purpose, and a registry checks only a few at a time.
PASSWORD_S = 10.0
# A login that has ended already.
_GONE = (Code.UNAUTHENTICATED, Code.TOKEN_REVOKED, Code.TOKEN_EXPIRED)
_NO_STORE = {"cache-control": "no-store"}


class Registration(BaseModel):
    """A person who wants in."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    password: NewPassword
    username: Annotated[str, Text] = Field(default="", max_length=64)
    tenant_name: Name | None = Field(default=None, description="Of the tenant that is made.")
    invite: Annotated[str, Text] | None = Field(
        default=None, max_length=200, description="The secret of an invitation into a tenant."
    )


class LoginForm(BaseModel):
    """What a login form holds; fields that OAuth clients add are left alone."""

    username: LOGIN_NAME
    password: Password


class AccessToken(BaseModel):
    """What goes into `Authorization: Bearer`."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"
    expires_in: int = Field(description="Seconds; refresh it before.")


class PasswordChange(BaseModel):
    """The old and the new one."""

    model_config = ConfigDict(extra="forbid")

    current_password: Password
    new_password: NewPassword


class KeySet(BaseModel):
    """A JWK set (RFC 7517)."""

    keys: list[SigningKey]


class AccountsApi:
    """People's own accounts over HTTP."""

    def __init__(self, services: Services, callers: Callers) -> None:
        self._bus = services.bus
        self._tokens = services.access.tokens
        self._callers = callers

    def operations(self) -> Operations:
        """Everything about one's own account."""
        api = Operations("accounts")
        self._add_signing_in(api)
        self._add_account(api)
        return api

    def _add_signing_in(self, api: Operations) -> None:
        api.add(
            "GET /auth/registration",
            self.get_registration,
            Code.UNAVAILABLE,
            response_model=RegistrationReply,
        )
        api.add(
            "POST /auth/register",
            self.register_user,
            Code.REGISTRATION_CLOSED,
            Code.INVITE_INVALID,
            Code.EMAIL_TAKEN,
            Code.TENANT_NAME_TAKEN,
            *ASKED,
            status=201,
            extra=examples.body("owner", examples.REGISTRATION),
        )
        api.add(
            "POST /auth/jwt/login",
            self.log_in,
            *CREDENTIALS,
            Code.CROSS_SITE,
            *ASKED,
            response_model=AccessToken,
            extra=examples.LOGIN_FORM,
        )
        api.add(
            "POST /auth/jwt/refresh",
            self.refresh_login,
            *ALWAYS,
            Code.CROSS_SITE,
            response_model=AccessToken,
        )
        api.add(
            "POST /auth/jwt/logout",
            self.log_out,
            Code.CROSS_SITE,
            status=204,
            guard=None,  # the refresh cookie is enough to leave
            response_class=Response,
            extra={"security": [{"key": []}, {"session": []}]},
        )
        api.add("GET /.well-known/jwks.json", self.get_signing_keys, Code.UNAVAILABLE,
                response_model=KeySet)  # fmt: skip

    def _add_account(self, api: Operations) -> None:
        api.add(
            "POST /auth/password",
            self.change_password,
            *CREDENTIALS,
            status=204,
            response_class=Response,
            extra=examples.body("change", examples.PASSWORD_CHANGE),
        )
        api.add("GET /auth/sessions", self.list_logins)
        api.add(
            "DELETE /auth/sessions/{login_id}",
            self.end_login,
            Code.LOGIN_NOT_FOUND,
            status=204,
            response_class=Response,
        )

    async def get_registration(self) -> RegistrationReply:
        """Who may register: whoever wants to, whoever is invited, or nobody."""
        return await self._bus.request(GetRegistration())

    async def register_user(self, request: Request, body: Registration) -> User:
        """Make an account.

        With an invitation it belongs to the tenant that invited; without one it owns a new tenant.
        Whether that is open to everybody is a setting of the registry.
        """
        command = RegisterUser(
            email=body.email,
            password_digest=digest_of_new(body.password, body.email, body.username),
            username=body.username,
            tenant_name=body.tenant_name,
            invite_sha256=sha256_hex(body.invite) if body.invite else None,
            client_address=self._callers.proxies.address(request.scope),
        )
        return (await self._bus.request(command, PASSWORD_S)).user

    async def log_in(self, request: Request) -> Response:
        """Sign in with a form: email or username, and password.

        The answer is an access token for minutes; a cookie that no script reads refreshes it.
        """
        self._callers.same_site.check(request)
        form = await read_form(LoginForm, request)
        secret = new_key(PrincipalKind.USER)
        reply = await self._bus.request(
            sign_in(self._callers, request, form.username, digest(form.password), secret),
            PASSWORD_S,
        )
        return self._signed_in(request, reply, secret)

    async def refresh_login(self, request: Request) -> Response:
        """Exchange the refresh cookie for an access token and the next cookie.

        A cookie that was exchanged before ends the login: somebody copied it. Only within ten seconds it is
        exchanged once more, for a page that was left before it had its answer.
        """
        reply, secret = await self._refresh(request)
        return self._signed_in(request, reply, secret)

    async def log_out(self, request: Request) -> Response:
        """Sign out here.

        Ends the login of the access token and those of this browser's cookies.
        """
        for principal in await self._logins_here(request):
            command = EndLogin(actor=principal, login_id=principal.principal_id)
            await self._bus.request(command)
        response = Response(status_code=204)
        tls = self._callers.proxies.is_tls(request.scope)
        REFRESH.clear(response, tls=tls)
        SESSION.clear(response, tls=tls)
        return response

    async def change_password(self, body: PasswordChange, actor: Caller) -> Response:
        """Change one's password; other logins end."""
        command = ChangePassword(
            actor=actor,
            password_digest=digest(body.current_password),
            new_digest=digest_of_new(body.new_password, actor.name, field="new_password"),
        )
        await self._bus.request(command, PASSWORD_S)
        return Response(status_code=204)

    async def list_logins(self, actor: Caller) -> LoginList:
        """List where one is signed in."""
        return await self._bus.request(ListLogins(actor=actor))

    async def end_login(self, login_id: IdInPath, actor: Caller) -> Response:
        """Sign out of one device."""
        await self._bus.request(EndLogin(actor=actor, login_id=login_id))
        return Response(status_code=204)

    async def get_signing_keys(self) -> Response:
        """The public keys of access tokens (JWKS)."""
        content = to_json({"keys": await self._tokens.keys()})
        headers = {"cache-control": "public, max-age=60"}
        return Response(content, headers=headers, media_type="application/json")

    async def _refresh(self, request: Request) -> tuple[LoginReply, str]:
        self._callers.same_site.check(request)
        secret = REFRESH.read(request, tls=self._callers.proxies.is_tls(request.scope))
        if secret is None or kind_of(secret) is not PrincipalKind.USER:
            raise ProblemError.of(Code.UNAUTHENTICATED, "The call carries no refresh cookie.")
        following = new_key(PrincipalKind.USER)
        command = RefreshLogin(secret_sha256=sha256_hex(secret), next_sha256=sha256_hex(following))
        return await self._bus.request(command), following

    def _signed_in(self, request: Request, reply: LoginReply, secret: str) -> Response:
        token = AccessToken(access_token=reply.access_token, expires_in=reply.expires_in_s)
        response = Response(to_json(token), headers=_NO_STORE, media_type="application/json")
        tls = self._callers.proxies.is_tls(request.scope)
        REFRESH.set(response, secret, tls=tls, lifetime_s=reply.refresh_expires_in_s)
        return response

    async def _by_refresh(self, request: Request) -> Principal:
        return (await self._refresh(request))[0].principal

    async def _logins_here(self, request: Request) -> list[Principal]:
        """Whose logins this call may end; none when its cookies are of logins that have ended."""
        tls = self._callers.proxies.is_tls(request.scope)
        has_bearer = "authorization" in request.headers
        has_session = SESSION.read(request, tls=tls) is not None
        has_refresh = REFRESH.read(request, tls=tls) is not None
        found: dict[str, Principal] = {}
        refused: ProblemError | None = None
        for given, way in (
            (has_bearer or not (has_session or has_refresh), self._callers.by_bearer),
            (has_session, self._callers.by_session),
            (has_refresh, self._by_refresh),
        ):
            try:
                if given:
                    one = await way(request)
                    found[one.principal_id] = one
            except ProblemError as error:
                if error.problem.code not in _GONE:
                    raise
                refused = refused or error
        if refused is not None and not found and not (has_session or has_refresh):
            raise refused
        return list(found.values())


def sign_in(
    callers: Callers, request: Request, name: str, password_digest: str, secret: str
) -> LogIn:
    """The command for a name and a password; `secret` is what the client will keep."""
    agent: Any = request.headers.get("user-agent", "")
    return LogIn(
        name=name,
        password_digest=password_digest,
        secret_sha256=sha256_hex(secret),
        user_agent="".join(sign for sign in agent[:200] if sign.isprintable()),
        client_address=callers.proxies.address(request.scope),
    )
