"""The command `spaces rehearse`: a number of requests through one space, and how long they took."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from spaces_client.client import AsyncSpaces
from spaces_client.commands import wording
from spaces_client.commands.exits import Exit
from spaces_client.commands.output import Output, error_document
from spaces_client.commands.session import Json, run
from spaces_client.errors import RequestFailed, SpacesError
from spaces_client.models import Request
from spaces_contracts.files import FileRef
from spaces_contracts.requests import RequestState

_HELP = """Send requests to a space and print a table of timings.

\b
Example:
  spaces rehearse echo "Hello" --requests 20 --at-once 4
"""
_WAIT_S = 25.0


@dataclass(frozen=True)
class Tried:
    """One request of a rehearsal, or the error that kept it from being one."""

    total_ms: float
    request: Request | None = None
    error: SpacesError | None = None

    @property
    def good(self) -> bool:
        """Whether it succeeded."""
        return self.request is not None and self.request.state is RequestState.SUCCEEDED


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(help=_HELP)(rehearse)


def rehearse(  # noqa: PLR0913  (a command's options)
    ctx: typer.Context,
    space: Annotated[str, typer.Argument(help="Name, tenant/name or id.")],
    prompt: Annotated[str | None, typer.Argument(help="The prompt of each request.")] = None,
    *,
    requests: Annotated[int, typer.Option("-n", "--requests", min=1, max=10_000)] = 10,
    at_once: Annotated[int, typer.Option("-c", "--at-once", min=1, max=200)] = 1,
    file: Annotated[
        Path | None, typer.Option(help="A file to send with each, uploaded once.", dir_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """See _HELP."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> Exit:
        files = [await spaces.upload(file)] if file else []
        left = iter(range(requests))
        tried: list[Tried] = []

        async def one_after_another() -> None:
            for _ in left:
                one = await _try(spaces, space, prompt, files)
                tried.append(one)
                if as_json:
                    out.document(_document(one))

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(one_after_another())
        if not as_json:
            out.rows(("", "count", "p50", "p95", "longest"), summary(tried))
            _show_errors(out, tried)
        return Exit.OK if all(one.good for one in tried) else Exit.FAILED

    run(ctx, out, work)


async def _try(
    spaces: AsyncSpaces, space: str, prompt: str | None, files: Sequence[FileRef]
) -> Tried:
    loop = asyncio.get_running_loop()
    started = loop.time()
    request: Request | None = None
    error: SpacesError | None = None
    try:
        request = await spaces.submit(space, prompt=prompt, files=files, wait=_WAIT_S)
        while not request.state.terminal:
            request = await spaces.get(request.request_id, wait=_WAIT_S)
    except SpacesError as caught:
        error = caught
    return Tried((loop.time() - started) * 1000, request, error)


def summary(tried: Sequence[Tried]) -> list[tuple[str, ...]]:
    """The rows of the table: how long requests took as a whole, waited and ran."""
    good = [one for one in tried if one.good]
    requests = [one.request for one in good if one.request is not None]
    measured = {
        "total": [one.total_ms for one in good],
        "queued": [float(one.queue_ms) for one in requests if one.queue_ms is not None],
        "ran": [float(one.run_ms) for one in requests if one.run_ms is not None],
    }
    rows = [_times(name, values) for name, values in measured.items()]
    failed = len(tried) - len(good)
    return [*rows, ("not succeeded", str(failed), "-", "-", "-")] if failed else rows


def _times(name: str, values: Sequence[float]) -> tuple[str, ...]:
    times = [percentile(values, share) for share in (0.5, 0.95, 1.0)]
    shown = ["-" if time is None else wording.seconds(time / 1000) for time in times]
    return (name, str(len(values)), *shown)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of the values does not exceed; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _show_errors(out: Output, tried: Sequence[Tried]) -> None:
    errors = [_error(one) for one in tried if not one.good]
    for (code, message), count in Counter(errors).most_common():
        out.say(f"{count} x {message} [{code}]", style="red")


def _error(one: Tried) -> tuple[str, str]:
    error = one.error or (RequestFailed(one.request) if one.request else None)
    return (error.code, error.message) if error else ("", "")


def _document(one: Tried) -> dict[str, object]:
    document: dict[str, object] = {"total_ms": round(one.total_ms, 1)}
    if one.request is not None:
        kept = ("request_id", "state", "queue_ms", "run_ms", "error")
        document |= one.request.model_dump(mode="json", include=set(kept), exclude_none=True)
    if one.error is not None:
        document["error"] = error_document(one.error)
    return document
