"""Requests over HTTP: submit, wait, read, list, cancel."""

import asyncio
import json

import pytest

from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import RequestState, Submit
from tests.integration.gateway.backends import some_file
from tests.integration.gateway.conftest import ADMIN, Running
from tests.support.eventually import eventually


async def test_a_submit_is_accepted_with_its_place_in_the_queue(running: Running) -> None:
    space = running.backends.add_space("poems")
    answer = await running.post("/api/spaces/poems/requests", json={"prompt": "hi"})
    assert answer.status_code == 202
    request_id = answer.json()["request_id"]
    assert answer.json() == {
        "request_id": request_id,
        "space_id": space.space_id,
        "state": "queued",
        "position": 1,
        "queue_size": 1,
        "eta_s": 0.5,
        "duplicate": False,
    }
    assert answer.headers["location"] == f"/api/requests/{request_id}"


async def test_prompt_and_parameters_reach_the_scheduler_as_one_json_text(running: Running) -> None:
    running.backends.add_space("poems")
    body = {
        "prompt": "ü\n",
        "parameters": {"t": 0.5, "n": [1, None]},
        "priority": 7,
        "timeout_s": 9,
    }
    await running.post("/api/spaces/poems/requests", json=body)
    request = running.backends.submitted.values[0]
    assert json.loads(request.payload) == {
        "prompt": "ü\n",
        "parameters": {"t": 0.5, "n": [1, None]},
    }
    assert (request.priority, request.timeout_s, request.inputs) == (7, 9.0, ["prompt"])
    assert request.principal_id == running.backends.user.principal_id
    assert request.notify is None


