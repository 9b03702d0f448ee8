"""The outermost ASGI application: sockets to their own, HTTP counted, bounded and never answered without a problem."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.requests import ClientDisconnect

from spaces_chassis.http import App, Event, Scope
from spaces_chassis.metrics import Metrics
from spaces_contracts.problems import Code, Problem
from spaces_gateway.http.bodies import MAX_JSON_BYTES, too_large
from spaces_gateway.http.cors import Cors
from spaces_gateway.http.exchange import Exchange
from spaces_gateway.http.hot import HotRoutes
from spaces_gateway.http.paths import routed_path
from spaces_gateway.http.problems import called, problem_response

Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

# Bodies of these are read by their handlers as they stream in; all others are held here, up to 1 MiB.
_STREAMED = ("/api/files", "/api/results/", "/websockets/submit/")

# Bodies that are held before anybody is asked who they are, and did not come in one piece.
MAX_HELD = 64

log = structlog.get_logger(__name__)


class EdgeMetrics:
    """HTTP as Prometheus sees it. Labels are bound once for each route and status."""

    def __init__(self, metrics: Metrics) -> None:
        self._requests = metrics.counter(
            "spaces_http_requests_total", "HTTP requests answered", ["method", "route", "status"]
        )
        self._seconds = metrics.histogram(
            "spaces_http_request_seconds", "Time until the answer was sent", ["route"]
        )
        self._bound: dict[tuple[str, str, int], Any] = {}
        self._bound_seconds: dict[str, Any] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one answer."""
        key = (method, route, status)
        counter = self._bound.get(key)
        if counter is None:
            counter = self._bound[key] = self._requests.labels(method, route, str(status))
            self._bound_seconds.setdefault(route, self._seconds.labels(route))
        counter.inc()
        self._bound_seconds[route].observe(seconds)


