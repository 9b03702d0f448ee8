"""Addresses of a job's files on the real platform: good for the worker that has the job, while it has it."""

from datetime import UTC, datetime

import httpx2

from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import ResultOutcome
from spaces_contracts.worker_socket import (
    Accepted,
    InferenceRequest,
    InferenceResult,
    Registered,
    ResultAckFrame,
)
from tests.support.platform import Platform
from tests.support.wire import WorkerSocket, worker_socket

SPACE = "links"
CONTENT = b"for one pair of eyes"


def headers(token: str, instance_id: str, attempt: int = 1) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token}",
        "Spaces-Instance": instance_id,
        "Spaces-Attempt": str(attempt),
    }


async def statuses(url: str, job: InferenceRequest, said: dict[str, str]) -> tuple[int, int]:
    """Of reading the job's file, and of uploading one."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        read = await client.get(job.files[0].url or "", headers=said)
        sent = await client.put(job.upload_url or "", headers=said, content=b"out")
    assert read.status_code != 200 or read.content == CONTENT
    return read.status_code, sent.status_code


async def registered(worker: WorkerSocket, token: str) -> None:
    await worker.register(token, [SPACE])
    await worker.expect(Registered)


async def finish(worker: WorkerSocket, job: InferenceRequest) -> None:
    await worker.send(
        InferenceResult(
            request_id=job.request_id,
            attempt=job.attempt,
            status="succeeded",
            output="done",
            timestamp=datetime.now(UTC),
        )
    )
    assert (await worker.expect(ResultAckFrame)).outcome is ResultOutcome.STORED


async def test_a_jobs_addresses_serve_its_worker_until_the_job_ends(attacked: Platform) -> None:
    attacked.create_space(
        SPACE, inputs=["prompt", "file"], policy={"when_offline": "queue", "max_connections": 2}
    )
    attacked.create_space("elsewhere")
    token, same, other = (
        attacked.worker_token(spaces).read_text().strip()
        for spaces in ([SPACE], [SPACE], ["elsewhere"])
    )
    url = attacked.gateway_url
    admin = {"Authorization": f"Bearer {attacked.admin_key}"}
    async with worker_socket(url) as worker, worker_socket(url) as neighbour:
        await registered(worker, token)
        async with httpx2.AsyncClient(base_url=url, headers=admin, trust_env=False) as client:
            file = (await client.post("/api/files", content=CONTENT)).json()["file_id"]
            body = {"prompt": "x", "files": [file]}
            await client.post(f"/api/spaces/{SPACE}/requests", json=body)
        job = await worker.expect(InferenceRequest)
        await worker.send(Accepted(request_id=job.request_id, attempt=job.attempt))
        await registered(neighbour, same)
        mine = headers(token, worker.instance_id)
        assert await statuses(url, job, mine) == (200, 201)
        for wrong in (
            headers(same, neighbour.instance_id),  # another worker of the space
            headers(token, neighbour.instance_id),
            headers(token, new_id()),
            headers(other, worker.instance_id),  # a token of another space
            headers(token, worker.instance_id, attempt=2),
            headers(attacked.admin_key, worker.instance_id),
        ):
            assert await statuses(url, job, wrong) == (403, 403), wrong
        assert await statuses(url, job, {}) == (401, 401)
        await finish(worker, job)
        assert await statuses(url, job, mine) == (403, 403)
