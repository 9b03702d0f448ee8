"""Commands about requests: submit, watch, cancel, status, requests."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from spaces_client.client import AsyncSpaces
from spaces_client.commands import wording
from spaces_client.commands.arguments import UsageError, parse_parameters, read_prompt
from spaces_client.commands.exits import Exit, exit_of_state
from spaces_client.commands.live import LiveView
from spaces_client.commands.output import Output
from spaces_client.commands.session import Json, run
from spaces_client.errors import RequestFailed, Unreachable
from spaces_client.models import Request
from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.requests import RequestState

_FILE = {"exists": True, "dir_okay": False, "readable": True}
_SUBMIT_HELP = """Submit a request to SPACE, watch it, print its output.

\b
Examples:
  spaces submit echo "Hello" -p temperature=0.2
  spaces submit read-image --image receipt.png > receipt.txt
  git diff | spaces submit review -
  spaces submit echo "Hello" --no-wait --json
"""


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command(help=_SUBMIT_HELP)(submit)
    app.command()(watch)
    app.command()(cancel)
    app.command()(status)
    app.command(name="requests")(list_requests)


def submit(  # noqa: PLR0913  (a command's options)
    ctx: typer.Context,
    space: Annotated[str, typer.Argument(help="Name, tenant/name or id.")],
    prompt: Annotated[str | None, typer.Argument(help="The prompt; - reads it from stdin.")] = None,
    *,
    prompt_file: Annotated[Path | None, typer.Option(help="Read the prompt from a file.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--parameter",
            metavar="NAME=VALUE",
            help="name=value; the value may be JSON. Repeatable.",
        ),
    ] = None,
    parameters: Annotated[str | None, typer.Option(help="All parameters as a JSON object.")] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(help="An image to send. Repeatable.", metavar="PATH", **_FILE),
    ] = None,
    audio: Annotated[
        list[Path] | None,
        typer.Option(help="A sound to send. Repeatable.", metavar="PATH", **_FILE),
    ] = None,
    video: Annotated[
        list[Path] | None,
        typer.Option(help="A video to send. Repeatable.", metavar="PATH", **_FILE),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(help="Any file to send. Repeatable.", metavar="PATH", **_FILE),
    ] = None,
    priority: Annotated[int, typer.Option(min=-100, max=100, help="Higher goes first.")] = 0,
    timeout_s: Annotated[
        float | None, typer.Option(min=0.001, help="Total time that the request may take, seconds.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again gives the same request.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the id and end.")] = False,
    save: Annotated[
        Path | None, typer.Option(help="Save output files into this directory.", file_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """See _SUBMIT_HELP."""
    out = Output(as_json=as_json)
    paths = [
        *((InputKind.IMAGE, path) for path in image or ()),
        *((InputKind.AUDIO, path) for path in audio or ()),
        *((InputKind.VIDEO, path) for path in video or ()),
        *((InputKind.FILE, path) for path in file or ()),
    ]

    async def work(spaces: AsyncSpaces) -> Exit:
        options: dict[str, Any] = {
            "prompt": read_prompt(prompt, prompt_file),
            "parameters": parse_parameters(parameter or (), parameters),
            "files": [await _upload(spaces, kind, path) for kind, path in paths],
            "priority": priority,
            "timeout_s": timeout_s,
            "idempotency_key": idempotency_key,
        }
        request = await spaces.submit(space, **options)
        if no_wait:
            if as_json:
                out.document(request)
            else:
                out.text(request.request_id)
                out.say(wording.of_place(request))
            return Exit.OK
        out.say(f"request {request.request_id}", style="dim")
        return await _follow(spaces, out, request.request_id, save=save)

    run(ctx, out, work)


def watch(
    ctx: typer.Context,
    request_id: Annotated[str, typer.Argument(help="The request's id.")],
    *,
    save: Annotated[
        Path | None, typer.Option(help="Save output files into this directory.", file_okay=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Watch a request until it ends; with --json each event is one line.

    Ctrl-C stops watching and does not cancel.
    """
    out = Output(as_json=as_json)
    run(ctx, out, lambda spaces: _follow(spaces, out, request_id, save=save, events=True))


