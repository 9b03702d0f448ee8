"""Between the worker socket's frames and the bus's messages. Payloads and outputs stay JSON text where they can."""

from typing import Any

from pydantic_core import to_json

from spaces_contracts.connections import AttachVerdict
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import (
    CancelJob,
    EventKind,
    Job,
    RequestEvent,
    RequestState,
    ResultAck,
)
from spaces_contracts.worker_socket import (
    Accepted,
    Cancel,
    InferenceChunk,
    InferenceProgress,
    InferenceResult,
    Refused,
    RegisterError,
)
from spaces_gateway.sockets.held_work import Connection

# The server's max_payload is 2 MiB; what is left of it beside an output is for the envelope and its headers.
MAX_RESULT_BYTES = 2 * 1_048_576 - 16 * 1024
# A worker that was refused because of a ghost tries again when the ghost's lease may have run out.
RETRY_AFTER_GHOST_S = 1.0


def job_frame(job: Job, space: str) -> bytes:
    """`inference_request`; the payload's text goes into the frame as it is."""
    members: dict[str, Any] = {
        "type": "inference_request",
        "request_id": job.request_id,
        "attempt": job.attempt,
        "space": space,
        "space_id": job.space_id,
        "remaining_ms": job.remaining_ms,
        "queue_size": job.queue_size,
    }
    if job.upload_url is not None:
        members["upload_url"] = job.upload_url
    if job.files:
        members["files"] = job.files
    payload = job.payload.strip() or "{}"
    return to_json(members)[:-1] + b',"payload":' + payload.encode() + b"}"


def ack_frame(ack: ResultAck) -> bytes:
    """`result_ack`; its members need no quoting."""
    return (
        f'{{"type":"result_ack","request_id":"{ack.request_id}","attempt":{ack.attempt},'
        f'"outcome":"{ack.verdict.value}"}}'
    ).encode()


def cancel_frame(cancel: CancelJob) -> Cancel:
    """`cancel`, with the reason when the scheduler gave one."""
    reason = cancel.reason or Problem(code=Code.CANCELLED)
    return Cancel(
        request_id=cancel.request_id,
        attempt=cancel.attempt,
        code=reason.code,
        message=reason.message or reason.kind.title,
    )


def register_error(verdict: AttachVerdict, problem: Problem) -> RegisterError:
    """`register_error` for one space. Only a live holder is final."""
    ghost = problem.code is Code.ALREADY_CONNECTED and verdict.holder == "suspect"
    return RegisterError(
        space=verdict.ref,
        code=problem.code,
        message=problem.message or problem.kind.title,
        retry=ghost or problem.kind.retry,
        retry_after_s=RETRY_AFTER_GHOST_S if ghost else problem.retry_after_s,
        holder="suspect" if ghost else "live" if verdict.holder == "live" else None,
    )


def answer_bytes(frame: Accepted | Refused, connection: Connection) -> bytes:
    """A JobAnswer: whether the job was taken, as the scheduler hears it."""
    members: dict[str, Any] = {
        "space_id": connection.space_id,
        "connection_id": connection.connection_id,
        "request_id": frame.request_id,
        "attempt": frame.attempt,
    }
    if isinstance(frame, Refused):
        members["accepted"] = False
        members["problem"] = {"code": frame.code, "message": frame.message}
    elif frame.after_ms:
        members["after_ms"] = frame.after_ms
    return to_json(members)


def chunk_bytes(frame: InferenceChunk, space_id: str) -> bytes:
    """A RequestEvent: chunks as they are stored. Numbers that JSON lacks become null."""
    members = {
        "space_id": space_id,
        "request_id": frame.request_id,
        "kind": "chunk",
        "attempt": frame.attempt,
        "n": frame.n,
        "count": len(frame.data),
        "data_json": to_json(frame.data, inf_nan_mode="null").decode(),
    }
    return to_json(members)


def chunk_ack(request_id: str, attempt: int, n: int) -> bytes:
    """`chunk_ack`; its members need no quoting."""
    text = f'{{"type":"chunk_ack","request_id":"{request_id}","attempt":{attempt},"n":{n}}}'
    return text.encode()


def progress_event(frame: InferenceProgress, space_id: str) -> RequestEvent:
    """Progress as watchers get it."""
    return RequestEvent(
        space_id=space_id,
        request_id=frame.request_id,
        kind=EventKind.PROGRESS,
        attempt=frame.attempt,
        percent=frame.percent,
        message=frame.message,
    )


def result_bytes(frame: InferenceResult, connection: Connection) -> bytes:
    """A JobResult. One that grew beyond the bus's limit fails its request instead of vanishing.

    The output travels as a JSON string inside JSON, and quoting can double it. NaN and infinities, which JSON lacks,
    become null.
    """
    members: dict[str, Any] = {
        "space_id": connection.space_id,
        "connection_id": connection.connection_id,
        "request_id": frame.request_id,
        "attempt": frame.attempt,
        "state": frame.status,
        "processing_time_seconds": frame.processing_time_seconds,
        "timestamp": frame.timestamp,
    }
    if frame.output is not None:
        members["output_json"] = to_json(frame.output, inf_nan_mode="null").decode()
    if frame.output_files:
        members["output_files"] = frame.output_files
    if frame.error is not None:
        members["error"] = frame.error
    if frame.last_n:
        members["last_n"] = frame.last_n
    body = to_json(members, inf_nan_mode="constants")
    if len(body) <= MAX_RESULT_BYTES:
        return body
    members.pop("output_json", None)
    members["state"] = RequestState.FAILED
    members["error"] = Problem(
        code=Code.OUTPUT_TOO_LARGE,
        message=f"The output takes {len(body)} bytes on the way; {MAX_RESULT_BYTES} fit.",
    )
    return to_json(members, inf_nan_mode="constants")
