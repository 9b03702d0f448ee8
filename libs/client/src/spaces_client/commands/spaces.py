"""Commands about spaces: create, list, show, watch, update, enable, disable, delete."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from spaces_client.client import AsyncSpaces
from spaces_client.commands import wording
from spaces_client.commands.arguments import changes
from spaces_client.commands.output import Output
from spaces_client.commands.secret_files import token_path, write_secret
from spaces_client.commands.session import Json, run
from spaces_contracts.files import InputKind
from spaces_contracts.spaces import Space, Visibility, WhenOffline

_CREATE_HELP = """Make a space, a worker token for it, and print the command that starts a worker.

The token goes into a file that only you can read; the command names the file.

\b
Examples:
  spaces spaces create echo
  spaces spaces create read-image --input image --when-offline queue
  spaces spaces create drafts --visibility private
"""
Ref = Annotated[str, typer.Argument(help="Name, tenant/name or id.")]
Inputs = Annotated[
    list[InputKind] | None,
    typer.Option("--input", help="A kind of input it takes. Repeatable; default prompt."),
]
Description = Annotated[str | None, typer.Option(help="For people.")]
MaxConnections = Annotated[
    int | None, typer.Option(min=1, help="How many workers may serve it at once; default 1.")
]
Offline = Annotated[
    WhenOffline | None,
    typer.Option("--when-offline", help="Without a worker, refuse or queue; default reject."),
]
Seen = Annotated[
    Visibility | None,
    typer.Option(
        "--visibility", help="For the whole tenant, or only its maker and owners; default tenant."
    ),
]
MaxQueue = Annotated[int | None, typer.Option(min=1, help="How many requests may wait.")]
QueueTimeout = Annotated[float | None, typer.Option(min=0.001, help="Longest wait, seconds.")]
RunTimeout = Annotated[float | None, typer.Option(min=0.001, help="Longest run, seconds.")]
TotalTimeout = Annotated[float | None, typer.Option(min=0.001, help="Longest of both, seconds.")]
MaxAttempts = Annotated[int | None, typer.Option(min=1, help="Tries when workers are lost.")]


def build() -> typer.Typer:
    """The group `spaces spaces`."""
    app = typer.Typer(
        help="Make spaces and look after them.", no_args_is_help=True, rich_markup_mode=None
    )
    app.command(help=_CREATE_HELP)(create)
    app.command(name="list")(list_spaces)
    app.command()(show)
    app.command()(watch)
    app.command()(update)
    app.command()(enable)
    app.command()(disable)
    app.command()(delete)
    return app


def create(  # noqa: PLR0913  (a command's options)
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="What workers and clients call it.")],
    *,
    inputs: Inputs = None,
    description: Description = None,
    visibility: Seen = None,
    tenant: Annotated[str | None, typer.Option(help="Whose it is; admins only.")] = None,
    max_connections: MaxConnections = None,
    when_offline: Offline = None,
    max_queue: MaxQueue = None,
    queue_timeout_s: QueueTimeout = None,
    run_timeout_s: RunTimeout = None,
    timeout_s: TotalTimeout = None,
    max_attempts: MaxAttempts = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Where to write the worker token; a new file.")
    ] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Make only the space.")] = False,
    as_json: Json = False,
) -> None:
    """See _CREATE_HELP."""
    out = Output(as_json=as_json)
    policy = changes(
        max_connections=max_connections,
        when_offline=when_offline,
        max_queue=max_queue,
        queue_timeout_s=queue_timeout_s,
        run_timeout_s=run_timeout_s,
        timeout_s=timeout_s,
        max_attempts=max_attempts,
    )

    async def work(spaces: AsyncSpaces) -> None:
        space = await spaces.create_space(
            name,
            description=description or "",
            inputs=inputs or [InputKind.PROMPT],
            policy=policy,
            visibility=visibility,
            tenant=tenant,
        )
        if no_token:
            _show_space(out, space)
            return
        out.say(f"space {space.tenant_name}/{space.name} is made (id {space.space_id})")
        tenant_id = space.tenant_id if tenant else None
        await _give_token(spaces, out, space, tenant_id=tenant_id, token_file=token_file)

    run(ctx, out, work)


async def _give_token(
    spaces: AsyncSpaces,
    out: Output,
    space: Space,
    *,
    tenant_id: str | None,
    token_file: Path | None,
) -> None:
    # An admin's credentials belong to its first tenant unless told otherwise; a key's own tenant needs no telling.
    made = await spaces.create_worker_token(
        [space.space_id], name=f"worker for {space.name}", tenant=tenant_id
    )
    path = write_secret(token_file or token_path(space.name), made.secret)
    command = worker_command(spaces, worker_ref(space), path, "run", "handler.py")
    if out.as_json:
        out.document({"space": space, "token_file": str(path), "worker_command": command})
        return
    out.say(f"worker token is in {path}: only you can read it; take it to the worker's host")
    out.say("start a worker with your handler, on a host that can reach the gateway:")
    out.text(shlex.join(command))
    out.say("or see it work first, without a handler:")
    out.say(shlex.join(worker_command(spaces, worker_ref(space), path, "mock")))


def worker_command(spaces: AsyncSpaces, space: str, token_file: Path, *words: str) -> list[str]:
    """The command that starts a worker, complete."""
    trust = [] if spaces.ca_file is None else ["--ca-file", str(spaces.ca_file.absolute())]
    options = ["--space", space, "--gateway", spaces.url, "--token-file", str(token_file), *trust]
    return ["spaces-worker", *words, *options]


def worker_ref(space: Space) -> str:
    """What a worker calls the space: its name, unless the worker's command would read that otherwise."""
    return space.space_id if "," in space.name or space.name.startswith("-") else space.name


