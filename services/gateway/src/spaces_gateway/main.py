"""`spaces-gateway`: reads the settings, builds the process and runs it."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

import uvloop

from spaces_chassis.lifecycle import run
from spaces_chassis.logs import configure_logs
from spaces_chassis.settings import SettingsError
from spaces_gateway.app import build
from spaces_gateway.settings import GatewaySettings


def main() -> None:
    """`spaces-gateway [serve] [--tls-cert FILE [--tls-key FILE]]`."""
    try:
        settings = GatewaySettings.from_env(os.environ | flags(sys.argv[1:]))
        configure_logs(settings, "gateway")
        code = uvloop.run(_serve(settings))
    except SettingsError as error:
        sys.exit(f"spaces-gateway: {error}")
    sys.exit(code)


def flags(arguments: Sequence[str]) -> Mapping[str, str]:
    """The command line as the variables that it stands for."""
    parser = argparse.ArgumentParser(
        prog="spaces-gateway",
        description="The HTTP and WebSocket edge. All settings are variables: docs/settings.md.",
        allow_abbrev=False,
    )
    parser.add_argument("command", nargs="?", choices=["serve"], default="serve")
    parser.add_argument("--tls-cert", metavar="FILE", help="certificate chain (PEM): serve HTTPS")
    parser.add_argument("--tls-key", metavar="FILE", help="its key, if in a file of its own")
    given = parser.parse_args(arguments)
    return {
        f"SPACES_GATEWAY_{name.upper()}": value
        for name in ("tls_cert", "tls_key")
        if (value := getattr(given, name))
    }


async def _serve(settings: GatewaySettings) -> int:
    gateway = build(settings)
    return await run(gateway.parts, drain_s=settings.drain_s)
