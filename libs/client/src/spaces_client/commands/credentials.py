"""Commands about credentials: worker tokens and API keys."""

import shlex
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from spaces_client.client import AsyncSpaces
from spaces_client.commands.output import Output
from spaces_client.commands.secret_files import token_path, write_secret
from spaces_client.commands.session import Json, run
from spaces_client.commands.spaces import worker_command
from spaces_client.models import NewCredential
from spaces_contracts.access import Credential

Tenant = Annotated[str | None, typer.Option(help="Whose it is; admins only.")]
SecretFile = Annotated[
    Path | None, typer.Option("--file", help="Write the secret to this new file.")
]
Revoked = Annotated[str, typer.Argument(help="The id in the list.")]


def build_tokens() -> typer.Typer:
    """The group `spaces tokens`."""
    app = typer.Typer(
        help="Worker tokens: what lets a worker serve a space.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.command(name="create")(create_token)
    app.command(name="list")(list_tokens)
    app.command(name="revoke")(revoke_token)
    return app


def build_keys() -> typer.Typer:
    """The group `spaces keys`."""
    app = typer.Typer(
        help="API keys: what lets a program use spaces.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.command(name="create")(create_key)
    app.command(name="list")(list_keys)
    app.command(name="revoke")(revoke_key)
    return app


def create_token(
    ctx: typer.Context,
    space: Annotated[list[str], typer.Option(help="A space that it may serve. Repeatable.")],
    *,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    tenant: Tenant = None,
    file: SecretFile = None,
    as_json: Json = False,
) -> None:
    """Make a worker token; it goes into a file that only you can read."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        made = await spaces.create_worker_token(space, name=name, tenant=tenant)
        path = write_secret(file or token_path(space[0]), made.secret)
        command = worker_command(spaces, ",".join(space), path, "run", "handler.py")
        if as_json:
            credential = made.credential
            out.document(
                {"credential": credential, "token_file": str(path), "worker_command": command}
            )
            return
        out.say(f"worker token is in {path}: only you can read it; take it to the worker's host")
        out.text(shlex.join(command))

    run(ctx, out, work)


def create_key(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="For people.")],
    *,
    tenant: Tenant = None,
    file: SecretFile = None,
    as_json: Json = False,
) -> None:
    """Make an API key; without --file it is printed, this once."""
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        made = await spaces.create_key(name, tenant=tenant)
        _show_key(out, made, write_secret(file, made.secret) if file else None)

    run(ctx, out, work)


def _show_key(out: Output, made: NewCredential, path: Path | None) -> None:
    if out.as_json:
        where = {"key_file": str(path)} if path else {"secret": made.secret}
        out.document({"credential": made.credential} | where)
    elif path:
        out.say(f"API key is in {path}: only you can read it")
        out.text(f"export SPACES_API_KEY_FILE={shlex.quote(str(path))}")
    else:
        out.text(made.secret)
        out.say("this is the only time it is shown")


def list_tokens(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List worker tokens, revoked ones too, without their secrets."""

    async def read(spaces: AsyncSpaces) -> Sequence[Credential]:
        return (await spaces.list_worker_tokens()).credentials

    _list(ctx, as_json, read)


def list_keys(ctx: typer.Context, *, as_json: Json = False) -> None:
    """List API keys, revoked ones too, without their secrets."""

    async def read(spaces: AsyncSpaces) -> Sequence[Credential]:
        return (await spaces.list_keys()).credentials

    _list(ctx, as_json, read)


def revoke_token(ctx: typer.Context, token: Revoked, *, as_json: Json = False) -> None:
    """End a worker token now; its workers are disconnected."""
    _revoke(ctx, as_json, token, lambda spaces: spaces.revoke_worker_token(token))


def revoke_key(ctx: typer.Context, key: Revoked, *, as_json: Json = False) -> None:
    """End an API key now."""
    _revoke(ctx, as_json, key, lambda spaces: spaces.revoke_key(key))


def _list(
    ctx: typer.Context,
    as_json: bool,
    read: Callable[[AsyncSpaces], Awaitable[Sequence[Credential]]],
) -> None:
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        credentials = await read(spaces)
        if as_json:
            for credential in credentials:
                out.document(credential)
            return
        out.rows(("id", "name", "begins", "spaces", "state"), [_row(made) for made in credentials])

    run(ctx, out, work)


def _revoke(
    ctx: typer.Context,
    as_json: bool,
    which: str,
    revoke: Callable[[AsyncSpaces], Awaitable[None]],
) -> None:
    out = Output(as_json=as_json)

    async def work(spaces: AsyncSpaces) -> None:
        await revoke(spaces)
        out.done({"revoked": which}, f"{which} is revoked")

    run(ctx, out, work)


def _row(credential: Credential) -> tuple[object, ...]:
    principal = credential.principal
    return (
        principal.principal_id,
        principal.name,
        credential.prefix,
        principal.space_ids,
        "revoked" if credential.revoked_at else "active",
    )
