"""Running one command: its client, its output, and its exit code."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from spaces_client.client import AsyncSpaces
from spaces_client.commands.exits import Exit, exit_of_error
from spaces_client.commands.output import Output
from spaces_client.config import read_key_file
from spaces_client.errors import SpacesError

# A person waits: less patience than a program that must get through.
_RETRY_FOR_S = 10.0

Json = Annotated[
    bool, typer.Option("--json", help="Documents for programs: one line of JSON each.")
]


@dataclass(frozen=True)
class Connect:
    """The options before the command."""

    url: str | None = None
    api_key_file: Path | None = None
    ca_file: Path | None = None
    timeout_s: float | None = None

    def client(self) -> AsyncSpaces:
        """A client as the options, the environment and the config file say. Raises ConfigError."""
        return AsyncSpaces(
            self.url,
            read_key_file(self.api_key_file) if self.api_key_file else None,
            ca_file=self.ca_file,
            timeout_s=self.timeout_s,
            retry_for_s=_RETRY_FOR_S,
        )


Work = Callable[[AsyncSpaces], Awaitable[Exit | None]]


def run(ctx: typer.Context, out: Output, work: Work) -> None:
    """Does the work with a client and ends the process with its exit code."""
    connect: Connect = ctx.obj
    try:
        code = asyncio.run(_with_client(connect, work))
    except SpacesError as error:
        out.error(error)
        code = exit_of_error(error)
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    raise typer.Exit(code or Exit.OK)


async def _with_client(connect: Connect, work: Work) -> Exit | None:
    async with connect.client() as spaces:
        return await work(spaces)
