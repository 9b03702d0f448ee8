"""Metrics and health over HTTP: `/metrics`, `/health/live`, `/health/ready`."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from spaces_chassis.http import Event, HttpServer, Scope
from spaces_chassis.lifecycle import Part
from spaces_chassis.metrics import Metrics
from spaces_chassis.settings import HttpSettings

Send = Callable[[Event], Awaitable[None]]


def readiness(parts: Sequence[Part]) -> tuple[bool, dict[str, bool]]:
    """Whether the process can work, and which part cannot."""
    states = {part.name: part.healthy() for part in parts}
    return all(states.values()), states


class HealthApp:
    """A plain ASGI application; `answer` can also be mounted into another one."""

    def __init__(self, parts: Sequence[Part], metrics: Metrics) -> None:
        self._parts = parts
        self._metrics = metrics

    async def __call__(
        self, scope: Scope, _receive: Callable[[], Awaitable[Event]], send: Send
    ) -> None:
        if scope["type"] != "http":
            return
        status, content_type, body = self.answer(scope["path"])
        await _send(send, status, content_type, b"" if scope["method"] == "HEAD" else body)

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        if path == "/metrics":
            body, content_type = self._metrics.render()
            return 200, content_type, body
        if path == "/health/live":
            # Answering at all is the proof: the event loop turns.
            return 200, "application/json", _json({"status": "live"})
        if path == "/health/ready":
            ready, states = readiness(self._parts)
            status = "ready" if ready else "not_ready"
            return (
                200 if ready else 503,
                "application/json",
                _json({"status": status, "parts": states}),
            )
        return 404, "application/json", _json({"status": "not_found"})


class HealthServer(HttpServer):
    """A Part that serves only metrics and health, for processes without another HTTP port."""

    def __init__(self, parts: Sequence[Part], metrics: Metrics, settings: HttpSettings) -> None:
        super().__init__(
            HealthApp(parts, metrics),
            host=settings.host,
            port=settings.port,
            name="health",
            drain_s=1,
        )


async def _send(send: Send, status: int, content_type: str, body: bytes) -> None:
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
