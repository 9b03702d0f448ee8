"""How events and requests read in one line: pure."""

import json
from typing import Any

from spaces_client.models import Request
from spaces_client.resume import Event
from spaces_contracts.client_socket import (
    ChunkFrame,
    FinishedFrame,
    ProgressFrame,
    ResetFrame,
    SpaceFrame,
    StatusFrame,
)
from spaces_contracts.requests import RequestState


def of_event(event: Event) -> str | None:
    """One line for people; None for output, which is shown as it is."""
    if isinstance(event, StatusFrame):
        return of_place(event)
    if isinstance(event, ProgressFrame):
        percent = "" if event.percent is None else f"{event.percent:g} %"
        return " ".join(part for part in (percent, event.message) if part) or None
    if isinstance(event, ResetFrame):
        return f"starting over: attempt {event.attempt}, what was shown is void"
    if isinstance(event, FinishedFrame):
        return of_end(event)
    return None


def of_place(status: StatusFrame | Request) -> str:
    """Where a request is."""
    if status.state is RequestState.RUNNING:
        return "running" if status.attempt <= 1 else f"running, attempt {status.attempt}"
    if status.state is not RequestState.QUEUED:
        return status.state.value
    parts = ["queued"]
    if status.position is not None:
        parts.append(f"place {status.position} of {max(status.queue_size, status.position)}")
    if status.eta_s is not None:
        parts.append(f"starts in about {seconds(status.eta_s)}")
    return ", ".join(parts)


def of_end(end: FinishedFrame | Request) -> str:
    """How a request ended and how long it took."""
    times = []
    if end.queue_ms is not None:
        times.append(f"queued {seconds(end.queue_ms / 1000)}")
    if end.run_ms is not None:
        times.append(f"ran {seconds(end.run_ms / 1000)}")
    return end.state.value + (f" ({', '.join(times)})" if times else "")


def of_space(frame: SpaceFrame) -> str:
    """What changed in a space."""
    parts = []
    if frame.connected is not None:
        parts.append("connected" if frame.connected else "not connected")
    for name in ("connections", "running", "queue_size"):
        value = getattr(frame, name)
        if value is not None:
            parts.append(f"{name.replace('_', ' ')} {value}")
    return ", ".join(parts)


def of_output(output: Any) -> str:
    """The output of a request: its text if that is what it is, else JSON."""
    if isinstance(output, str):
        return output
    if isinstance(output, dict) and set(output) == {"text"} and isinstance(output["text"], str):
        return output["text"]
    return json.dumps(output, indent=2, ensure_ascii=False)


def text_of(chunk: ChunkFrame) -> str | None:
    """The chunk's text; None when it holds something else than text."""
    if all(isinstance(item, str) for item in chunk.data):
        return "".join(chunk.data)
    return None


def seconds(value: float) -> str:
    """A duration, as exact as is of use."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    return f"{value // 60:.0f} min {value % 60:02.0f} s"
