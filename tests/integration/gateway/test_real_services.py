"""The HTTP API with the real registry, scheduler and worker behind it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.platform import Platform

HANDLER = Path(__file__).parent / "writing_handler.py"
ECHO = Path(__file__).parents[2] / "support" / "handlers" / "echo.py"
SUBMIT = "/api/spaces/{space}/requests"


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[httpx2.Client]:
    """An API key of the default tenant, and spaces with workers."""
    platform.create_space("echo", policy={"max_queue": 2})
    platform.create_space("files", inputs=["prompt", "file", "image"])
    platform.create_space("offline")
    platform.create_space("queueing", policy={"when_offline": "queue", "max_queue": 2})
    platform.start_worker("echo", spaces=["echo"], handler=str(ECHO))
    platform.start_worker("files", spaces=["files"], handler=str(HANDLER))
    admin = {"authorization": f"Bearer {platform.admin_key}"}
    options: dict[str, Any] = {"base_url": platform.gateway_url, "trust_env": False, "timeout": 60}
    with httpx2.Client(headers=admin, **options) as admin_client:
        tenant = admin_client.get("/api/tenants").json()["tenants"][0]["tenant_id"]
        key = admin_client.post("/api/keys", json={"name": "test", "tenant_id": tenant}).json()
    with httpx2.Client(headers={"authorization": f"Bearer {key['secret']}"}, **options) as found:
        yield found


def submit(client: httpx2.Client, space: str, **options: Any) -> httpx2.Response:
    options.setdefault("json", {"prompt": "hi"})
    return client.post(SUBMIT.format(space=space), **options)


def test_a_call_that_waits_gets_the_workers_result(client: httpx2.Client) -> None:
    answer = submit(client, "echo", params={"wait": 30})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["state"], body["output"]) == ("succeeded", {"echo": "hi", "attempt": 1})
    assert body["queue_ms"] >= 0
    assert body["run_ms"] >= 0
    read = client.get(f"/api/requests/{body['request_id']}").json()
    same = ("state", "output", "created_at", "started_at", "finished_at", "attempt", "error")
    assert {name: read[name] for name in same} == {name: body[name] for name in same}
    kept = client.get("/websockets/status", params={"request_id": body["request_id"]}).json()
    assert (kept["status"], kept["result"]["echo"]) == ("completed", "hi")


def test_a_handler_that_raises_is_a_failed_request(client: httpx2.Client) -> None:
    body = submit(
        client,
        "echo",
        json={"prompt": "hi", "parameters": {"raise": "no such thing"}},
        params={"wait": 30},
    ).json()
    assert (body["state"], body["error"]["code"]) == ("failed", "handler_failed")
    assert "no such thing" in body["error"]["message"]


def test_files_go_to_the_worker_and_come_back(client: httpx2.Client) -> None:
    content = bytes(range(256)) * 4096
    body = submit(
        client,
        "files",
        json=None,
        data={"prompt": "head:"},
        files={"f": ("data.bin", content, "application/octet-stream")},
        params={"wait": 30},
    ).json()
    assert body["state"] == "succeeded", body
    (file,) = body["output_files"]
    assert (file["name"], file["media_type"]) == ("joined.bin", "application/octet-stream")
    by_address = client.get(file["url"], headers={"authorization": ""})
    by_key = client.get(f"/api/files/{file['file_id']}")
    assert by_address.content == by_key.content == b"head:" + content


def test_events_are_streamed_until_the_end(client: httpx2.Client) -> None:
    request_id = submit(client, "echo").json()["request_id"]
    with client.stream("GET", f"/api/requests/{request_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        kinds = [line[7:] for line in answer.iter_lines() if line.startswith("event: ")]
    assert kinds[-1] == "finished"
    assert set(kinds) <= {"status", "progress", "chunk", "reset", "finished"}


def test_a_space_without_a_worker_says_remote_app_not_connected(client: httpx2.Client) -> None:
    answer = submit(client, "offline")
    assert (answer.status_code, answer.json()["code"]) == (409, "worker_not_connected")
    assert answer.json()["detail"] == "Remote app not connected"


def test_the_queue_fills_and_a_cancel_makes_room(client: httpx2.Client) -> None:
    first, second, third = (submit(client, "queueing") for _ in range(3))
    assert [first.status_code, second.status_code, third.status_code] == [202, 202, 429]
    assert third.json()["code"] == "queue_full"
    assert [first.json()["position"], second.json()["position"]] == [1, 2]
    cancelled = client.post(f"/api/requests/{first.json()['request_id']}/cancel").json()
    assert (cancelled["state"], cancelled["error"]["code"]) == ("cancelled", "cancelled")
    assert submit(client, "queueing").status_code == 202
    queue = client.get("/api/spaces/queueing/queue").json()
    assert (queue["queue_size"], queue["connected"]) == (2, False)


def test_an_idempotency_key_is_one_request_and_one_body(client: httpx2.Client) -> None:
    headers = {"idempotency-key": "k-1"}
    first = submit(client, "echo", headers=headers, params={"wait": 30}).json()
    again = submit(client, "echo", headers=headers, params={"wait": 30}).json()
    assert again["request_id"] == first["request_id"]
    assert (again["duplicate"], again["output"]) == (True, first["output"])
    other = submit(client, "echo", headers=headers, json={"prompt": "other"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_another_tenant_sees_nothing_of_it(platform: Platform, client: httpx2.Client) -> None:
    mine = submit(client, "echo", params={"wait": 30}).json()["request_id"]
    admin = {"authorization": f"Bearer {platform.admin_key}"}
    tenant = client.post("/api/tenants", json={"name": "other"}, headers=admin).json()
    made = client.post(
        "/api/keys", json={"name": "k", "tenant_id": tenant["tenant_id"]}, headers=admin
    ).json()
    theirs = {"authorization": f"Bearer {made['secret']}"}
    assert client.get(f"/api/requests/{mine}", headers=theirs).json()["code"] == "request_not_found"
    assert client.get("/api/spaces/echo", headers=theirs).json()["code"] == "space_not_found"
    assert submit(client, "echo", headers=theirs).json()["code"] == "space_not_found"
    assert client.get("/api/spaces", headers=theirs).json()["spaces"] == []
    assert client.get("/api/requests", headers=theirs).json()["requests"] == []
    forbidden = client.post("/api/tenants", json={"name": "x"}, headers=theirs)
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
    revoked = client.delete(
        f"/api/keys/{made['credential']['principal']['principal_id']}", headers=admin
    )
    assert revoked.status_code == 200
    answer = client.get("/api/me", headers=theirs)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")


def test_two_spaces_of_one_name_must_be_told_apart(
    platform: Platform, client: httpx2.Client
) -> None:
    admin = {"authorization": f"Bearer {platform.admin_key}"}
    tenant = client.post("/api/tenants", json={"name": "twin"}, headers=admin).json()["tenant_id"]
    platform.create_space("echo", tenant_id=tenant, policy={"when_offline": "queue"})
    answer = submit(client, "echo", headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (409, "multiple_spaces")
    assert "Multiple spaces with name 'echo' found" in answer.json()["detail"]
    assert submit(client, "twin%2Fecho", headers=admin).status_code == 202
    assert submit(client, "echo").status_code == 202


def test_a_submit_while_the_scheduler_restarts_is_accepted_late_and_once(
    platform: Platform, client: httpx2.Client
) -> None:
    platform.kill("scheduler")
    revival = threading.Thread(target=platform.revive, args=("scheduler",))
    revival.start()
    answer = submit(client, "echo", headers={"idempotency-key": "late"})
    revival.join()
    if answer.status_code == 503:
        # The restart took longer than a submit is tried for: then the client's retry is the same request.
        assert answer.headers["retry-after"] == "1"
        answer = submit(client, "echo", headers={"idempotency-key": "late"})
    again = submit(client, "echo", headers={"idempotency-key": "late"}, params={"wait": 30})
    assert answer.status_code == 202, answer.text
    assert again.json()["request_id"] == answer.json()["request_id"]
    assert again.json()["state"] == "succeeded"


def test_a_dead_scheduler_is_unavailable_within_five_seconds(
    platform: Platform, client: httpx2.Client
) -> None:
    platform.kill("scheduler")
    try:
        answer = submit(client, "echo")
    finally:
        platform.revive("scheduler")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.json()["detail"].startswith("The request was not accepted.")
    assert answer.elapsed.total_seconds() < 7
