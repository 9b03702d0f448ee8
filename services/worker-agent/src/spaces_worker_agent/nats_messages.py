"""Between what the agent says and the messages of a direct worker. Pure."""

import json
from typing import Protocol

from spaces_contracts.requests import EventKind, Job, JobAnswer, JobEvent, JobResult, RequestState
from spaces_contracts.worker_socket import InferenceRequest
from spaces_worker_agent import attempts
from spaces_worker_agent.attempts import Accept, Chunks, Progress, Refuse, Result


class Address(Protocol):
    """For which space and on which connection something is said."""

    @property
    def space_id(self) -> str: ...

    @property
    def connection_id(self) -> str: ...


def job_of(job: Job, ref: str) -> attempts.Job:
    """A job as the worker socket says it."""
    frame = InferenceRequest(
        request_id=job.request_id,
        attempt=job.attempt,
        space=ref,
        space_id=job.space_id,
        payload=json.loads(job.payload or "{}"),
        files=job.files,
        upload_url=job.upload_url,
        remaining_ms=job.remaining_ms,
        queue_size=job.queue_size,
    )
    return attempts.job_of(frame, frame.encode().encode())


def answer(line: Address, item: Accept | Refuse) -> JobAnswer:
    """Whether the job was taken."""
    return JobAnswer(
        space_id=line.space_id,
        connection_id=line.connection_id,
        request_id=item.key.request_id,
        attempt=item.key.attempt,
        accepted=isinstance(item, Accept),
        after_ms=item.after_ms if isinstance(item, Accept) else 0,
        problem=item.problem if isinstance(item, Refuse) else None,
    )


def result(line: Address, result: Result) -> JobResult:
    """How an attempt ended."""
    return JobResult(
        space_id=line.space_id,
        connection_id=line.connection_id,
        request_id=result.key.request_id,
        attempt=result.key.attempt,
        state=RequestState(result.status),
        output_json=result.output_json,
        output_files=list(result.output_files),
        error=result.error,
        last_n=result.last_n,
        processing_time_seconds=result.processing_time_seconds,
        timestamp=result.timestamp,
    )


def chunk_event(line: Address, item: Chunks) -> JobEvent:
    """Chunks, on their way into the event stream."""
    return JobEvent(
        space_id=line.space_id,
        connection_id=line.connection_id,
        request_id=item.key.request_id,
        kind=EventKind.CHUNK,
        attempt=item.key.attempt,
        n=item.n,
        count=len(item.data),
        data_json=f"[{','.join(item.data)}]",
    )


def progress_event(line: Address, item: Progress) -> JobEvent:
    """Progress, on its way into the event stream."""
    return JobEvent(
        space_id=line.space_id,
        connection_id=line.connection_id,
        request_id=item.key.request_id,
        kind=EventKind.PROGRESS,
        attempt=item.key.attempt,
        percent=item.percent,
        message=item.message,
    )
