"""Every problem that HTTP can answer with: status, code and text, always as a problem document."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from spaces_chassis.metrics import Metrics
from spaces_contracts.access import (
    Authenticate,
    CreateTenant,
    RevokeCredential,
)
from spaces_contracts.connections import ControlConnection
from spaces_contracts.identifiers import new_id
from spaces_contracts.message import Command
from spaces_contracts.problems import KINDS, Code, Problem
from spaces_contracts.requests import CancelRequest
from spaces_contracts.spaces import CreateSpace
from spaces_gateway.http.edge import Edge
from tests.integration.gateway.conftest import ADMIN, Running
from tests.support.keys import bearer

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)
ID = "01m7yzzzwxv8wkbzbk3ds3mfve"
SUBMIT = "/api/spaces/poems/requests"


@dataclass
class Case:
    """One call that is refused."""

    code: Code
    says: str
    method: str = "GET"
    path: str = "/api/me"
    options: dict[str, Any] = field(default_factory=dict)
    refuse: type[Command[Any]] | None = None  # the backend refuses this with the code and text
    verdict: bool = False  # the scheduler's verdict is the code and text


def post(code: Code, says: str, path: str, **options: Any) -> Case:
    return Case(code, says, "POST", path, options)


def refused(
    code: Code, says: str, command: type[Command[Any]], method: str = "GET", path: str = "/api/me",
    **options: Any,
) -> Case:  # fmt: skip
    return Case(code, says, method, path, options, command)


def verdict(code: Code, says: str) -> Case:
    return Case(code, says, "POST", SUBMIT, {"json": {"prompt": "hi"}}, verdict=True)


def submit(code: Code, says: str, space: str, **options: Any) -> Case:
    return post(code, says, f"/api/spaces/{space}/requests", **options)


HI: dict[str, Any] = {"json": {"prompt": "hi"}}
CASES = [
    Case(
        Code.UNAUTHENTICATED,
        "The call carries no `Authorization: Bearer KEY`.",
        options={"headers": {"authorization": ""}},
    ),
    Case(
        Code.UNAUTHENTICATED,
        "The key is not known.",
        options={"headers": bearer("nobody")},
    ),
    refused(Code.TOKEN_REVOKED, "The credential was revoked.", Authenticate),
    post(
        Code.FORBIDDEN, "This credential may not make tenants: that needs tenants:manage.", "/api/tenants",
        json={"name": "a"},
    ),
    refused(
        Code.TENANT_NAME_TAKEN, "Tenant exists.", CreateTenant, "POST", "/api/tenants",
        json={"name": "a"}, headers=ADMIN,
    ),
    refused(
        Code.TENANT_NOT_FOUND, "No such tenant.", CreateSpace, "POST", "/api/spaces",
        json={"name": "a", "tenant_id": ID},
    ),
    post(Code.SPACE_NAME_TAKEN, "Space 'poems' exists.", "/api/spaces", json={"name": "poems"}),
    refused(Code.KEY_NOT_FOUND, "There is no such key.", RevokeCredential, "DELETE", f"/api/keys/{ID}"),
    refused(
        Code.CONNECTION_NOT_FOUND, "There is no such connection.", ControlConnection, "POST",
        f"/api/connections/{ID}/kick",
    ),
    Case(Code.SPACE_NOT_FOUND, "Space 'none' not found", path="/api/spaces/none"),
    submit(Code.SPACE_NOT_FOUND, "Space 'none' not found", "none", **HI),
    submit(Code.MULTIPLE_SPACES, "Multiple spaces with name 'twin' found", "twin", **HI),
    submit(Code.SPACE_DISABLED, "Space 'off' is disabled.", "off", **HI),
    Case(Code.REQUEST_NOT_FOUND, f"There is no request '{ID}'.", path=f"/api/requests/{ID}"),
    Case(Code.REQUEST_NOT_FOUND, f"There is no request '{ID}'.", path=f"/api/requests/{ID}/events"),
    refused(
        Code.REQUEST_NOT_FOUND, "There is no such request.", CancelRequest, "POST",
        f"/api/requests/{ID}/cancel",
    ),
    Case(Code.FILE_NOT_FOUND, f"There is no file '{ID}'.", path=f"/api/files/{ID}"),
    Case(Code.FILE_NOT_FOUND, "There is no file 'x'.", path="/api/files/x"),
    submit(Code.FILE_NOT_FOUND, f"There is no file '{ID}'.", "poems", json={"files": [ID]}),
    submit(Code.INVALID_REQUEST, "#: The body is not valid JSON: ", "poems", content=b"{"),
    submit(Code.INVALID_REQUEST, "#: The body is not valid JSON: ", "poems", content=b'{"prompt":NaN}'),
    submit(Code.INVALID_REQUEST, "#: The body is not a JSON object.", "poems", content=b"[1]"),
    submit(Code.INVALID_REQUEST, "#/prompt: Input should be a valid string", "poems", json={"prompt": 1}),
    submit(Code.INVALID_REQUEST, "#/promt: Extra inputs are not permitted", "poems", json={"promt": ""}),
    submit(
        Code.INVALID_REQUEST, "query/wait: Use a number of seconds from 0 to 60.", "poems",
        json={"prompt": "hi"}, params={"wait": "61"},
    ),
    submit(
        Code.INVALID_REQUEST, "header/Idempotency-Key: Use 1 to 255 visible ASCII characters", "poems",
        json={"prompt": "hi"}, headers={"idempotency-key": "a b"},
    ),
    post(Code.INVALID_REQUEST, "#: The body is not valid JSON.", "/api/tenants", content=b"{"),
    post(Code.INVALID_REQUEST, "#/name: Field required", "/api/tenants", json={}, headers=ADMIN),
    post(
        Code.INVALID_REQUEST, "#/name: String should match pattern", "/api/tenants",
        json={"name": "\0"}, headers=ADMIN,
    ),
    Case(Code.INVALID_REQUEST, "path/request_id: String should match pattern", path="/api/requests/x"),
    Case(Code.INVALID_REQUEST, "query/limit: Input should be a valid integer", path="/api/requests?limit=x"),
    Case(Code.INVALID_REQUEST, "The address holds a NUL character.", path="/api/spaces/%00"),
    post(Code.INVALID_REQUEST, "#/file: The form has no file.", "/api/files", files={"a": (None, "b")}),
    post(
        Code.INVALID_REQUEST, "#: The form has more than one file.", "/api/files",
        files={"a": ("a", b"1"), "b": ("b", b"2")},
    ),
    post(
        Code.INVALID_REQUEST, "header/Content-Type: The form names no boundary.", "/api/files",
        content=b"x", headers={"content-type": "multipart/form-data"},
    ),
    post(
        Code.INVALID_REQUEST, "#: The form breaks off before its last boundary.", "/api/files",
        content=b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nhalf',
        headers={"content-type": "multipart/form-data; boundary=b"},
    ),
    Case(
        Code.INVALID_REQUEST, "header/Last-Event-ID: Use an id of this stream: attempt:n.",
        path=f"/api/requests/{ID}/events", options={"headers": {"last-event-id": "x"}},
    ),
    submit(Code.EMPTY_PROMPT, "The prompt is empty and there is no file.", "poems", json={"prompt": " \n"}),
    submit(Code.EMPTY_PROMPT, "The prompt is empty and there is no file.", "poems", json={}),
    submit(
        Code.INPUT_NOT_ENABLED, "Space 'ocr' does not take prompt input; it takes image.", "ocr", **HI
    ),
    post(
        Code.FILE_TOO_LARGE, "The file is larger than 1000000 bytes.", "/api/files",
        content=bytes(1_000_001),
    ),
    submit(
        Code.FILE_TOO_LARGE, "File 'x.bin' is larger than 1000000 bytes.", "ocr",
        files={"f": ("x.bin", bytes(1_000_001))},
    ),
    post(
        Code.FILE_TYPE_MISMATCH,
        "File 'a.jpg' says it is audio/mpeg, but its content looks like image/png.",
        "/api/files", content=PNG, headers={"content-type": "audio/mpeg", "x-file-name": "a.jpg"},
    ),
    submit(
        Code.PAYLOAD_TOO_LARGE, "The body is larger than 1048576 bytes.", "poems",
        json={"prompt": "x" * 1_048_576},
    ),
    submit(
        Code.PAYLOAD_TOO_LARGE, "The prompt and parameters are too large; send a file.", "poems",
        json={"prompt": '"' * 500_000},
    ),
    post(Code.PAYLOAD_TOO_LARGE, "The body is larger than 1048576 bytes.", "/api/spaces",
         content=bytes(1_048_577)),
    Case(Code.NOT_FOUND, "There is nothing at this address.", path="/nothing"),
    Case(Code.METHOD_NOT_ALLOWED, "The address does not take this method.", "PUT", "/api/spaces"),
    verdict(Code.WORKER_NOT_CONNECTED, "Remote app not connected"),
    verdict(Code.QUEUE_FULL, "The queue of 10 is full."),
    verdict(Code.IDEMPOTENCY_KEY_REUSED, "The key was used for another body."),
    verdict(Code.SPACE_DISABLED, "Space 'poems' was just disabled."),
    Case(
        Code.SIGNATURE_INVALID, "This address was not made here.", "PUT",
        f"/api/results/{ID}/files?tenant={ID}&exp=9999999999&sig=00",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.says[:40]}")
async def test_a_refusal_says_what_and_why(running: Running, case: Case) -> None:
    backends = running.backends
    backends.add_space("poems")
    backends.add_space("ocr", inputs=["image"])
    backends.add_space("off", enabled=False)
    backends.add_space("twin")
    backends.add_space("twin")
    problem = Problem(code=case.code, message=case.says)
    if case.refuse:
        backends.refusals[case.refuse] = problem
    if case.verdict:
        backends.verdict = problem
    answer = await running.client.request(case.method, case.path, **case.options)
    body = answer.json()
    kind = KINDS[case.code]
    assert (body["code"], answer.status_code) == (case.code, kind.status), body
    assert body["detail"].startswith(case.says), body
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["type"] == f"/docs/problems#{case.code}"
    assert body["title"] == kind.title
    assert body["status"] == kind.status
    assert body["retry"] is kind.retry
    assert body["what_to_do"] == kind.what_to_do
    assert body["instance"] == case.path.partition("?")[0]
    assert ("www-authenticate" in answer.headers) is (kind.status == 401)
    assert ("retry-after" in answer.headers) is kind.retry


async def test_all_errors_of_a_body_are_listed(running: Running) -> None:
    running.backends.add_space("poems")
    answer = await running.post(SUBMIT, json={"prompt": 1, "priority": 101, "files": ["x"]})
    assert [error["pointer"] for error in answer.json()["errors"]] == [
        "#/prompt",
        "#/files/0",
        "#/priority",
    ]


async def test_method_not_allowed_names_the_methods_that_are(running: Running) -> None:
    answer = await running.client.put("/api/me")
    assert answer.headers["allow"] == "GET"


async def test_a_dead_bus_is_unavailable_at_once_and_not_a_hang(running: Running) -> None:
    running.backends.add_space("poems")
    running.broker.go_down()
    answer = await running.get("/api/spaces")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    running.broker.come_up()


async def test_a_submit_without_a_scheduler_is_not_accepted_after_five_seconds(
    running: Running,
) -> None:
    running.backends.add_space("poems")
    assert (await running.post(SUBMIT, json={"prompt": "hi"})).status_code == 202
    running.backends.verdict = Problem(code=Code.UNAVAILABLE, message="The database is down.")
    answer = await running.post(SUBMIT, json={"prompt": "hi"})
    body = answer.json()
    assert (body["code"], answer.status_code) == ("unavailable", 503)
    assert body["detail"] == "The request was not accepted. Retry with the same Idempotency-Key."
    assert body["facts"] == {"reason": "The database is down."}
    assert answer.headers["retry-after"] == "1"


async def test_an_error_of_ours_is_an_internal_error_without_its_text(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(running.gateway.services.waiters, "watch", fail)
    running.backends.add_space("poems")
    answer = await running.post(SUBMIT + "?wait=1", json={"prompt": "hi"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


async def test_what_belongs_to_another_tenant_is_not_found(running: Running) -> None:
    backends = running.backends
    theirs = backends.add_space("theirs", tenant_id=new_id())
    assert (await running.get(f"/api/spaces/{theirs.space_id}")).json()["code"] == "space_not_found"


async def test_a_gateway_that_is_full_says_so(running: Running) -> None:
    # The edge is asked directly: filling a real one takes 10,000 sockets.
    sent: list[Any] = []

    async def send(event: Any) -> None:
        sent.append(event)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    edge = Edge(
        running.gateway.http,
        running.gateway.hot,
        {},
        Metrics("test"),
        max_in_flight=0,
    )
    scope = {
        "type": "http", "method": "GET", "path": "/api/me", "raw_path": b"/api/me",
        "query_string": b"", "headers": [],
    }  # fmt: skip
    await edge(scope, receive, send)
    assert sent[0]["status"] == 503
    assert b'"too_many_connections"' in sent[1]["body"]
