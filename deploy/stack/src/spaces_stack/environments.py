"""The environment of each service: one function a service, so that a variable is found in one place."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from spaces_stack.nats_server import NatsServer
from spaces_stack.ports import LOOPBACK
from spaces_stack.state_dir import StateDir

# Ours or another program's: a service would not know them.
_NOT_FOR_SERVICES = {
    "SPACES_STATE_DIR",
    "SPACES_GATEWAY_URL",
    "SPACES_API_KEY",
    "SPACES_POSTGRES_URL",
}


@dataclass(frozen=True)
class Servers:
    """The servers that services use: their own addresses for each role."""

    postgres_urls: Mapping[str, str]
    nats: NatsServer | None  # None: the user's own, whose credentials are in the user's environment


def migration(postgres_url: str) -> dict[str, str]:
    """For `migrate`: the role that owns the tables."""
    return _base() | {"SPACES_POSTGRES_URL": postgres_url}


def registry(servers: Servers, state: StateDir, port: int) -> dict[str, str]:
    """For `spaces-registry serve`."""
    environ = _base() | _bus(servers.nats, "registry")
    environ |= {
        "SPACES_POSTGRES_URL": servers.postgres_urls["spaces_registry"],
        "SPACES_REGISTRY_HOST": LOOPBACK,
        "SPACES_REGISTRY_PORT": str(port),
        "SPACES_REGISTRY_ADMIN_KEY_FILE": str(state.admin_key),
        "SPACES_REGISTRY_ADMIN_PASSWORD_FILE": str(state.admin_password),
    }
    if servers.nats is not None:
        environ |= {
            "SPACES_REGISTRY_SYS_USER": "registry-sys",
            "SPACES_REGISTRY_SYS_PASSWORD_FILE": _path(servers.nats.password_path("registry-sys")),
            "SPACES_REGISTRY_CALLOUT_USER": "registry-callout",
            "SPACES_REGISTRY_CALLOUT_PASSWORD_FILE": _path(
                servers.nats.password_path("registry-callout")
            ),
            "SPACES_REGISTRY_ISSUER_SEED_FILE": _path(servers.nats.issuer_seed_path()),
        }
    return environ


def scheduler(servers: Servers, port: int) -> dict[str, str]:
    """For `spaces-scheduler serve`."""
    return (
        _base()
        | _bus(servers.nats, "scheduler")
        | {
            "SPACES_POSTGRES_URL": servers.postgres_urls["spaces_scheduler"],
            "SPACES_SCHEDULER_HOST": LOOPBACK,
            "SPACES_SCHEDULER_PORT": str(port),
        }
    )


def gateway(servers: Servers, state: StateDir, port: int) -> dict[str, str]:
    """For `spaces-gateway serve`. All gateways share files and the key that signs their addresses."""
    state.secrets.get("gateway-signing-key")
    return (
        _base()
        | _bus(servers.nats, "gateway")
        | {
            "SPACES_GATEWAY_HOST": LOOPBACK,
            "SPACES_GATEWAY_PORT": str(port),
            "SPACES_GATEWAY_FILES_DIR": str(state.files),
            "SPACES_GATEWAY_SIGNING_KEY_FILE": _path(state.secrets.path("gateway-signing-key")),
        }
    )


def _base() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_SERVICES}
    # What a program prints must be in the log when it is killed.
    return {"PYTHONUNBUFFERED": "1"} | kept


def _bus(nats: NatsServer | None, user: str) -> dict[str, str]:
    if nats is None:
        return {}
    return {
        "SPACES_NATS_URL": nats.url,
        "SPACES_NATS_USER": user,
        "SPACES_NATS_PASSWORD_FILE": _path(nats.password_path(user)),
    }


def _path(path: Path) -> str:
    return str(path.absolute())
