"""A small gateway in memory: the HTTP API and the client socket over real sockets, with a worker that is the test."""

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, unquote

import uvicorn

from spaces_contracts.client_socket import (
    Auth,
    CancelFrame,
    Ready,
    ResetFrame,
    SpaceFrame,
    SubmitFrame,
    SubmittedFrame,
    Subscribe,
    Unsubscribe,
    read_from_client,
)
from spaces_contracts.frames import PROTOCOL, ErrorFrame, Frame, GoAway
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import RequestState
from tests.integration.client.admin_api import AdminApi
from tests.integration.client.cable import Cable
from tests.integration.client.scripted_job import Job

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
API_KEY = "key-of-the-test"


class Session:
    """One client socket."""

    def __init__(self, gateway: "ScriptedGateway", receive: Receive, send: Send) -> None:
        self._gateway = gateway
        self._receive = receive
        self._send = send
        self.heard: list[Frame] = []

    async def say(self, frame: Frame) -> None:
        """Sends a frame; a cut connection swallows it."""
        with suppress(OSError, RuntimeError):
            await self._send({"type": "websocket.send", "text": frame.encode()})

    async def close(self, code: int, reason: str = "") -> None:
        """Ends the socket."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    async def run(self) -> None:
        """Until the client leaves."""
        try:
            while True:
                message = await self._receive()
                if message["type"] == "websocket.disconnect":
                    return
                frame = read_from_client(message["text"])
                self.heard.append(frame)
                await self._answer(frame)
        finally:
            for job in self._gateway.jobs.values():
                if self in job.listeners:
                    job.listeners.remove(self)

    async def _answer(self, frame: Frame) -> None:
        if isinstance(frame, Auth):
            if frame.token != API_KEY:
                await self.say(ErrorFrame(code=Code.UNAUTHENTICATED, message="Who are you?"))
                await self.close(4401, "unauthenticated")
                return
            await self.say(Ready(principal_id=new_id(), protocol=PROTOCOL))
        elif isinstance(frame, SubmitFrame):
            await self._submit(frame)
        elif isinstance(frame, Subscribe):
            await self._subscribe(frame)
        elif isinstance(frame, Unsubscribe):
            job = self._gateway.jobs.get(frame.request_id or "")
            if job and self in job.listeners:
                job.listeners.remove(self)
        elif isinstance(frame, CancelFrame):
            await self._gateway.jobs[frame.request_id].finish(RequestState.CANCELLED)

    async def _submit(self, frame: SubmitFrame) -> None:
        if self._gateway.problems:
            problem = self._gateway.problems.pop(0)
            await self.say(ErrorFrame(code=problem.code, message=problem.message, ref=frame.ref))
            return
        body = frame.model_dump(include={"prompt", "parameters", "files"})
        job, duplicate = self._gateway.accept(frame.space, body, frame.idempotency_key)
        job.listeners.append(self)
        if self._gateway.lose_answers:
            self._gateway.lose_answers -= 1
            self._gateway.cable.cut()
            return
        await self.say(
            SubmittedFrame(
                ref=frame.ref,
                request_id=job.request_id,
                space_id=job.space_id,
                state=job.state,
                position=1,
                queue_size=1,
                duplicate=duplicate,
            )
        )

    async def _subscribe(self, frame: Subscribe) -> None:
        if frame.space_id is not None:
            if self in self._gateway.space_listeners:
                return
            await self.say(SpaceFrame(space_id=frame.space_id, connected=True, queue_size=0))
            self._gateway.space_listeners.append(self)
            return
        job = self._gateway.jobs.get(frame.request_id or "")
        if job is None:
            await self.say(
                ErrorFrame(code=Code.REQUEST_NOT_FOUND, message="No such request", ref=frame.ref)
            )
            return
        await self.say(job.status())
        known = frame.after.n if frame.after.attempt == job.attempt else 0
        if frame.after.attempt < job.attempt and frame.after.n:
            await self.say(ResetFrame(request_id=job.request_id, attempt=job.attempt))
        for first in range(known + 1, len(job.chunks) + 1):
            await self.say(
                job.chunk_frame(first).model_copy(update={"data": [job.chunks[first - 1]]})
            )
        if job.state.terminal:
            await self.say(job.finished())
        elif self not in job.listeners:
            job.listeners.append(self)


class ScriptedGateway:
    """Spaces, jobs and sockets, all in memory."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.keys: dict[str, Job] = {}
        self.admin = AdminApi()
        self.sessions: list[Session] = []
        self.space_listeners: list[Session] = []
        self.uploads: dict[str, bytes] = {}
        self.problems: list[Problem] = []  # answers to the next submits
        self.lose_answers = (
            0  # so many submits are accepted, and the connection cut before the answer
        )
        self.lose_deletes = 0
        self.refuse_sockets = False
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        self.cable = Cable()
        self.serve: Callable[[Job], Awaitable[None]] | None = None
        self._running: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Through the cable."""
        return f"http://127.0.0.1:{self.cable.port}"

    def accept(self, space: str, body: dict[str, Any], key: str | None) -> tuple[Job, bool]:
        """A job, the first one's with a repeated key."""
        if key is not None and key in self.keys:
            return self.keys[key], True
        found = self.admin.space(space)
        assert found is not None, space
        job = Job(new_id(), found["space_id"], body)
        self.jobs[job.request_id] = job
        if key is not None:
            self.keys[key] = job
        if self.serve is not None:
            task = asyncio.ensure_future(self.serve(job))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return job, False

    async def tell_space(self, frame: SpaceFrame) -> None:
        """To everybody who watches a space."""
        for session in self.space_listeners:
            await session.say(frame)

    async def go_away(self) -> None:
        """Tells every socket to come back at once."""
        for session in self.sessions:
            await session.say(GoAway(reconnect_after_s=0.01))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            if self.refuse_sockets:
                await send({"type": "websocket.close"})
                return
            await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
            session = Session(self, receive, send)
            self.sessions.append(session)
            with suppress(RuntimeError):  # said goodbye to a client that left
                await session.run()
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        raw_path: bytes = scope["raw_path"]
        path = raw_path.decode().split("?")[0]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode()))
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.calls.append((scope["method"], path, headers))
        if headers.get("authorization") != f"Bearer {API_KEY}":
            answer: Any = Problem(code=Code.UNAUTHENTICATED)
        else:
            parts = [unquote(part) for part in path.split("/")[2:]]
            answer = await self._route(scope["method"], parts, query, headers, body)
        await self._reply(send, answer)

    async def _reply(self, send: Send, answer: Any) -> None:
        status, media_type = 200, b"application/json"
        if isinstance(answer, Problem):
            status, media_type = answer.kind.status, b"application/problem+json"
            answer = {
                "code": answer.code,
                "title": answer.kind.title,
                "status": status,
                "detail": answer.message,
                "retry_after_s": answer.retry_after_s,
            }
        elif isinstance(answer, bytes):
            media_type = b"application/octet-stream"
        elif isinstance(answer, int):  # a status alone, as a proxy answers
            status, answer = answer, None
        content = answer if isinstance(answer, bytes) else b""
        if answer is not None and not content:
            content = json.dumps(answer).encode()
        with suppress(OSError, RuntimeError):
            await send(
                {
                    "type": "http.response.start",
                    "status": status,
                    "headers": [
                        (b"content-type", media_type),
                        (b"content-length", str(len(content)).encode()),
                    ],
                }
            )
            await send({"type": "http.response.body", "body": content})

    async def _route(
        self,
        method: str,
        parts: list[str],
        query: dict[str, str],
        headers: dict[str, str],
        raw: bytes,
    ) -> Any:
        is_json = headers.get("content-type") == "application/json"
        body = json.loads(raw) if raw and is_json else {}
        match [method, *parts]:
            case ["POST", "spaces", space, "requests"]:
                return await self._submit(space, body, query, headers)
            case ["GET", "requests", request_id]:
                return await self._job(request_id, query)
            case ["POST", "requests", request_id, "cancel"]:
                await self.jobs[request_id].finish(RequestState.CANCELLED)
                return self.jobs[request_id].view()
            case ["GET", "requests"]:
                views = [job.view() for job in reversed(self.jobs.values())]
                return {"requests": views, "next_cursor": None}
            case ["GET", "files", file_id]:
                return self.uploads[file_id]
            case ["POST", "files"]:
                file_id = new_id()
                self.uploads[file_id] = raw
                kind = headers["content-type"].split("/")[0]
                return {
                    "file_id": file_id,
                    "name": unquote(headers["x-file-name"]),
                    "kind": kind if kind in ("image", "audio", "video") else "file",
                    "media_type": headers["content-type"],
                    "size_bytes": len(raw),
                    "sha256": hashlib.sha256(raw).hexdigest(),
                }
            case ["DELETE", *_] if self.lose_deletes:
                self.lose_deletes -= 1
                self.admin.answer(method, parts, body)
                self.cable.cut()
                return None
            case _:
                return self.admin.answer(method, parts, body)

    async def _submit(
        self, space: str, body: dict[str, Any], query: dict[str, str], headers: dict[str, str]
    ) -> Any:
        if self.problems:
            return self.problems.pop(0)
        if self.admin.space(space) is None:
            return Problem(code=Code.SPACE_NOT_FOUND, message=f"No space {space!r}")
        job, duplicate = self.accept(space, body, headers.get("idempotency-key"))
        if self.lose_answers:
            self.lose_answers -= 1
            self.cable.cut()
        if "wait" in query:
            with suppress(TimeoutError):
                await asyncio.wait_for(job.ended.wait(), float(query["wait"]))
        return job.view() | {"duplicate": duplicate}

    async def _job(self, request_id: str, query: dict[str, str]) -> Any:
        job = self.jobs.get(request_id)
        if job is None:
            return Problem(code=Code.REQUEST_NOT_FOUND, message=f"No request {request_id}")
        if "wait" in query:
            with suppress(TimeoutError):
                await asyncio.wait_for(job.ended.wait(), float(query["wait"]))
        return job.view()


@asynccontextmanager
async def running_gateway() -> AsyncIterator[ScriptedGateway]:
    """A gateway that listens."""
    gateway = ScriptedGateway()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        gateway, ws="websockets-sansio", lifespan="off", log_config=None, log_level="critical"
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    try:
        async with gateway.cable.laid(listener.getsockname()[1]):
            yield gateway
    finally:
        server.force_exit = True
        await server.shutdown(sockets=[listener])
