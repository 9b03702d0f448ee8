"""The command `spaces-stack`: the whole platform on one machine."""

import sys
import time
import urllib.parse
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from spaces_stack.child import StartError
from spaces_stack.console import Console
from spaces_stack.demo.catalogue import FIRST_STEPS
from spaces_stack.demo.report import run_demo
from spaces_stack.demo.run import DemoError, require_models
from spaces_stack.platform import answers_ok
from spaces_stack.session import started
from spaces_stack.state_dir import StateDir

app = typer.Typer(
    help="The whole platform on one machine: nats-server, PostgreSQL and the services.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
P = ParamSpec("P")

GatewayPort = Annotated[
    int, typer.Option(help="Port of the gateway; another one when it is taken.")
]
Count = Annotated[int, typer.Option(min=1, max=16, help="How many processes.")]


def main() -> None:
    """Runs the command line."""
    app()


def explained(function: Callable[P, None]) -> Callable[P, None]:
    """Ends the command with a sentence instead of a traceback when the stack cannot start or stop."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except (StartError, DemoError) as error:
            print(f"spaces-stack: {error}", file=sys.stderr)
            raise typer.Exit(1) from None

    return run


@app.command()
@explained
def up(
    gateway_port: GatewayPort = 8080,
    gateways: Count = 1,
    registries: Count = 1,
    schedulers: Count = 1,
) -> None:
    """Starts everything and stays until Ctrl-C."""
    counts = {"gateways": gateways, "registries": registries, "schedulers": schedulers}
    with started(StateDir.default(), gateway_port, **counts) as stack:
        stack.wait()


@app.command()
@explained
def demo(
    check: Annotated[bool, typer.Option(help="Without a person: run, verify, stop.")] = False,
    gateway_port: GatewayPort = 8080,
) -> None:
    """Starts everything with three spaces on real models, and sends one request through each."""
    require_models()
    with started(StateDir.default(), None if check else gateway_port) as stack:
        run_demo(stack)
        if not check:
            stack.wait(first_steps=FIRST_STEPS, show_password=True)


@app.command()
@explained
def down() -> None:
    """Stops the stack that runs in this folder."""
    stopped = StateDir.default().stop_running()
    print("stopped" if stopped else "nothing runs here")


@app.command()
def status() -> None:
    """Shows what runs and whether it is ready. Exit code 1 when something is not."""
    running = StateDir.default().running()
    if running is None:
        print("nothing runs here")
        raise typer.Exit(1)
    ready = {name: answers_ok(url) for name, url in running.health_urls.items()}
    for name, url in running.health_urls.items():
        print(f"{name:<14} {'ready' if ready[name] else 'NOT READY':<10} {_origin(url)}")
    raise typer.Exit(0 if all(ready.values()) else 1)


@app.command()
def logs(
    program: Annotated[str, typer.Argument(help="One program; all when not given.")] = "*",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.")] = 50,
) -> None:
    """Prints the end of the logs, each line with the program's name before it."""
    paths = sorted(StateDir.default().logs.glob(f"{program}.log"))
    if not paths:
        print(f"no log of {program}", file=sys.stderr)
        raise typer.Exit(1)
    console = Console(sys.stdout)
    ends = {}
    for path in paths:
        text = path.read_text(errors="replace")
        ends[path] = path.stat().st_size
        for line in text.splitlines()[-lines:]:
            console.line(path.stem, line)
    while follow:
        time.sleep(0.2)
        for path, end in ends.items():
            with path.open("rb") as file:
                file.seek(end)
                grown = file.read()
            ends[path] = end + len(grown)
            for line in grown.decode(errors="replace").splitlines():
                console.line(path.stem, line)


@app.command()
def env() -> None:
    """Prints shell lines that point the client at this stack: eval "$(spaces-stack env)"."""
    state = StateDir.default()
    running = state.running()
    if running is None:
        print("nothing runs here", file=sys.stderr)
        raise typer.Exit(1)
    print(f"export SPACES_URL={running.gateway_urls[0]}")
    print(f"export SPACES_API_KEY_FILE={state.admin_key}")


@app.command()
def admin_key() -> None:
    """Prints the admin key that the registry made at its first start."""
    _print_secret(StateDir.default().admin_key)


@app.command()
def admin_password() -> None:
    """Prints the first admin's password, to sign in with as admin@spaces.internal."""
    _print_secret(StateDir.default().admin_password)


def _print_secret(path: Path) -> None:
    if not path.exists():
        print("there is none yet: start the stack once", file=sys.stderr)
        raise typer.Exit(1)
    print(path.read_text().strip())


def _origin(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
