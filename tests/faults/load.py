"""A client that never gives up: each request keeps one idempotency key until it is acknowledged."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx2

from tests.faults.executions import Executions
from tests.faults.history import Outcome, Submission

# Answers that mean "not accepted, send it again"; anything else is a verdict on the request.
_RETRY = frozenset({429, 502, 503, 504})
_RETRY_PAUSE_S = 0.05
_POLL_S = 0.2
_READERS = 16
# A link may be cut for good while an answer is awaited.
_ANSWER_S = 5.0


@dataclass(frozen=True)
class Work:
    """What is asked of each space until `stop` is set: never more than `ahead` requests wait to begin."""

    executions: Executions
    stop: asyncio.Event
    parameters: dict[str, Any] = field(default_factory=dict)
    ahead: int = 6


class LoadClient:
    """Submits over HTTP, in order within a space, and reads back over HTTP.

    Of several addresses the next one is taken when one does not answer.
    """

    def __init__(self, *urls: str, api_key: str, patience_s: float = 120.0) -> None:
        self._urls = itertools.cycle(urls)
        self._url = next(self._urls)
        self._patience_s = patience_s
        self._http = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}"}, timeout=_ANSWER_S, trust_env=False
        )
        self.submissions: list[Submission] = []

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def submit_all(self, spaces: dict[str, str], work: Work) -> None:
        """The same work in each space (name -> id), the spaces side by side, until it is stopped."""
        async with asyncio.TaskGroup() as group:
            for name, space_id in spaces.items():
                group.create_task(self._one_space(name, space_id, work))

    async def _one_space(self, name: str, space_id: str, work: Work) -> None:
        waiting: set[str] = set()
        while not work.stop.is_set():
            if len(waiting) >= work.ahead:
                await asyncio.sleep(_RETRY_PAUSE_S)
                waiting -= work.executions.request_ids
                continue
            submission = await self.submit(name, space_id, work.parameters)
            waiting.update(submission.request_ids)

    async def submit(self, name: str, space_id: str, parameters: dict[str, Any]) -> Submission:
        """One request, until it is acknowledged or patience ends."""
        key = f"{name}-{secrets.token_hex(6)}"
        submission = Submission(key, space_id, f"prompt {key}", time.monotonic())
        self.submissions.append(submission)
        until = time.monotonic() + self._patience_s
        while not await self._accepted(submission, parameters):
            if time.monotonic() > until:
                break
            await asyncio.sleep(_RETRY_PAUSE_S)
        return submission

    async def _accepted(self, submission: Submission, parameters: dict[str, Any]) -> bool:
        try:
            answer = await self._http.post(
                f"{self._url}/api/spaces/{submission.space}/requests",
                json={"prompt": submission.prompt, "parameters": parameters},
                headers={"Idempotency-Key": submission.key},
            )
        except httpx2.TransportError as error:
            self._url = next(self._urls)
            submission.refusals.append(type(error).__name__)
            return False
        if answer.status_code in (200, 202):
            submission.request_ids.append(answer.json()["request_id"])
            submission.acknowledged_at = time.monotonic()
            return True
        submission.refusals.append(answer.json().get("code", str(answer.status_code)))
        if answer.status_code not in _RETRY:
            raise AssertionError(f"{submission.key}: {answer.status_code} {answer.text}")
        return False

    async def settled(self, spaces: Sequence[str], patience_s: float) -> list[Outcome]:
        """Everything the API knows of the spaces, once nothing is open or patience ends."""
        until = time.monotonic() + patience_s
        while True:
            listed = [request for sid in spaces for request in await self._list(sid)]
            open_ = [request for request in listed if request["state"] in ("queued", "running")]
            if not open_ or time.monotonic() > until:
                return [_outcome(request) for request in await self._in_full(listed)]
            await asyncio.sleep(_POLL_S)

    async def _list(self, space_id: str) -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            query = {"space": space_id, "limit": "200"} | ({"cursor": cursor} if cursor else {})
            page = await self._get("/api/requests", query)
            requests += page["requests"]
            cursor = page.get("next_cursor")
            if not cursor:
                return requests

    async def _in_full(self, listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Lists leave outputs out: reads each request, a few at a time."""
        gate = asyncio.Semaphore(_READERS)

        async def read(request_id: str) -> dict[str, Any]:
            async with gate:
                return await self._get(f"/api/requests/{request_id}", {})

        return await asyncio.gather(*(read(request["request_id"]) for request in listed))

    async def _get(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        for _ in range(400):
            try:
                answer = await self._http.get(self._url + path, params=query)
            except httpx2.TransportError:
                self._url = next(self._urls)
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
        error_code=(request.get("error") or {}).get("code"),
        output=output,
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
