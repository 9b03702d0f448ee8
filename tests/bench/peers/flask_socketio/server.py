# mypy: ignore-errors
# (runs in the peer's own venv, whose packages are not installed in ours)
"""The source documents' design: a queue per space in memory, submits over HTTP, workers on Socket.IO."""

import os
import threading
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, jsonify, request
from flask_socketio import SocketIO

app = Flask(__name__)
# Under gunicorn's gevent worker everything is patched before this module is imported.
socketio = SocketIO(app, async_mode=os.environ["MODE"], ping_interval=600, ping_timeout=600)
lock = threading.Lock()


@dataclass
class Job:
    """One request."""

    request_id: str
    payload: Any
    status: str = "queued"
    result: Any = None
    chunks: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


@dataclass
class Space:
    """A queue and who works on it."""

    name: str
    waiting: deque[Job] = field(default_factory=deque)
    sid: str = ""
    free: int = 0


spaces: dict[str, Space] = {}
jobs: dict[str, Job] = {}


def space_of(name: str) -> Space:
    with lock:
        return spaces.setdefault(name, Space(name))


def dispatch(space: Space) -> None:
    """Sends what waits to the worker, as far as it has room."""
    while True:
        with lock:
            if not space.free or not space.waiting:
                return
            space.free -= 1
            job = space.waiting.popleft()
            job.status = "processing"
        body = {"request_id": job.request_id, "space": space.name, "payload": job.payload}
        socketio.emit("inference_request", body, to=space.sid)


@app.post("/websockets/submit/<space_id>")
def submit(space_id):
    space = space_of(space_id)
    job = Job(uuid.uuid4().hex, request.get_json())
    with lock:
        jobs[job.request_id] = job
        space.waiting.append(job)
    dispatch(space)
    wait = float(request.args.get("wait", 0))
    if wait and job.ended.wait(wait):
        jobs.pop(job.request_id, None)
        return jsonify(
            success=True, request_id=job.request_id, status=job.status, result=job.result
        )
    return jsonify(success=True, request_id=job.request_id)


@app.get("/websockets/status")
def status():
    job = jobs.get(request.args["request_id"])
    if job is None:
        return jsonify(success=False), 404
    wait = float(request.args.get("wait", 0))
    if wait:
        job.ended.wait(wait)
    after = int(request.args.get("after", 0))
    ended, chunks = job.status == "completed", job.chunks[after:]
    if ended:
        jobs.pop(job.request_id, None)
    return jsonify(status=job.status, result=job.result, chunks=chunks)


@socketio.on("register")
def register(message):
    for name in message["spaces"]:
        space = space_of(name)
        with lock:
            space.sid, space.free = request.sid, message["slots"]
        dispatch(space)
    return "registered"


@socketio.on("inference_chunk")
def inference_chunk(message):
    job = jobs.get(message["request_id"])
    if job is not None:
        job.chunks.append(message["data"])


@socketio.on("inference_result")
def inference_result(message):
    space = space_of(message["space"])
    job = jobs.get(message["request_id"])
    if job is not None:
        job.result, job.status = message["output"], "completed"
        job.ended.set()
    with lock:
        space.free += 1
    dispatch(space)


@app.get("/ready")
def ready():
    return jsonify(workers=sum(1 for space in spaces.values() if space.sid))
