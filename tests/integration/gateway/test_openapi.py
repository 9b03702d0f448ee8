"""The OpenAPI document is whole, and the gateway keeps to it."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from spaces_contracts.permissions import HTTP_RULES, RULES, Whose
from spaces_contracts.problems import Code
from spaces_gateway.http.operations import Operations, is_open_to_all
from spaces_gateway.http.problems import MEDIA_TYPE, ProblemDocument
from spaces_gateway.openapi import openapi_document
from tests.integration.gateway.conftest import Process, Running
from tests.support.keys import bearer

DOCUMENT = openapi_document()
OPERATIONS = [
    pytest.param(method, path, operation, id=operation["operationId"])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]
# Each has its own socket or page; it is not an operation.
NOT_HTTP_PROBLEMS = {Code.TOKEN_INVALID}


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_an_operation_is_complete(method: str, path: str, operation: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"])
    assert operation["summary"]
    assert operation["tags"]
    problems = [
        response["content"][MEDIA_TYPE]
        for status, response in operation["responses"].items()
        if int(status) >= 400 and MEDIA_TYPE in response.get("content", {})
    ]
    assert problems
    for problem in problems:
        assert problem["schema"] == {"$ref": "#/components/schemas/ProblemDocument"}
        assert problem["examples"]
    if not is_open_to_all(operation["operationId"]):
        assert {"key": []} in operation["security"]
        assert {"401", "403"} <= set(operation["responses"])
    elif HTTP_RULES[operation["operationId"]].whose is Whose.ANYBODY:
        assert "security" not in operation
    if {"session": []} in operation.get("security", ()):
        assert "cross_site" in json.dumps(operation) or method == "get"


def test_the_table_of_who_may_do_what_holds_every_operation_and_no_other() -> None:
    listed = [name for rule in RULES for name in rule.http]
    assert sorted(listed) == sorted(str(param.id) for param in OPERATIONS)


def test_an_operation_without_a_row_is_refused_when_the_gateway_is_built() -> None:
    async def read_minds() -> None:
        """Read minds."""

    with pytest.raises(LookupError, match="read_minds has no row"):
        Operations("test").add("GET /minds", read_minds)


def test_operation_ids_are_unique() -> None:
    ids = [
        operation["operationId"]
        for methods in DOCUMENT["paths"].values()
        for operation in methods.values()
    ]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["examples"]))
def test_an_example_of_a_problem_fits_the_schema(name: str) -> None:
    example = DOCUMENT["components"]["examples"][name]["value"]
    assert ProblemDocument.model_validate(example).code == name


async def test_the_gateway_serves_the_document_and_its_pages(running: Running) -> None:
    assert (await running.get("/openapi.json")).json() == DOCUMENT
    docs = await running.get("/docs")
    assert "submit_request" not in docs.text
    assert "/api/spaces/{space}/requests" in docs.text
    assert "http://" not in docs.text.replace(running.gateway.server.url, "")
    problems = (await running.get("/docs/problems")).text
    assert all(f'id="{code}"' in problems for code in Code)
    about = await running.get("/", headers={"accept": "text/html"})
    assert "WebSocket Spaces" in about.text
    assert (await running.get("/")).json()["docs"] == "/docs"


@pytest.mark.timeout(300)
async def test_schemathesis_finds_nothing(process: Process, tmp_path: Path) -> None:
    process.backends.add_space("my-space")
    process.backends.finish_at_once = '{"text":"roses"}'  # so that nobody waits in vain
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        "run",
        f"{process.url}/openapi.json",
        "--header",
        f"Authorization: {bearer('user')['authorization']}",
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance,response_headers_conformance",
        "--max-examples",
        "8",
        "--seed",
        "1",
        "--workers",
        "1",
        "--no-color",
        "--request-timeout",
        "20",
        "--generation-database",
        "none",
        # It ends only with the request, which nobody here ends.
        "--exclude-operation-id",
        "stream_request_events",
    ]
    run = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path
    )
    output, _ = await run.communicate()
    assert run.returncode == 0, output.decode()[-8000:]