def cancel(
    ctx: typer.Context,
    request_ids: Annotated[list[str], typer.Argument(help="Ids of requests.")],
    *,
    as_json: Json = False,
) -> None:
    """Cancel requests: at once when queued, as soon as the worker stops when running."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        for request_id in request_ids:
            request = await spaces.cancel(request_id)
            if as_json:
                out.document(request)
            else:
                stopping = "" if request.state.terminal else ", asked to stop"
                out.text(f"{request_id} {request.state.value}{stopping}")

    run(ctx, out, work)


def status(
    ctx: typer.Context,
    request_id: Annotated[str, typer.Argument(help="The request's id.")],
    *,
    as_json: Json = False,
) -> None:
    """Show a request as it is now."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        request = await spaces.get(request_id)
        if as_json:
            out.document(request)
        else:
            out.fields(_fields(request))

    run(ctx, out, work)


def list_requests(
    ctx: typer.Context,
    *,
    space: Annotated[str | None, typer.Option(help="Only this space's.")] = None,
    state: Annotated[RequestState | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 20,
    cursor: Annotated[str | None, typer.Option(help="Where an earlier list ended.")] = None,
    as_json: Json = False,
) -> None:
    """List requests, newest first."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        page = await spaces.list(space=space, state=state, limit=limit, cursor=cursor)
        if as_json:
            for request in page.requests:
                out.document(request)
        else:
            columns = ("request", "state", "created", "queued", "ran", "error")
            out.rows(columns, [_row(request) for request in page.requests])
        if page.next_cursor:
            out.say(f"more: --cursor {page.next_cursor}", style="dim")

    run(ctx, out, work)


async def _upload(spaces: AsyncSpaces, kind: InputKind, path: Path) -> FileRef:
    file = await spaces.upload(path)
    if kind is not InputKind.FILE and file.kind is not kind:
        raise UsageError(
            f"{path} is not {kind.value}: the gateway sees {file.kind.value} ({file.media_type}).",
            f"Give it with --{file.kind.value}.",
        )
    return file


async def _follow(
    spaces: AsyncSpaces, out: Output, request_id: str, *, save: Path | None, events: bool = False
) -> Exit:
    try:
        with LiveView(out, events=events) as view:
            await _show_events(spaces, out, request_id, view)
        request = await spaces.get(request_id)
        await _show_end(spaces, out, request, save=save, shown=view.shown)
    except asyncio.CancelledError:
        out.say(f"\nNot watching any more; request {request_id} goes on.")
        out.say(f"  again: spaces watch {request_id}\n  stop it: spaces cancel {request_id}")
        raise
    return exit_of_state(request.state)


async def _show_events(spaces: AsyncSpaces, out: Output, request_id: str, view: LiveView) -> None:
    try:
        async with spaces.stream(request_id) as stream:
            async for event in stream:
                view.show(event)
    except Unreachable as error:
        # Some proxies let no WebSocket through; the request went in over HTTP and comes out the same way.
        out.say(f"no live view: {error.message}")
        view.void()
        await spaces.wait(request_id)


async def _show_end(
    spaces: AsyncSpaces, out: Output, request: Request, *, save: Path | None, shown: bool
) -> None:
    if not shown:
        if out.as_json:
            out.document(request)
        elif request.output is not None:
            out.text(wording.of_output(request.output))
    for file in request.output_files:
        if save is None:
            out.say(f"output file {file.name} ({file.size_bytes} bytes): --save DIR fetches it")
        else:
            out.say(f"saved {await spaces.download(file, save)}")
    if request.state is not RequestState.SUCCEEDED and not out.as_json:
        out.error(RequestFailed(request))


def _fields(request: Request) -> dict[str, object]:
    return {
        "request": request.request_id,
        "state": request.state.value,
        "place": wording.of_place(request) if request.state is RequestState.QUEUED else None,
        "space": request.space_id,
        "attempt": request.attempt or None,
        "created": request.created_at,
        "started": request.started_at,
        "finished": request.finished_at,
        "queued": _duration(request.queue_ms),
        "ran": _duration(request.run_ms),
        "error": _error(request),
        "output": None if request.output is None else wording.of_output(request.output),
        "files": [file.name for file in request.output_files],
    }


def _row(request: Request) -> tuple[object, ...]:
    created = request.created_at
    return (
        request.request_id,
        request.state.value,
        created.isoformat(sep=" ", timespec="seconds") if created else None,
        _duration(request.queue_ms),
        _duration(request.run_ms),
        _error(request),
    )


def _duration(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else wording.seconds(milliseconds / 1000)


def _error(request: Request) -> str | None:
    error = request.error
    return None if error is None else f"{error.message} [{error.code}]".strip()
