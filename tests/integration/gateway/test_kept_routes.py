"""The kept routes, in the shapes that their clients know."""

from typing import Any

import pytest

from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import RequestState
from tests.integration.gateway.backends import some_file
from tests.integration.gateway.conftest import Running

SUBMIT = "/websockets/submit"


async def submit(running: Running) -> str:
    space = running.backends.add_space("poems")
    answer = await running.post(f"{SUBMIT}/{space.space_id}", json={"prompt": "hi"})
    request_id: str = answer.json()["request_id"]
    return request_id


async def status(running: Running, request_id: str) -> dict[str, Any]:
    answer = await running.get("/websockets/status", params={"request_id": request_id})
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    "options",
    [
        {"json": {"prompt": "hi", "parameters": {"t": 1}, "unknown": "field"}},
        {"data": {"prompt": "hi", "parameters": '{"t": 1}', "unknown": "field"}},
        {"files": {"prompt": (None, "hi"), "parameters": (None, '{"t": 1}')}},
    ],
    ids=["json", "form", "multipart"],
)
async def test_a_submit_answers_success_and_the_id(
    running: Running, options: dict[str, Any]
) -> None:
    space = running.backends.add_space("poems")
    answer = await running.post(f"{SUBMIT}/{space.space_id}", **options)
    request = running.backends.submitted.values[0]
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "request_id": request.request_id}
    assert request.payload == '{"parameters":{"t":1},"prompt":"hi"}'


async def test_a_submit_takes_files(running: Running) -> None:
    running.backends.add_space("files", inputs=["file", "prompt"])
    answer = await running.post(
        f"{SUBMIT}/files", data={"prompt": "hi"}, files={"upload": ("a.txt", b"abc", "text/plain")}
    )
    assert answer.json()["success"] is True
    assert running.backends.submitted.values[0].files[0].name == "a.txt"


async def test_a_refused_submit_says_so_in_both_shapes(running: Running) -> None:
    running.backends.add_space("poems")
    running.backends.verdict = Problem(
        code=Code.WORKER_NOT_CONNECTED, message="Remote app not connected"
    )
    answer = await running.post(f"{SUBMIT}/poems", json={"prompt": "hi"})
    body = answer.json()
    assert answer.status_code == 409
    assert (body["success"], body["error"]) == (False, "Remote app not connected")
    assert (body["code"], body["detail"]) == ("worker_not_connected", "Remote app not connected")


async def test_a_waiting_request_is_queued_with_its_place(running: Running) -> None:
    request_id = await submit(running)
    assert await status(running, request_id) == {
        "request_id": request_id,
        "status": "queued",
        "queue_size": 1,
        "position": 1,
        "result": None,
        "error": None,
    }


async def test_a_result_has_the_outputs_members_time_and_timestamp(running: Running) -> None:
    request_id = await submit(running)
    running.backends.end(request_id, '{"text":"roses"}')
    found = await status(running, request_id)
    assert found["status"] == "completed"
    assert found["result"] == {
        "text": "roses",
        "processing_time_seconds": 0.5,
        "timestamp": "2026-11-21T12:00:00Z",
    }


async def test_an_output_that_is_no_object_and_files_have_their_own_members(
    running: Running,
) -> None:
    request_id = await submit(running)
    running.backends.end(request_id, "[1]", output_files=[some_file()])
    result = (await status(running, request_id))["result"]
    assert result["output"] == [1]
    assert result["output_files"][0]["url"].startswith("/files/")


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (RequestState.RUNNING, "processing"),
        (RequestState.FAILED, "failed"),
        (RequestState.EXPIRED, "timeout"),
        (RequestState.CANCELLED, "cancelled"),
    ],
)
async def test_each_state_has_its_old_name(
    running: Running, state: RequestState, shown: str
) -> None:
    request_id = await submit(running)
    problem = Problem(code=Code.TIMEOUT, message="why") if state.terminal else None
    running.backends.end(request_id, None, state=state, error=problem)
    found = await status(running, request_id)
    assert found["status"] == shown
    assert (found["error"] or {}).get("message") == (problem and "why")


async def test_an_unknown_request_is_a_problem(running: Running) -> None:
    answer = await running.get(
        "/websockets/status", params={"request_id": "01m7yzzzwxv8wkbzbk3ds3mfve"}
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "request_not_found")


async def test_the_kept_routes_want_a_credential(running: Running) -> None:
    for method, path in (("POST", f"{SUBMIT}/poems"), ("GET", "/websockets/status?request_id=x")):
        answer = await running.client.request(method, path, headers={"authorization": ""})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
