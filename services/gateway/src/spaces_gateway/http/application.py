"""The FastAPI application: all operations in one place."""

from importlib.metadata import version

from fastapi import FastAPI

from spaces_chassis.health import HealthApp
from spaces_chassis.lifecycle import Part
from spaces_gateway.http import documents, problems
from spaces_gateway.http.accounts import AccountsApi
from spaces_gateway.http.audit import AuditApi
from spaces_gateway.http.covers import CoversApi
from spaces_gateway.http.credentials import CredentialsApi
from spaces_gateway.http.files import FilesApi
from spaces_gateway.http.hot import HotRoutes
from spaces_gateway.http.joins import JoinsApi
from spaces_gateway.http.kept import KeptApi
from spaces_gateway.http.kept_forms import KeptFormsApi
from spaces_gateway.http.pages import PagesApi
from spaces_gateway.http.people import PeopleApi
from spaces_gateway.http.principals import Callers
from spaces_gateway.http.quotas import QuotasApi
from spaces_gateway.http.request_lists import RequestListsApi
from spaces_gateway.http.requests import RequestsApi
from spaces_gateway.http.spaces import SpacesApi
from spaces_gateway.http.system import SystemApi
from spaces_gateway.http.waits import Waits
from spaces_gateway.http.web import BUILT, WebApplication, WithWeb
from spaces_gateway.http.workers import WorkersApi
from spaces_gateway.services import Services, Sockets


def build_http(
    services: Services, sockets: Sockets, waits: Waits, parts: list[Part]
) -> tuple[FastAPI, HotRoutes]:
    """The HTTP API, and its hot operations beside it. `parts` are those whose health is the gateway's."""
    requests = RequestsApi(services, sockets, waits)
    web = WebApplication(services.settings.web_dir or BUILT)
    app = FastAPI(
        title="WebSocket Spaces",
        version=version("spaces-gateway"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # A body without a type is JSON all the same: where a cookie authorises, the page's origin is checked.
        strict_content_type=False,
    )
    callers = app.state.callers = Callers(services.access, services.settings)
    problems.install(app)
    for api in (
        SpacesApi(services),
        CoversApi(services),
        requests,
        RequestListsApi(services),
        FilesApi(services),
        CredentialsApi(services),
        JoinsApi(services, callers),
        AccountsApi(services, callers),
        PeopleApi(services),
        AuditApi(services),
        QuotasApi(services),
        WorkersApi(services),
        SystemApi(services),
        KeptApi(services),
        KeptFormsApi(services, callers),
        PagesApi(parts, HealthApp(parts, services.metrics), web),
    ):
        app.include_router(api.operations().router)
    documents.install(app)
    app.router.default = WithWeb(web, app.router.default)
    return app, HotRoutes(services, waits, requests.get)
