"""The command `spaces-worker`."""

import asyncio
import dataclasses
import json
import os
import sys
from typing import Annotated, Any, Never

import typer

from spaces_chassis.logs import configure_logs
from spaces_worker_agent.app import Plan, run_agent
from spaces_worker_agent.exits import Exit
from spaces_worker_agent.flags import with_flags
from spaces_worker_agent.settings import AgentSettings, Resolved, SettingsError, resolve, shown
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
        environment |= _upstream_environment(settings)
        target = UPSTREAM
    if target is None:
        stop(Exit.USAGE, "Give a handler, such as model.py, or --upstream URL.")
    serve(Plan(settings, str(target), environment))


def _upstream_environment(settings: AgentSettings) -> dict[str, str]:
    from spaces_worker_agent import upstream

    try:
        url = upstream.check_url(settings.upstream or "")
    except upstream.UpstreamAddressError as error:
        stop(Exit.SETTINGS, f"--upstream: {error}")
    environment = {upstream.URL: url, upstream.MODEL: settings.upstream_model or ""}
    environment[upstream.URLS] = settings.upstream_urls
    if settings.upstream_key_file is not None:
        environment[upstream.KEY_FILE] = str(settings.upstream_key_file)
    return environment


def mock(**flags: Any) -> None:
    """Serve a space with a stand-in that answers after a second: 25, 50, 75 % progress, then a result.

    \b
    spaces-worker mock --space my-space --gateway https://spaces.example --token-file token
    """
    serve(Plan(settings_from(flags), MOCK, without_secrets(os.environ)))


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    **flags: Any,
) -> None:
    """Check DNS, TCP, TLS, proxy, clock, token, space, protocol and spool; say what to do.

    \b
    spaces-worker doctor --space my-space --gateway https://spaces.example --token-file token
    """
    from spaces_worker_agent.doctor import examine, report

    checks = asyncio.run(examine(_resolved(flags).settings, os.environ))
    ok = all(check.level != "fail" for check in checks)
    if as_json:
        document = {"ok": ok, "checks": [dataclasses.asdict(check) for check in checks]}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        sys.stdout.write(report(checks, colour=colour) + "\n")
    raise typer.Exit(Exit.OK if ok else Exit.CHECK_FAILED)


def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
    **flags: Any,
) -> None:
    """Show each setting and where its value comes from; secrets are hidden.

    \b
    spaces-worker config show --space my-space
    """
    rows = shown(_resolved(flags))
    if as_json:
        document = {name: {"value": value, "origin": origin} for name, value, origin in rows}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
        return
    for name, value, origin in rows:
        sys.stdout.write(f"{name:18} {value or '-':32} {origin}\n")


def settings_from(flags: dict[str, Any]) -> AgentSettings:
    """The settings, complete; ends the command with a clear text when they are not."""
    settings = _resolved(flags).settings
    if not settings.space:
        stop(Exit.SETTINGS, "No space. Say which one to serve with --space NAME.")
    return settings


def _resolved(flags: dict[str, Any]) -> Resolved:
    try:
        return resolve(flags, os.environ)
    except SettingsError as error:
        stop(Exit.SETTINGS, str(error))


def serve(plan: Plan) -> None:
    """Runs the agent and ends the process with its exit code."""
    from spaces_worker_agent.showing import make_watcher

    with make_watcher(plan.settings, os.environ) as watcher:
        # After the bars, which put log lines above themselves only if they know of them.
        configure(plan.settings)
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


_NO_UPSTREAM = frozenset({"upstream", "upstream_model", "upstream_key_file", "upstream_urls"})
config = typer.Typer(no_args_is_help=True, help="The agent's settings.")
config.command("show")(with_flags(show))
app.command("run")(with_flags(run))
app.command("mock")(with_flags(mock, leave_out=_NO_UPSTREAM))
app.command("doctor")(with_flags(doctor, leave_out=_NO_UPSTREAM))
app.add_typer(config, name="config")
