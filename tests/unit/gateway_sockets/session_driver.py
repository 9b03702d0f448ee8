"""Feeds a worker session with frames, and reads what it asks for."""

import json
from typing import Any

from spaces_contracts.connections import AttachVerdict
from spaces_contracts.requests import (
    Job,
)
from spaces_gateway.sockets.effects import (
    Send,
)
from spaces_gateway.sockets.worker_session import WorkerSession

GATEWAY, SPACE, OTHER = "g" * 26, "s" * 26, "t" * 26
INSTANCE, REQUEST = "i" * 26, "r" * 26


def register(*spaces: str, **fields: Any) -> str:
    frame = {
        "type": "register",
        "token": "secret",
        "spaces": list(spaces or ("demo",)),
        "instance_id": INSTANCE,
        "agent": {"version": "1"},
        "resume": {"secret": "resume"},
        **fields,
    }
    return json.dumps(frame)


def frame(type: str, **fields: Any) -> str:
    return json.dumps({"type": type, "request_id": REQUEST, "attempt": 1, **fields})


def result(**fields: Any) -> str:
    base = {"status": "succeeded", "output": 1, "timestamp": "2026-01-01T00:00:00Z"}
    return frame("inference_result", **{**base, **fields})


def sent(effects: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(effect.frame) for effect in effects if isinstance(effect, Send)]


def only(effects: list[Any], kind: type[Any]) -> Any:
    (found,) = [effect for effect in effects if isinstance(effect, kind)]
    return found


def job(connection_id: str, request_id: str = REQUEST, attempt: int = 1, **fields: Any) -> Job:
    base = {"payload": '{"prompt": "hi"}', "remaining_ms": 1000}
    return Job.model_validate(
        {
            "route": f"gw.{GATEWAY}.wk.{connection_id}",
            "space_id": SPACE,
            "connection_id": connection_id,
            "request_id": request_id,
            "attempt": attempt,
            **base,
            **fields,
        }
    )


def granted(session: WorkerSession, **fields: Any) -> list[AttachVerdict]:
    return [
        AttachVerdict(ref=ref, connection_id=cid, space_id=SPACE, name=ref, epoch=1, **fields)
        for cid, ref in session.pending.items()
    ]


def serving() -> tuple[WorkerSession, str]:
    """A session with one connection."""
    session = WorkerSession(GATEWAY, 0.0)
    session.frame(register(), 0.0)
    session.attached(granted(session))
    (connection_id,) = session.connections
    return session, connection_id


def working(**fields: Any) -> tuple[WorkerSession, str]:
    """A session that was given one job."""
    session, connection_id = serving()
    session.deliver(connection_id, job(connection_id, **fields))
    return session, connection_id


def chunk(n: int, *data: Any) -> str:
    return frame("inference_chunk", n=n, data=list(data or ["x"]))
