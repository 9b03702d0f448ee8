"""The command `spaces-registry`: serve, migrate, admin-key."""

import argparse
import asyncio
import sys

import uvloop

from spaces_chassis.database import Database
from spaces_chassis.lifecycle import run
from spaces_chassis.logs import configure_logs
from spaces_chassis.settings import SettingsError
from spaces_contracts.access import PrincipalKind
from spaces_contracts.keys import new_key
from spaces_registry import schema
from spaces_registry.access_store import AccessStore
from spaces_registry.admin_key import new_admin
from spaces_registry.app import Registry
from spaces_registry.settings import RegistrySettings

_COMMANDS = {
    "serve": "answer on the bus until SIGTERM (the default)",
    "migrate": "bring the tables up to date; SPACES_POSTGRES_URL names the role that owns them",
    "admin-key": "make one more admin key and print it",
}


def main() -> None:
    """Runs the command; the exit status is 2 for wrong settings."""
    parser = argparse.ArgumentParser(prog="spaces-registry", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, help_text in _COMMANDS.items():
        commands.add_parser(name, help=help_text)
    command = parser.parse_args().command or "serve"
    try:
        settings = RegistrySettings.from_env()
    except SettingsError as error:
        sys.exit(f"spaces-registry: {error}")
    configure_logs(settings, "registry")
    if command == "migrate":
        asyncio.run(schema.apply(settings.postgres_url.get_secret_value()))
    elif command == "admin-key":
        print(asyncio.run(_one_more_admin(settings)))
    else:
        sys.exit(uvloop.run(run(Registry(settings).parts)))


async def _one_more_admin(settings: RegistrySettings) -> str:
    database = Database.from_settings(settings, name="registry admin-key")
    await database.start()
    try:
        key = new_key(PrincipalKind.ADMIN)
        await AccessStore(database).add_admin(new_admin(key, "made by the command admin-key"))
        return key
    finally:
        await database.stop()
