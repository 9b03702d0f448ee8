"""Pages and probes: what this is, whether it works, what the codes mean."""

import html
from importlib.metadata import version
from typing import Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from spaces_chassis.health import HealthApp, readiness
from spaces_chassis.lifecycle import Part
from spaces_contracts.problems import KINDS, Code
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.protection import page_headers
from spaces_gateway.http.web import WebApplication

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#8882;padding:0 .2em}table{border-collapse:collapse;width:100%}"
    "td,th{border:1px solid #8886;padding:.3rem .5rem;text-align:left;vertical-align:top}"
    ":root{color-scheme:light dark}"
)
_HEADERS = page_headers(_STYLE)


class About(BaseModel):
    """What answers here."""

    name: Literal["WebSocket Spaces"] = "WebSocket Spaces"
    version: str
    docs: str = "/docs"
    openapi: str = "/openapi.json"
    health: str = "/health"


class Health(BaseModel):
    """Whether this gateway works."""

    status: Literal["live", "ready", "not_ready"]
    parts: dict[str, bool] = {}


class PagesApi:
    """Everything that needs no credential."""

    def __init__(self, parts: list[Part], health: HealthApp, web: WebApplication) -> None:
        self._parts = parts
        self._health = health
        self._web = web

    def operations(self) -> Operations:
        """Pages and probes."""
        api = Operations("pages")
        api.add("GET /", self.get_about, response_model=About)
        not_ready = {503: {"description": "A part does not work.", "model": Health}}
        for path, function in (
            ("/health", self.get_health),
            ("/health/ready", self.get_readiness),
        ):
            api.add(f"GET {path}", function, response_model=Health,
                    responses=not_ready)  # fmt: skip
        api.add("GET /health/live", self.get_liveness, response_model=Health)
        schema = {"schema": {"type": "string"}}
        text = {200: {"description": "Metrics.", "content": {"text/plain": schema}}}
        api.add("GET /metrics", self.get_metrics, response_class=Response,
                responses=text)  # fmt: skip
        api.add("GET /docs/problems", self.get_problem_codes,
                response_class=HTMLResponse)  # fmt: skip
        return api

    async def get_about(self, request: Request) -> Response:
        """What answers here.

        JSON, or the web application for browsers.
        """
        about = About(version=version("spaces-gateway"))
        if "text/html" in request.headers.get("accept", ""):
            if self._web.built:
                return self._web.page(request.headers)
            return html_page(_about_page(about))
        return JSONResponse(about.model_dump())

    async def get_health(self) -> Response:
        """Whether this gateway works."""
        return self._readiness()

    async def get_readiness(self) -> Response:
        """Whether this gateway takes requests; for load balancers."""
        return self._readiness()

    async def get_liveness(self) -> Response:
        """Whether this process lives; for supervisors."""
        return JSONResponse({"status": "live", "parts": {}})

    async def get_metrics(self) -> Response:
        """Metrics for Prometheus."""
        status, content_type, body = self._health.answer("/metrics")
        return Response(body, status, headers={"content-type": content_type})

    async def get_problem_codes(self) -> HTMLResponse:
        """What each problem code means."""
        return html_page(_problem_page())

    def _readiness(self) -> Response:
        ready, states = readiness(self._parts)
        body = {"status": "ready" if ready else "not_ready", "parts": states}
        return JSONResponse(body, 200 if ready else 503)


def html_page(text: str) -> HTMLResponse:
    """A page as it is sent: browsers run nothing in it."""
    return HTMLResponse(text, headers=_HEADERS)


def page(title: str, content: str) -> str:
    """A page without scripts."""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<main>{content}</main></html>"
    )


def _about_page(about: About) -> str:
    return page(
        about.name,
        f"<h1>{about.name}</h1><p>Gateway {html.escape(about.version)}.</p>"
        "<p>The web application is not built: run <code>make web</code> where the gateway was installed from, "
        "then start the gateway again.</p><ul>"
        f'<li><a href="{about.docs}">API documentation</a> and its '
        f'<a href="{about.openapi}">OpenAPI document</a></li>'
        f'<li><a href="/docs/problems">Problem codes</a></li>'
        f'<li><a href="{about.health}">Health</a></li></ul>',
    )


def _problem_page() -> str:
    rows = "".join(
        f'<tr id="{code}"><td><code>{code}</code></td><td>{kind.status}</td>'
        f"<td>{html.escape(kind.title)}</td><td>{html.escape(kind.what_to_do)}</td>"
        f"<td>{'yes' if kind.retry else 'no'}</td></tr>"
        for code, kind in ((code, KINDS[code]) for code in Code)
    )
    head = "<tr><th>Code</th><th>Status</th><th>Meaning</th><th>What to do</th><th>Retry</th></tr>"
    return page("Problem codes", f"<h1>Problem codes</h1><table>{head}{rows}</table>")
