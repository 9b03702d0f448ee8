"""The HTTP API as a test uses it: a few calls that nearly every acceptance test makes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.support.eventually import eventually

WAIT_S = 30


class Api:
    """One credential's view of a gateway."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http

    async def submit(self, space: str, prompt: str = "hello", **body: Any) -> dict[str, Any]:
        """Submits and must be accepted; the acknowledgement."""
        answer = await self.try_submit(space, prompt=prompt, **body)
        assert answer.status_code in (200, 202), answer.text
        return _document(answer)

    async def try_submit(
        self, space: str, *, key: str | None = None, **body: Any
    ) -> httpx2.Response:
        """Submits; whatever the answer is."""
        headers = {"Idempotency-Key": key} if key else {}
        return await self.http.post(f"/api/spaces/{space}/requests", json=body, headers=headers)

    async def request(self, request_id: str) -> dict[str, Any]:
        """A request as it is now."""
        answer = await self.http.get(f"/api/requests/{request_id}")
        assert answer.status_code == 200, answer.text
        return _document(answer)

    async def ended(self, request_id: str) -> dict[str, Any]:
        """A request once it has ended."""
        answer = await self.http.get(f"/api/requests/{request_id}", params={"wait": str(WAIT_S)})
        assert answer.status_code == 200, answer.text
        assert answer.json()["finished_at"], answer.text
        return _document(answer)

    async def running(self, request_id: str) -> dict[str, Any]:
        """A request once it runs."""

        async def now() -> dict[str, Any]:
            request = await self.request(request_id)
            assert request["state"] in ("queued", "running"), request
            return request if request["state"] == "running" else {}

        return await eventually(now, timeout_s=WAIT_S)

    async def cancel(self, request_id: str) -> dict[str, Any]:
        """Asks for an end."""
        answer = await self.http.post(f"/api/requests/{request_id}/cancel")
        assert answer.status_code in (200, 202), answer.text
        return _document(answer)

    async def make(self, path: str, **body: Any) -> dict[str, Any]:
        """Creates something."""
        answer = await self.http.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return _document(answer)


@asynccontextmanager
async def api(url: str, key: str) -> AsyncIterator[Api]:
    """An API client with a credential."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(
        base_url=url, headers=headers, trust_env=False, timeout=WAIT_S + 10
    ) as http:
        yield Api(http)


def refusal(answer: httpx2.Response) -> tuple[int, str, str]:
    """Status, code and text of a problem document, which must be whole."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["what_to_do"], "a problem says what to do"
    return answer.status_code, problem["code"], problem["detail"]


def _document(answer: httpx2.Response) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    return document