async def test_a_call_that_waits_gets_the_result(running: Running) -> None:
    running.backends.add_space("poems")
    running.backends.finish_at_once = '{"text":"roses"}'
    answer = await running.post("/api/spaces/poems/requests?wait=30", json={"prompt": "hi"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["state"], body["output"]) == ("succeeded", {"text": "roses"})
    assert (body["queue_ms"], body["run_ms"], body["processing_time_seconds"]) == (0, 0, 0.5)
    assert body["timestamp"].startswith("2026-11-21T12:00:00")


async def test_a_call_that_waited_in_vain_gets_the_accepted_request(running: Running) -> None:
    running.backends.add_space("poems")
    answer = await running.post("/api/spaces/poems/requests?wait=0.05", json={"prompt": "hi"})
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")
    assert len(running.gateway.services.waiters) == 0


async def test_a_failed_request_is_an_answer_and_not_an_error(running: Running) -> None:
    running.backends.add_space("poems")
    call = asyncio.create_task(
        running.post("/api/spaces/poems/requests?wait=30", json={"prompt": "hi"})
    )
    request = await running.backends.submitted.next()
    problem = Problem(code=Code.HANDLER_FAILED, message="ValueError: no")
    await running.backends.finish(
        request.request_id, "null", state=RequestState.FAILED, error=problem
    )
    body = (await call).json()
    assert body["state"] == "failed"
    assert body["error"] == {"code": "handler_failed", "message": "ValueError: no", "facts": {}}


async def test_an_end_that_was_not_told_is_found_by_looking(running: Running) -> None:
    running.backends.add_space("poems")
    call = asyncio.create_task(
        running.post("/api/spaces/poems/requests?wait=30", json={"prompt": "hi"})
    )
    request = await running.backends.submitted.next()
    running.backends.end(request.request_id, '"late"')
    await running.gateway.services.waiters.look_up([request.request_id])
    assert (await call).json()["output"] == "late"


async def test_the_same_key_and_body_are_one_request(running: Running) -> None:
    running.backends.add_space("poems")
    headers = {"idempotency-key": "k1"}
    first, second = [
        (
            await running.post("/api/spaces/poems/requests", json={"prompt": "hi"}, headers=headers)
        ).json()
        for _ in range(2)
    ]
    assert first["request_id"] == second["request_id"]
    assert (first["duplicate"], second["duplicate"]) == (False, True)


async def test_waiting_for_a_request_that_ended_under_the_same_key_answers_at_once(
    running: Running,
) -> None:
    running.backends.add_space("poems")
    running.backends.finish_at_once = "1"
    for expected in (False, True):
        answer = await running.post(
            "/api/spaces/poems/requests?wait=20",
            json={"prompt": "hi"},
            headers={"idempotency-key": "k1"},
        )
        assert (answer.status_code, answer.json()["output"]) == (200, 1)
        assert answer.json()["duplicate"] is expected


async def test_a_form_submits_its_files(running: Running) -> None:
    running.backends.add_space("ocr", inputs=["image", "prompt"])
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    answer = await running.post(
        "/api/spaces/ocr/requests",
        data={"prompt": "read", "parameters": '{"lang":"en"}', "priority": "3"},
        files={"page": ("a b.png", png, "image/png")},
    )
    assert answer.status_code == 202, answer.text
    request = running.backends.submitted.values[0]
    (file,) = request.files
    assert (file.name, file.kind, file.size_bytes) == ("a b.png", "image", 108)
    assert (request.inputs, request.priority) == (["prompt", "image"], 3)
    assert file.url is not None
    assert file.url.startswith(f"/files/{file.file_id}?")
    fetched = await running.get(f"/api/files/{file.file_id}")
    assert fetched.content == png


async def test_the_same_form_again_is_the_same_body(running: Running) -> None:
    running.backends.add_space("ocr", inputs=["file"])
    ids = set()
    for _ in range(2):
        answer = await running.post(
            "/api/spaces/ocr/requests",
            files={"f": ("x.bin", b"abc")},
            headers={"idempotency-key": "again"},
        )
        assert answer.status_code == 202, answer.text
        ids.add(answer.json()["request_id"])
    assert len(ids) == 1


async def test_a_form_that_is_refused_leaves_no_file(running: Running) -> None:
    running.backends.add_space("poems")
    answer = await running.post("/api/spaces/poems/requests", files={"f": ("x.bin", b"abc")})
    assert answer.json()["code"] == "input_not_enabled"
    folder = running.gateway.services.settings.files_dir
    assert [path for path in folder.rglob("*") if path.is_file()] == []


async def test_a_space_is_named_by_tenant_and_name(running: Running) -> None:
    running.backends.add_space("poems")
    answer = await running.post("/api/spaces/default%2Fpoems/requests", json={"prompt": "hi"})
    assert answer.status_code == 202


async def test_a_request_is_read_with_its_output_and_signed_files(running: Running) -> None:
    running.backends.add_space("poems")
    request_id = (await running.post("/api/spaces/poems/requests", json={"prompt": "hi"})).json()[
        "request_id"
    ]
    file = some_file()
    running.backends.end(request_id, '[1,"ü"]', output_files=[file])
    body = (await running.get(f"/api/requests/{request_id}")).json()
    assert body["output"] == [1, "ü"]
    assert body["output_files"][0]["url"].startswith(f"/files/{file.file_id}?request={request_id}&")


async def test_reading_waits_for_the_end(running: Running) -> None:
    running.backends.add_space("poems")
    request_id = (await running.post("/api/spaces/poems/requests", json={"prompt": "hi"})).json()[
        "request_id"
    ]
    call = asyncio.create_task(running.get(f"/api/requests/{request_id}?wait=20"))
    await eventually(lambda: len(running.gateway.services.waiters) == 1)
    running.gateway.services.waiters.finished(running.backends.end(request_id, "2"))
    assert (await call).json()["output"] == 2


async def test_reading_hears_the_end_of_a_request_that_another_gateway_took(
    running: Running,
) -> None:
    """Nobody named this gateway to be told: it listens to the request's own subject, and looks nothing up."""
    running.backends.add_space("poems")
    request_id = (await running.post("/api/spaces/poems/requests", json={"prompt": "hi"})).json()[
        "request_id"
    ]
    waiters = running.gateway.services.waiters
    call = asyncio.create_task(running.get(f"/api/requests/{request_id}?wait=20"))

    async def told_again() -> bool:
        await running.gateway.services.bus.publish(end)
        await asyncio.wait([call], timeout=0.05)
        return call.done()

    await eventually(lambda: len(waiters) == 1)
    end = running.backends.end(request_id, "2")
    await eventually(told_again, timeout_s=4)
    assert (await call).json()["output"] == 2


async def test_requests_are_listed_in_pages(running: Running) -> None:
    running.backends.add_space("poems")
    made = [
        (await running.post("/api/spaces/poems/requests", json={"prompt": "hi"})).json()[
            "request_id"
        ]
        for _ in range(3)
    ]
    seen = []
    cursor = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await running.get("/api/requests", params=query)).json()
        seen += [request["request_id"] for request in page["requests"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    none = await running.get("/api/requests", params={"space": "poems", "state": "failed"})
    assert none.json()["requests"] == []


async def test_a_request_is_cancelled(running: Running) -> None:
    running.backends.add_space("poems")
    request_id = (await running.post("/api/spaces/poems/requests", json={"prompt": "hi"})).json()[
        "request_id"
    ]
    body = (await running.post(f"/api/requests/{request_id}/cancel")).json()
    assert (body["state"], body["error"]["code"]) == ("cancelled", "cancelled")


async def test_submits_that_come_together_go_to_the_scheduler_together(running: Running) -> None:
    running.backends.add_space("poems")
    answers = await asyncio.gather(
        *(running.post("/api/spaces/poems/requests", json={"prompt": "hi"}) for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {202}
    batches = [command for command in running.backends.asked if isinstance(command, Submit)]
    assert sum(len(batch.requests) for batch in batches) == 50
    assert len(batches) < 50


async def test_a_worker_token_cannot_submit(running: Running) -> None:
    running.backends.add_space("poems")
    made = await running.post(
        "/api/worker-tokens", json={"name": "w", "spaces": ["poems"]}, headers=ADMIN
    )
    answer = await running.post(
        "/api/spaces/poems/requests",
        json={"prompt": "hi"},
        headers={"authorization": f"Bearer {made.json()['secret']}"},
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("wait", ["0", "5"])
async def test_a_lost_answer_is_asked_for_again_under_the_same_id(
    running: Running, wait: str
) -> None:
    running.backends.add_space("poems")
    ids: list[str] = []

    def lose_the_first(command: Submit) -> Problem | None:
        ids.extend(request.request_id for request in command.requests)
        return Problem(code=Code.UNAVAILABLE, message="lost") if len(ids) == 1 else None

    running.backends.refusals[Submit] = lose_the_first
    running.backends.finish_at_once = "1"
    answer = await running.post(f"/api/spaces/poems/requests?wait={wait}", json={"prompt": "hi"})
    assert answer.status_code in (200, 202)
    assert len(ids) == 2
    assert len(set(ids)) == 1
