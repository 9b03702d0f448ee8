"""Between the worker socket's frames and the bus's messages. Payloads and outputs stay JSON text where they can."""

from pydantic_core import to_json

from spaces_contracts.connections import AttachVerdict
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import (
    CancelJob,
    EventKind,
    Job,
    JobAnswer,
    JobResult,
    RequestEvent,
    RequestState,
)
from spaces_contracts.worker_socket import (
    Accepted,
    Cancel,
    InferenceChunk,
    InferenceProgress,
    InferenceRequest,
    InferenceResult,
    Refused,
    RegisterError,
)

# The server's max_payload is 2 MiB; what is left of it beside an output is for the envelope and its headers.
MAX_RESULT_BYTES = 2 * 1_048_576 - 16 * 1024
# A worker that was refused because of a ghost tries again when the ghost's lease may have run out.
RETRY_AFTER_GHOST_S = 1.0


def job_frame(job: Job, space: str) -> bytes:
    """`inference_request`; the payload's text goes into the frame as it is."""
    head = InferenceRequest.model_construct(
        request_id=job.request_id,
        attempt=job.attempt,
        space=space,
        space_id=job.space_id,
        files=job.files,
        upload_url=job.upload_url,
        remaining_ms=job.remaining_ms,
        queue_size=job.queue_size,
    )
    members = head.model_dump_json(exclude={"payload"}, exclude_none=True).encode()
    return members[:-1] + b',"payload":' + (job.payload.strip() or "{}").encode() + b"}"


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


def answer_message(frame: Accepted | Refused, space_id: str, connection_id: str) -> JobAnswer:
    """Whether the job was taken, as the scheduler hears it."""
    refused = isinstance(frame, Refused)
    return JobAnswer(
        space_id=space_id,
        connection_id=connection_id,
        request_id=frame.request_id,
        attempt=frame.attempt,
        accepted=not refused,
        problem=Problem(code=frame.code, message=frame.message)
        if isinstance(frame, Refused)
        else None,
    )


def chunk_event(frame: InferenceChunk, space_id: str) -> RequestEvent:
    """Chunks as they are stored."""
    return RequestEvent(
        space_id=space_id,
        request_id=frame.request_id,
        kind=EventKind.CHUNK,
        attempt=frame.attempt,
        n=frame.n,
        count=len(frame.data),
        data_json=to_json(frame.data, inf_nan_mode="null").decode(),
    )


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


def result_message(frame: InferenceResult, space_id: str, connection_id: str) -> JobResult:
    """A result as the scheduler stores it. NaN and infinities, which JSON lacks, become null."""
    return JobResult(
        space_id=space_id,
        connection_id=connection_id,
        request_id=frame.request_id,
        attempt=frame.attempt,
        state=RequestState(frame.status),
        output_json=None
        if frame.output is None
        else to_json(frame.output, inf_nan_mode="null").decode(),
        output_files=frame.output_files,
        error=frame.error,
        last_n=frame.last_n,
        processing_time_seconds=frame.processing_time_seconds,
        timestamp=frame.timestamp,
    )


def result_bytes(result: JobResult) -> bytes:
    """The result on the wire. One that grew beyond the bus's limit fails its request instead of vanishing.

    The output travels as a JSON string inside JSON, and quoting can double it.
    """
    body = result.encode()
    if len(body) <= MAX_RESULT_BYTES:
        return body
    problem = Problem(
        code=Code.OUTPUT_TOO_LARGE,
        message=f"The output takes {len(body)} bytes on the way; {MAX_RESULT_BYTES} fit.",
    )
    failed = {"state": RequestState.FAILED, "output_json": None, "error": problem}
    return result.model_copy(update=failed).encode()
