"""The command `spaces-scheduler`: serve, migrate."""

import argparse
import asyncio
import sys

import uvloop

from spaces_chassis.lifecycle import run
from spaces_chassis.logs import configure_logs
from spaces_chassis.settings import SettingsError
from spaces_scheduler import schema
from spaces_scheduler.app import Scheduler
from spaces_scheduler.settings import SchedulerSettings

_COMMANDS = {
    "serve": "queue and dispatch requests until SIGTERM (the default)",
    "migrate": "bring the tables up to date; SPACES_POSTGRES_URL names the role that owns them",
}


def main() -> None:
    """Runs the command; the exit status is 1 for wrong settings."""
    parser = argparse.ArgumentParser(prog="spaces-scheduler", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, help_text in _COMMANDS.items():
        commands.add_parser(name, help=help_text)
    command = parser.parse_args().command or "serve"
    try:
        settings = SchedulerSettings.from_env()
    except SettingsError as error:
        sys.exit(f"spaces-scheduler: {error}")
    configure_logs(settings, "scheduler")
    if command == "migrate":
        asyncio.run(schema.apply(settings.postgres_url.get_secret_value()))
    else:
        sys.exit(uvloop.run(run(Scheduler(settings).parts)))
