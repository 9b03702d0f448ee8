"""A client that never gives up: each request keeps one idempotency key until it is acknowledged."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import httpx2

from tests.faults.history import Outcome, Submission

# Answers that mean "not accepted, send it again"; anything else is a verdict on the request.
_RETRY = frozenset({429, 502, 503, 504})
_RETRY_PAUSE_S = 0.05
_POLL_S = 0.2


class LoadClient:
    """Submits over HTTP, in order within a space, and reads back over HTTP."""

    def __init__(self, urls: Sequence[str], api_key: str) -> None:
        self._urls = list(urls)
        self._http = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}"}, timeout=10.0, trust_env=False
        )
        self.submissions: list[Submission] = []

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def submit_all(
        self, spaces: dict[str, str], count: int, parameters: dict[str, Any], patience_s: float
    ) -> None:
        """`count` requests in each space (name -> id), the spaces side by side."""
        async with asyncio.TaskGroup() as group:
            for name, space_id in spaces.items():
                group.create_task(self._one_space(name, space_id, count, parameters, patience_s))

    async def _one_space(
        self, name: str, space_id: str, count: int, parameters: dict[str, Any], patience_s: float
    ) -> None:
        for n in range(count):
            key = f"{name}-{n}-{secrets.token_hex(4)}"
            submission = Submission(key, space_id, f"prompt {key}", time.monotonic())
            self.submissions.append(submission)
            await self._submit(submission, parameters, patience_s)

    async def _submit(
        self, submission: Submission, parameters: dict[str, Any], patience_s: float
    ) -> None:
        until = time.monotonic() + patience_s
        attempt = 0
        while time.monotonic() < until:
            url = self._urls[attempt % len(self._urls)]
            attempt += 1
            try:
                answer = await self._http.post(
                    f"{url}/api/spaces/{submission.space}/requests",
                    json={"prompt": submission.prompt, "parameters": parameters},
                    headers={"Idempotency-Key": submission.key},
                )
            except httpx2.TransportError as error:
                submission.refusals.append(type(error).__name__)
                await asyncio.sleep(_RETRY_PAUSE_S)
                continue
            if answer.status_code in (200, 202):
                submission.request_ids.append(answer.json()["request_id"])
                submission.acknowledged_at = time.monotonic()
                return
            submission.refusals.append(answer.json().get("code", str(answer.status_code)))
            if answer.status_code not in _RETRY:
                raise AssertionError(f"{submission.key}: {answer.status_code} {answer.text}")
            await asyncio.sleep(_RETRY_PAUSE_S)

    async def settled(self, spaces: dict[str, str], patience_s: float) -> list[Outcome]:
        """Everything the API knows of the spaces, once nothing is open or patience ends."""
        until = time.monotonic() + patience_s
        while True:
            outcomes = [outcome for sid in spaces.values() for outcome in await self._list(sid)]
            open_ = [o for o in outcomes if o.state in ("queued", "running")]
            if not open_ or time.monotonic() > until:
                return outcomes
            await asyncio.sleep(_POLL_S)

    async def _list(self, space_id: str) -> list[Outcome]:
        outcomes: list[Outcome] = []
        cursor: str | None = None
        while True:
            query = {"space": space_id, "limit": "200"} | ({"cursor": cursor} if cursor else {})
            page = await self._get("/api/requests", query)
            outcomes += [_outcome(request) for request in page["requests"]]
            cursor = page.get("next_cursor")
            if not cursor:
                return outcomes

    async def _get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        for attempt in range(400):
            url = self._urls[attempt % len(self._urls)]
            try:
                answer = await self._http.get(url + path, params=query)
            except httpx2.TransportError:
                await asyncio.sleep(_POLL_S)
                continue
            if answer.status_code == 200:
                body: dict[str, Any] = answer.json()
                return body
            await asyncio.sleep(_POLL_S)
        raise AssertionError(f"{path} did not answer")


def _outcome(request: dict[str, Any]) -> Outcome:
    output = request.get("output")
    return Outcome(
        request_id=request["request_id"],
        space=request["space_id"],
        state=request["state"],
        prompt_echoed=output.get("echo") if isinstance(output, dict) else None,
        started_at=_moment(request.get("started_at")),
        finished_at=_moment(request.get("finished_at")),
        created_at=datetime.fromisoformat(request["created_at"]),
        attempt=request.get("attempt", 0),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