class Edge:
    """What uvicorn calls."""

    def __init__(
        self,
        http: App,
        hot: HotRoutes,
        sockets: dict[str, App],
        metrics: Metrics,
        max_in_flight: int,
        cors: Cors | None = None,
    ) -> None:
        self._http = http
        self._hot = hot
        self._sockets = sockets
        self._metrics = EdgeMetrics(metrics)
        self._max_in_flight = max_in_flight
        self._cors = cors or Cors()
        self._in_flight = 0
        self._held = 0
        self._log = log.bind()  # the module's own finds its level anew for each line
        metrics.gauge(
            "spaces_http_in_flight_requests", "HTTP requests being answered"
        ).set_function(lambda: self._in_flight)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection or request."""
        if scope["type"] == "websocket":
            socket = self._sockets.get(scope["path"])
            if socket is None:
                await _refuse_socket(scope, send)
            else:
                await socket(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        answer = Exchange(scope, receive, send)
        if not self._cors.off:
            answer.more = self._cors.headers(scope)
        self._in_flight += 1
        try:
            await self._answer(scope, answer)
        except ClientDisconnect:
            log.debug("http_client_left", method=scope["method"], path=scope["path"])
        except Exception:  # not for the server: it would log without our fields and hang up
            log.exception("http_failed", method=scope["method"], path=scope["path"])
            if not answer.status:
                problem = Problem(
                    code=Code.INTERNAL_ERROR, message="Something is wrong on the server."
                )
                await problem_response(problem, called(scope))(scope, answer.receive, answer.send)
        finally:
            self._in_flight -= 1
            seconds = time.perf_counter() - started
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.answered(method, _route(scope), answer.status, seconds)
            if self._log.is_enabled_for(logging.DEBUG):
                # Only the path: what stands behind the question mark may be a signature.
                self._log.debug("http", method=method, path=scope["path"], status=answer.status,
                                ms=round(seconds * 1000, 1))  # fmt: skip

    async def _answer(self, scope: Scope, exchange: Exchange) -> None:
        receive: Receive = exchange.receive
        send: Send = exchange.send
        problem = self._refusal(scope)
        if problem is None:
            raw_path = scope.get("raw_path") or scope["path"].encode()
            if b"%2" in raw_path and b"%2f" in raw_path.lower():
                scope["path"] = routed_path(raw_path)
            if await self._hot.answer(scope, exchange):
                return
            preflight = None if self._cors.off else self._cors.preflight(scope)
            if preflight is not None:
                exchange.more = preflight
                await exchange.send_whole(200, (), b"")
                return
            problem = _encoded(scope)
        if problem is None and scope["method"] in _WITH_BODY and not _streams(scope):
            body = await self._bounded(scope, receive)
            if isinstance(body, Problem):
                problem = body
            else:
                receive = body
        if problem is not None:
            await problem_response(problem, called(scope))(scope, receive, send)
        elif scope["method"] == "HEAD" and scope["path"] in _HEADS:
            # The server leaves the body out by its own copy of the method.
            await self._http({**scope, "method": "GET"}, receive, send)
        else:
            await self._http(scope, receive, send)

    async def _bounded(self, scope: Scope, receive: Receive) -> Receive | Problem:
        """A `receive` that gives the whole body at once; a problem when that, or all that is held so, is too large."""
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > MAX_JSON_BYTES:
                return too_large(MAX_JSON_BYTES).problem
        event = await receive()
        chunks: list[bytes] = [event.get("body", b"")]
        if not event.get("more_body", False):
            return _replaying(
                chunks, receive
            )  # also one that left: the handler finds a body cut off
        if self._held >= MAX_HELD:
            message = "This gateway is reading too many large bodies."
            return Problem(code=Code.TOO_MANY_CONNECTIONS, message=message)
        self._held += 1
        try:
            size = len(chunks[0])
            while event.get("more_body", False):
                event = await receive()
                chunks.append(event.get("body", b""))
                size += len(chunks[-1])
                if size > MAX_JSON_BYTES:
                    return too_large(MAX_JSON_BYTES).problem
        finally:
            self._held -= 1
        return _replaying(chunks, receive)

    def _refusal(self, scope: Scope) -> Problem | None:
        if self._in_flight > self._max_in_flight:
            return Problem(code=Code.TOO_MANY_CONNECTIONS, message="This gateway is full.")
        raw_path: bytes = scope.get("raw_path") or b""
        if b"%00" in raw_path or b"%00" in scope["query_string"] or "\0" in scope["path"]:
            return Problem(code=Code.INVALID_REQUEST, message="The address holds a NUL character.")
        return None


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# What balancers and monitors ask for without wanting it.
_HEADS = frozenset({"/", "/health", "/health/live", "/health/ready", "/docs", "/openapi.json"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def _encoded(scope: Scope) -> Problem | None:
    """A compressed body is refused, not unpacked: it may become anything."""
    if scope["method"] not in ("POST", "PUT", "PATCH"):
        return None
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return Problem(
                code=Code.CONTENT_ENCODING_REFUSED,
                message=f"The body is encoded as {value[:40].decode('latin-1')!r}.",
            )
    return None


def _streams(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.startswith(_STREAMED) or (
        path.startswith("/api/spaces/") and path.endswith("/requests")
    )


def _replaying(chunks: list[bytes], receive: Receive) -> Receive:
    waiting: list[Event] = [{"type": "http.request", "body": b"".join(chunks), "more_body": False}]

    async def replay() -> Event:
        return waiting.pop() if waiting else await receive()

    return replay


def _route(scope: Scope) -> str:
    route = scope.get("route")
    if isinstance(route, str):
        return route
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else "unmatched"


async def _refuse_socket(scope: Scope, send: Send) -> None:
    """A plain HTTP answer to an upgrade where no socket is."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 4404, "reason": "not_found"})
        return
    response = problem_response(
        Problem(code=Code.NOT_FOUND, message="There is no socket at this address."), called(scope)
    )
    await send(
        {
            "type": "websocket.http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )
    await send({"type": "websocket.http.response.body", "body": response.body})
