"""`spaces-gateway`: reads the settings, builds the process and runs it."""

import sys

import uvloop

from spaces_chassis.lifecycle import run
from spaces_chassis.logs import configure_logs
from spaces_chassis.settings import SettingsError
from spaces_gateway.app import build
from spaces_gateway.settings import GatewaySettings


def main() -> None:
    """`spaces-gateway [serve]`."""
    if sys.argv[1:] not in ([], ["serve"]):
        sys.exit("usage: spaces-gateway [serve]")
    try:
        settings = GatewaySettings.from_env()
    except SettingsError as error:
        sys.exit(f"spaces-gateway: {error}")
    configure_logs(settings, "gateway")
    sys.exit(uvloop.run(_serve(settings)))


async def _serve(settings: GatewaySettings) -> int:
    gateway = build(settings)
    return await run(gateway.parts, drain_s=settings.drain_s)