def list_spaces(
    ctx: typer.Context,
    *,
    name: Annotated[str | None, typer.Option(help="Only spaces of this name.")] = None,
    as_json: Json = False,
) -> None:
    """List the spaces that you see."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        found: list[Space] = []
        cursor: str | None = None
        while True:
            page = await spaces.list_spaces(name=name, limit=200, cursor=cursor)
            found.extend(page.spaces)
            cursor = page.next_cursor
            if cursor is None:
                break
        if as_json:
            for space in found:
                out.document(space)
            return
        columns = ("space", "state", "workers", "inputs", "id")
        out.rows(columns, [_row(space) for space in found])

    run(ctx, out, work)


def show(ctx: typer.Context, space: Ref, *, as_json: Json = False) -> None:
    """Show a space, its queue and its workers."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        found = await spaces.get_space(space)
        queue = await spaces.queue(found.space_id)
        workers = await spaces.connections(found.space_id)
        if as_json:
            out.document({"space": found, "queue": queue, "connections": list(workers)})
            return
        _show_space(out, found)
        out.fields(
            {
                "queued": str(queue.queue_size),
                "running": str(queue.running),
                "slots": str(queue.slots),
                "wait": None if queue.eta_s is None else f"about {wording.seconds(queue.eta_s)}",
            }
        )
        for worker in workers:
            out.text(
                f"worker {worker.connection_id} {worker.state.value} on "
                f"{worker.agent.hostname or 'unknown host'}, {worker.slots} slots"
            )

    run(ctx, out, work)


def watch(ctx: typer.Context, space: Ref, *, as_json: Json = False) -> None:
    """Tell what changes in a space until Ctrl-C."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        async with await spaces.watch_space(space) as stream:
            async for frame in stream:
                if as_json:
                    out.document(frame)
                else:
                    out.text(wording.of_space(frame))

    run(ctx, out, work)


def update(  # noqa: PLR0913  (a command's options)
    ctx: typer.Context,
    space: Ref,
    *,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    inputs: Inputs = None,
    description: Description = None,
    visibility: Seen = None,
    max_connections: MaxConnections = None,
    when_offline: Offline = None,
    max_queue: MaxQueue = None,
    queue_timeout_s: QueueTimeout = None,
    run_timeout_s: RunTimeout = None,
    timeout_s: TotalTimeout = None,
    max_attempts: MaxAttempts = None,
    as_json: Json = False,
) -> None:
    """Change what is given and leave the rest."""
    policy = changes(
        max_connections=max_connections,
        when_offline=when_offline,
        max_queue=max_queue,
        queue_timeout_s=queue_timeout_s,
        run_timeout_s=run_timeout_s,
        timeout_s=timeout_s,
        max_attempts=max_attempts,
    )
    _update(
        ctx,
        as_json,
        space,
        changes(
            name=name,
            inputs=inputs,
            description=description,
            visibility=visibility,
            policy=policy or None,
        ),
    )


def enable(ctx: typer.Context, space: Ref, *, as_json: Json = False) -> None:
    """Take requests again."""
    _update(ctx, as_json, space, {"enabled": True})


def disable(ctx: typer.Context, space: Ref, *, as_json: Json = False) -> None:
    """Take no requests until it is enabled again."""
    _update(ctx, as_json, space, {"enabled": False})


def delete(
    ctx: typer.Context,
    space: Ref,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove a space; what is queued or running in it is cancelled."""
    if not yes:
        typer.confirm(f"Delete {space} and cancel what is queued or running?", abort=True, err=True)
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        await spaces.delete_space(space)
        out.done({"deleted": space}, f"space {space} is deleted")

    run(ctx, out, work)


def _update(ctx: typer.Context, as_json: bool, space: str, what: dict[str, Any]) -> None:
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        _show_space(out, await spaces.update_space(space, **what))

    run(ctx, out, work)


def _show_space(out: Output, space: Space) -> None:
    if out.as_json:
        out.document(space)
        return
    policy = space.policy
    out.fields(
        {
            "space": f"{space.tenant_name}/{space.name}",
            "id": space.space_id,
            "description": space.description,
            "state": _state(space),
            "visibility": space.visibility.value,
            "inputs": [kind.value for kind in space.inputs],
            "workers": f"{space.connections} of {policy.max_connections}",
            "offline": policy.when_offline.value,
            "max queue": str(policy.max_queue),
            "timeouts": f"queue {policy.queue_timeout_s:g} s, run {policy.run_timeout_s:g} s, "
            f"total {policy.timeout_s:g} s",
            "attempts": str(policy.max_attempts),
        }
    )


def _row(space: Space) -> tuple[object, ...]:
    return (
        f"{space.tenant_name}/{space.name}",
        _state(space),
        f"{space.connections}/{space.policy.max_connections}",
        [kind.value for kind in space.inputs],
        space.space_id,
    )


def _state(space: Space) -> str:
    if not space.enabled:
        return "disabled"
    return "connected" if space.connected else "not connected"
