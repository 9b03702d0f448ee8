"""Commands about join tokens: `spaces joins`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from spaces_client.client import AsyncSpaces
from spaces_client.commands.output import Output
from spaces_client.commands.secret_files import token_path, write_secret
from spaces_client.commands.session import Json, run
from spaces_client.commands.spaces import worker_command
from spaces_contracts.joins import DEFAULT_LIFE_S, JoinToken


def build() -> typer.Typer:
    """The group `spaces joins`."""
    app = typer.Typer(
        help="Join tokens: each lets one machine get a worker token of its own, once.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.command(name="create")(create)
    app.command(name="list")(list_)
    app.command(name="revoke")(revoke)
    return app


def create(
    ctx: typer.Context,
    space: Annotated[list[str], typer.Option(help="A space that it may serve. Repeatable.")],
    *,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    expires_in_s: Annotated[
        float, typer.Option(help="Seconds in which it can be used.")
    ] = DEFAULT_LIFE_S,
    file: Annotated[
        Path | None, typer.Option("--file", help="Write the secret to this new file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a join token; it goes into a file that only you can read."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        made = await spaces.joins.create(space, name=name, expires_in_s=expires_in_s)
        path = write_secret(file or token_path(space[0]).with_suffix(".join"), made.secret)
        command = worker_command(spaces, ",".join(space), path, "run", "handler.py")
        command[command.index("--token-file")] = "--join-token-file"
        if as_json:
            where = {"token_file": str(path), "worker_command": command}
            out.document({"join_token": made.join_token} | where)
            return
        out.say(f"join token is in {path}: take it to one machine; it is good once")
        out.text(shlex.join(command))

    run(ctx, out, work)


def list_(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List join tokens, used and revoked ones too, without their secrets."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        found = await spaces.joins.list()
        if as_json:
            for one in found:
                out.document(one)
            return
        names = ("id", "name", "begins", "spaces", "until", "state")
        out.rows(names, [_row(one) for one in found])

    run(ctx, out, work)


def revoke(
    ctx: typer.Context,
    join: Annotated[str, typer.Argument(help="The id in the list.")],
    *,
    as_json: Json = False,
) -> None:
    """Take a join token back that nobody has used."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        await spaces.joins.revoke(join)
        out.done({"revoked": join}, f"{join} is revoked")

    run(ctx, out, work)


def _row(one: JoinToken) -> tuple[object, ...]:
    state = "used" if one.used_at else "revoked" if one.revoked_at else "open"
    return one.join_id, one.name, one.prefix, one.space_ids, one.expires_at, state
