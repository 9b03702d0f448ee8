"""Two forms of the former platform: sign in with a cookie, and add a space."""

from contextlib import suppress
from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import PrincipalKind
from spaces_contracts.files import InputKind
from spaces_contracts.identifiers import Name
from spaces_contracts.keys import new_key
from spaces_contracts.problems import Code
from spaces_contracts.spaces import CreateSpace
from spaces_gateway.files.covers import MAX_COVER_BYTES
from spaces_gateway.http import examples
from spaces_gateway.http.accounts import ASKED, CREDENTIALS, LOGIN_NAME, PASSWORD_S, sign_in
from spaces_gateway.http.cookies import SESSION
from spaces_gateway.http.covers import set_cover
from spaces_gateway.http.forms import SmallFile, read_form
from spaces_gateway.http.kept import kept_refusal
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.passwords import Password, digest
from spaces_gateway.http.principals import CallerOrSession, Callers, caller_or_session
from spaces_gateway.http.problems import BadRequest
from spaces_gateway.http.text import Text
from spaces_gateway.services import Services


class KeptLogin(BaseModel):
    """The login form: a name in one of two fields."""

    username: LOGIN_NAME | None = None
    email: LOGIN_NAME | None = None
    password: Password

    @model_validator(mode="after")
    def _named(self) -> "KeptLogin":
        if not self.name:
            raise ValueError("give a username or an email")
        return self

    @property
    def name(self) -> str:
        """What is signed in with."""
        return self.username or self.email or ""


class KeptSpace(BaseModel):
    """The form for a space. Boxes that are not ticked are not sent."""

    name: Name
    description: Annotated[str, Text] = Field(default="", max_length=2000)
    card_type: Literal["websockets"] = "websockets"
    ws_enable_prompt: bool | None = None
    ws_enable_image: bool | None = None
    ws_enable_audio: bool | None = None
    ws_enable_video: bool | None = None
    ws_enable_file: bool | None = None

    @field_validator(*(f"ws_enable_{kind}" for kind in InputKind), mode="before")
    @classmethod
    def _blank(cls, value: str) -> str | None:
        return value or None

    def inputs(self) -> list[InputKind]:
        """What was ticked; prompts when nothing is said about any of them."""
        boxes = {kind: getattr(self, f"ws_enable_{kind}") for kind in InputKind}
        if all(box is None for box in boxes.values()):
            return [InputKind.PROMPT]
        return [kind for kind, box in boxes.items() if box]


class KeptSignedIn(BaseModel):
    """Signed in; the cookie says the rest."""

    success: Literal[True] = True
    username: str


class KeptAdded(BaseModel):
    """A space was made."""

    success: Literal[True] = True
    space_id: str
    name: str


class KeptFormsApi:
    """The kept forms."""

    def __init__(self, services: Services, callers: Callers) -> None:
        self._bus = services.bus
        self._covers = services.covers
        self._callers = callers

    def operations(self) -> Operations:
        """Login and adding a space."""
        api = Operations("kept")
        api.add(
            "POST /login",
            self.log_in_with_form,
            *CREDENTIALS,
            Code.CROSS_SITE,
            *ASKED,
            response_model=KeptSignedIn,
            responses={
                303: {"description": "Signed in: for browsers, which go to the start page."}
            },
            extra=examples.KEPT_LOGIN_FORM,
        )
        api.add(
            "POST /admin/space/add",
            self.add_space_with_form,
            Code.SPACE_NAME_TAKEN,
            Code.TENANT_NOT_FOUND,
            Code.CROSS_SITE,
            guard=caller_or_session,
            response_model=KeptAdded,
            extra=examples.SPACE_FORM,
        )
        return api

    async def log_in_with_form(self, request: Request) -> Response:
        """Sign in with a form and a session cookie (kept).

        The cookie is good for the kept routes. Programs and the API use POST /auth/jwt/login.
        """
        try:
            self._callers.same_site.check(request)
            form = await read_form(KeptLogin, request)
            secret = new_key(PrincipalKind.USER)  # never one that the browser brought
            command = sign_in(self._callers, request, form.name, digest(form.password), secret)
            command = command.model_copy(update={"is_session": True})
            reply = await self._bus.request(command, PASSWORD_S)
        except (ProblemError, BadRequest) as error:
            return kept_refusal(request, error)
        response: Response
        if "text/html" in request.headers.get("accept", ""):
            response = RedirectResponse("/", status_code=303)
        else:
            content = to_json(KeptSignedIn(username=reply.principal.name))
            response = Response(content, media_type="application/json")
        response.headers["cache-control"] = "no-store"
        tls = self._callers.proxies.is_tls(request.scope)
        SESSION.set(response, secret, tls=tls, lifetime_s=reply.refresh_expires_in_s)
        return response

    async def add_space_with_form(self, request: Request, actor: CallerOrSession) -> Response:
        """Add a space with a form (kept).

        A `cover` that is no PNG, JPEG or WebP picture of up to 512 KiB is left out.
        """
        try:
            cover = SmallFile("cover", MAX_COVER_BYTES)
            form = await read_form(KeptSpace, request, cover)
            command = CreateSpace(
                actor=actor, name=form.name, description=form.description, inputs=form.inputs()
            )
            space = (await self._bus.request(command)).space
        except (ProblemError, BadRequest) as error:
            return kept_refusal(request, error)
        if cover.data:
            # The space is there: a cover that is no picture, or cannot be stored now, is not worth an error.
            with suppress(ProblemError):
                await set_cover(self._bus, self._covers, actor, space, cover.data)
        content = to_json(KeptAdded(space_id=space.space_id, name=space.name))
        return Response(content, media_type="application/json")
