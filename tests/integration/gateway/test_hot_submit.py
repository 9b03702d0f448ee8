"""A plain submit goes past the framework: it answers what the documented operation answers."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from spaces_contracts.access import PrincipalKind
from spaces_contracts.problems import Code, Problem
from spaces_gateway.http.exchange import Exchange
from spaces_gateway.http.submit_call import SubmitCall
from spaces_gateway.http.waits import Wait
from tests.integration.gateway.conftest import ADMIN, USER, Running
from tests.support.keys import bearer

PATH = "/api/spaces/poems/requests"
GOOD = {"prompt": "hi", "parameters": {"n": [1, None, "ü"]}}
# Name -> (path, body, headers).
CALLS: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "accepted": (PATH, json.dumps(GOOD).encode(), {}),
    "ended": (PATH + "?wait=30", json.dumps(GOOD).encode(), {}),
    "not ended": (PATH + "?wait=0.01&x=1", b'{"prompt":"slow"}', {}),
    "by id of nobody": ("/api/spaces/nobody/requests", json.dumps(GOOD).encode(), {}),
    "twins": ("/api/spaces/twin/requests", json.dumps(GOOD).encode(), {}),
    "no JSON": (PATH, b"{", {}),
    "no object": (PATH, b"[]", {}),
    "not a number": (PATH, b'{"prompt":"x","parameters":{"a":NaN}}', {}),
    "unknown member": (PATH, b'{"prompt":"x","promt":1,"priority":101}', {}),
    "twice the same member": (PATH, b'{"prompt":"","prompt":"x"}', {}),
    "no prompt": (PATH, b"{}", {}),
    "nothing": (PATH, b"", {}),
    "no key": (PATH, b"{}", {"authorization": ""}),
    "unknown key": (PATH, b"{}", bearer("nobody")),
    "worker token": (PATH, json.dumps(GOOD).encode(), bearer("worker", PrincipalKind.WORKER_TOKEN)),
    "admin": (PATH, json.dumps(GOOD).encode(), ADMIN),
    "idempotency key": (PATH, json.dumps(GOOD).encode(), {"idempotency-key": "k-1"}),
    "escaped name": ("/api/spaces/po%65ms/requests", json.dumps(GOOD).encode(), {}),
    "slash in the name": ("/api/spaces/a%2Frequests/requests", json.dumps(GOOD).encode(), {}),
}  # fmt: skip
# The documented operation refuses before it read the body, and then ends the connection.
VARIES = ("date", "content-length", "location", "connection")


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    yield body[len(body) // 2 :]


def shown(answer: httpx2.Response) -> tuple[int, dict[str, str], Any]:
    headers = {name: value for name, value in answer.headers.items() if name not in VARIES}
    body = answer.json()
    if "request_id" in body:
        assert answer.status_code == 200 or answer.headers["location"].endswith(body["request_id"])
        body["request_id"] = "…"
    return answer.status_code, headers, body


@pytest.mark.parametrize("name", CALLS)
async def test_a_plain_submit_and_the_documented_operation_answer_alike(
    running: Running, name: str
) -> None:
    path, body, headers = CALLS[name]
    backends = running.backends
    backends.add_space("poems")
    backends.add_space("twin")
    backends.add_space("twin")
    backends.finish_at_once = '{"text":"roses"}' if "wait=30" in path else None
    plain = await running.post(path, content=body, headers=headers)
    # A body without a length is not plain.
    documented = await running.post(path, content=in_pieces(body), headers=headers)
    if name == "idempotency key":
        assert (plain.json()["duplicate"], documented.json()["duplicate"]) == (False, True)
        return
    assert shown(plain) == shown(documented)
    if "request_id" in plain.json():
        first, second = backends.submitted.values
        own = {"request_id", "upload_url"}
        assert first.model_dump(exclude=own) == second.model_dump(exclude=own)


async def test_both_answer_a_refusal_of_the_scheduler_alike(running: Running) -> None:
    running.backends.add_space("poems")
    running.backends.verdict = Problem(code=Code.QUEUE_FULL, message="Full.", retry_after_s=3)
    body = json.dumps(GOOD).encode()
    plain = await running.post(PATH, content=body)
    documented = await running.post(PATH, content=in_pieces(body))
    assert plain.status_code == 429
    assert shown(plain) == shown(documented)


async def test_an_old_client_is_answered_and_its_connection_closed(running: Running) -> None:
    running.backends.add_space("poems")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.gateway.server.port)
    body = json.dumps(GOOD).encode()
    writer.write(
        b"POST "
        + PATH.encode()
        + b" HTTP/1.0\r\nAuthorization: "
        + USER["authorization"].encode()
        + b"\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 202 Accepted\r\n")
    assert b"connection: close" in head
    assert json.loads(content)["state"] == "queued"


async def test_two_calls_sent_at_once_on_one_connection_are_answered_in_order(
    running: Running,
) -> None:
    running.backends.add_space("poems")
    reader, writer = await asyncio.open_connection("127.0.0.1", running.gateway.server.port)
    for name in ("nobody", "poems"):
        body = json.dumps(GOOD).encode()
        writer.write(
            f"POST /api/spaces/{name}/requests HTTP/1.1\r\nHost: x\r\n".encode()
            + b"Authorization: %s\r\nContent-Length: %d\r\n\r\n"
            % (USER["authorization"].encode(), len(body))
            + body
        )
    answers = []
    for _ in range(2):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        answers.append((head.split(b" ")[1], await reader.readexactly(size)))
    writer.close()
    assert [status for status, _ in answers] == [b"404", b"202"]


async def test_a_submit_leaves_nothing_to_the_garbage_collector(running: Running) -> None:
    running.backends.add_space("poems")
    running.backends.finish_at_once = '{"text":"roses"}'
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            answer = await running.post(PATH + "?wait=30", json=GOOD)
            assert answer.status_code == 200
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = (Exchange, RequestResponseCycle, SubmitCall, Wait)
        assert [found for found in gc.garbage if isinstance(found, ours)] == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
