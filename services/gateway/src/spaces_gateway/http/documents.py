"""The OpenAPI document, and a page that shows it without fetching anything from elsewhere."""

import html
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse

from spaces_gateway.http.operations import problem_examples
from spaces_gateway.http.pages import html_page, page
from spaces_gateway.http.problems import MEDIA_TYPE, ProblemDocument
from spaces_gateway.submission import SubmitBody

DESCRIPTION = """Send requests to models that run on hosts without a public address.

Every refusal is a problem document (RFC 9457) with a stable `code`, listed at `/docs/problems`.
Sockets (`/ws`, `/ws/worker`) are described in docs/messages.md.
"""
_TEMPLATE = "#/components/schemas/{model}"


def install(app: FastAPI) -> None:
    """Serves the finished document at /openapi.json and as a page at /docs."""
    app.openapi = lambda: document(app)  # type: ignore[method-assign]  # FastAPI's documented way

    async def docs() -> HTMLResponse:
        return html_page(docs_page(document(app)))

    app.add_api_route("/docs", docs, include_in_schema=False)


def document(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document with what it cannot know."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=DESCRIPTION,
            routes=app.routes,
            servers=[{"url": "/"}],
        )
        schemas = made["components"]["schemas"]
        for model in (ProblemDocument, SubmitBody):
            schema = model.model_json_schema(ref_template=_TEMPLATE)
            schemas.update(schema.pop("$defs", {}))
            schemas[model.__name__] = schema
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        made["components"]["examples"] = problem_examples()
        app.openapi_schema = made
    return app.openapi_schema


def docs_page(made: dict[str, Any]) -> str:
    """Every operation with its parameters, answers and problems."""
    by_tag: dict[str, list[str]] = {}
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            shown = _operation(method, path, operation)
            by_tag.setdefault(operation["tags"][0], []).append(shown)
    sections = "".join(
        f"<h2>{html.escape(tag)}</h2>{''.join(shown)}" for tag, shown in by_tag.items()
    )
    intro = "".join(f"<p>{html.escape(text)}</p>" for text in DESCRIPTION.strip().split("\n\n"))
    links = (
        '<p><a href="/openapi.json">openapi.json</a> · <a href="/docs/problems">problems</a></p>'
    )
    return page(f"{made['info']['title']} API", f"<h1>API</h1>{intro}{links}{sections}")


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<li><code>{html.escape(item['name'])}</code> ({item['in']}) "
        f"{html.escape(item.get('description', ''))}</li>"
        for item in operation.get("parameters", [])
    )
    answers = "".join(
        f"<li>{status}: {html.escape(response.get('description', ''))}{_codes(response)}</li>"
        for status, response in operation["responses"].items()
    )
    return (
        f"<details><summary><code>{method.upper()} {html.escape(path)}</code> "
        f"{html.escape(operation.get('summary', ''))}</summary>"
        f"<p>{html.escape(operation.get('description', ''))}</p>"
        f"<ul>{parameters}</ul><p>Answers</p><ul>{answers}</ul></details>"
    )


def _codes(response: dict[str, Any]) -> str:
    codes = response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {})
    return "".join(f' <a href="/docs/problems#{code}"><code>{code}</code></a>' for code in codes)
