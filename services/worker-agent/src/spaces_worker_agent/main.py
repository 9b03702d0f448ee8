"""The command `spaces-worker`."""

import asyncio
import os
import sys
from typing import Annotated, Any, Never

import typer

from spaces_chassis.logs import configure_logs
from spaces_worker_agent.app import Plan, run_agent
from spaces_worker_agent.exits import Exit
from spaces_worker_agent.flags import with_flags
from spaces_worker_agent.settings import AgentSettings, SettingsError, resolve
from spaces_worker_agent.tokens import without_secrets

MOCK = "spaces_worker_agent.mock:handler"
UPSTREAM = "spaces_worker_agent.upstream:Model"

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


def main() -> None:
    """Entry point."""
    app()


def run(
    target: Annotated[
        str | None, typer.Argument(help="module.py[:name] or package.module:name")
    ] = None,
    **flags: Any,
) -> None:
    """Serve a space with a handler of yours, or with an OpenAI-compatible server.

    \b
    spaces-worker run model.py --space my-space --gateway https://spaces.example --token-file token
    spaces-worker run package.module:Model --space team/ocr,team/ocr-fast --slots 2 …
    spaces-worker run --upstream http://127.0.0.1:11434/v1 --upstream-model llama3.2 --space chat …
    """
    settings = settings_from(flags)
    environment = without_secrets(os.environ)
    if settings.upstream is not None:
        if target is not None:
            stop(Exit.USAGE, "Give a handler or --upstream, not both.")
        from spaces_worker_agent.upstream import environment_for

        environment |= environment_for(settings)
        target = UPSTREAM
    if target is None:
        stop(Exit.USAGE, "Give a handler, such as model.py, or --upstream URL.")
    serve(Plan(settings, str(target), environment))


def mock(**flags: Any) -> None:
    """Serve a space with a stand-in that answers after a second: 25, 50, 75 % progress, then a result.

    \b
    spaces-worker mock --space my-space --gateway https://spaces.example --token-file token
    """
    serve(Plan(settings_from(flags), MOCK, without_secrets(os.environ)))


def settings_from(flags: dict[str, Any]) -> AgentSettings:
    """The settings, complete; ends the command with a clear text when they are not."""
    try:
        settings = resolve(flags, os.environ).settings
    except SettingsError as error:
        stop(Exit.SETTINGS, str(error))
    if not settings.space:
        stop(Exit.SETTINGS, "No space. Say which one to serve with --space NAME.")
    return settings


def serve(plan: Plan) -> None:
    """Runs the agent and ends the process with its exit code."""
    from spaces_worker_agent.showing import make_watcher

    configure(plan.settings)
    with make_watcher(plan.settings) as watcher:
        leave = asyncio.run(run_agent(plan, watcher))
    stop(leave.exit_code, str(leave))


def configure(settings: AgentSettings) -> None:
    """Logs go to standard error, so that standard output stays for data."""
    from spaces_chassis.settings import LogSettings

    configure_logs(LogSettings(log_format=settings.log_format), "worker")


def stop(code: Exit, message: str) -> Never:
    """Ends the command."""
    sys.stderr.write(f"spaces-worker: {message}\n")
    raise typer.Exit(code)


app.command("run")(with_flags(run))
app.command("mock")(
    with_flags(mock, leave_out=frozenset({"upstream", "upstream_model", "upstream_key_file"}))
)
