"""The client socket's frames, and the same as server-sent events. Outputs and chunks stay JSON text."""

from dataclasses import dataclass
from datetime import datetime

from spaces_contracts.client_socket import (
    FinishedFrame,
    ProgressFrame,
    ResetFrame,
    SpaceFrame,
    StatusFrame,
    SubmittedFrame,
)
from spaces_contracts.requests import RequestState, RequestView, SubmitVerdict
from spaces_contracts.spaces import SpaceEvent
from spaces_gateway.sockets.stream_merge import Chunk, Ended, Output, Progress, Reset


@dataclass(slots=True)
class Told:
    """One frame for a watcher: its type, the position it brings a resuming watcher to, and its text."""

    type: str
    position: str  # "attempt:n", or empty
    frame: bytes


def told(request_id: str, space_id: str, output: Output) -> Told:
    """What the merge decided, as a frame."""
    if isinstance(output, Chunk):
        head = f'{{"type":"chunk","request_id":"{request_id}","attempt":{output.attempt},"n":{output.n},"data":'
        last = output.n + output.count - 1
        return Told("chunk", f"{output.attempt}:{last}", f"{head}{output.data_json}}}".encode())
    if isinstance(output, Reset):
        reset = ResetFrame(request_id=request_id, attempt=output.attempt)
        return Told("reset", f"{output.attempt}:0", reset.encode().encode())
    if isinstance(output, Progress):
        progress = ProgressFrame(
            request_id=request_id,
            attempt=output.attempt,
            percent=output.percent,
            message=output.message,
        )
        return Told("progress", "", progress.encode().encode())
    if isinstance(output, Ended):
        return _finished(output)
    started = StatusFrame(
        request_id=request_id,
        space_id=space_id,
        state=RequestState.RUNNING,
        attempt=output.attempt,
    )
    return Told("status", "", started.encode().encode())


def _finished(ended: Ended) -> Told:
    event = ended.event
    frame = FinishedFrame(
        request_id=event.request_id,
        space_id=event.space_id,
        state=event.state,
        attempt=event.attempt,
        last_n=event.last_n,
        recovered=ended.recovered,
        output_files=event.output_files,
        error=event.error,
        processing_time_seconds=event.processing_time_seconds,
        queue_ms=_ms(event.created_at, event.started_at),
        run_ms=_ms(event.started_at, event.finished_at),
        finished_at=event.finished_at,
        timestamp=event.timestamp,
    ).encode()
    if event.output_json is not None:
        frame = f'{frame[:-1]},"output":{event.output_json}}}'
    return Told("finished", f"{event.attempt}:{event.last_n}", frame.encode())


def _ms(start: datetime | None, end: datetime | None) -> int | None:
    return None if start is None or end is None else round((end - start).total_seconds() * 1000)


def status(view: RequestView, ref: str | None = None) -> Told:
    """Where a request is."""
    frame = StatusFrame(
        ref=ref,
        request_id=view.request_id,
        space_id=view.space_id,
        state=view.state,
        attempt=view.attempt,
        position=view.position,
        queue_size=view.queue_size,
        eta_s=view.eta_s,
    )
    return Told("status", "", frame.encode().encode())


def submitted(ref: str, space_id: str, verdict: SubmitVerdict) -> bytes:
    """The request is durable."""
    frame = SubmittedFrame(
        ref=ref,
        request_id=verdict.request_id,
        space_id=space_id,
        state=verdict.state,
        position=verdict.position,
        queue_size=verdict.queue_size,
        eta_s=verdict.eta_s,
        duplicate=verdict.duplicate,
    )
    return frame.encode().encode()


def space_frame(event: SpaceEvent) -> bytes:
    """What changed in a space."""
    frame = SpaceFrame(
        space_id=event.space_id,
        connected=event.connected,
        connections=event.connections,
        queue_size=event.queue_size,
        running=event.running,
    )
    return frame.encode().encode()
