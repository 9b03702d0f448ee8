"""The product's nats-server with one user more, who may do everything in CORE: who plays or watches the services."""

from pathlib import Path

from spaces_stack.nats_server import CONFIG, USERS, NatsServer
from spaces_stack.secret_files import SecretFiles

# For doubles of services and for those who look on; everybody else is refused what the product refuses.
OBSERVER = "observer"
_BEFORE = '      { user: "scheduler",'
_ADDED = f'      {{ user: "{OBSERVER}", password: $SPACES_NATS_PASSWORD_OBSERVER }}\n'
_KNOWN = 'auth_users: [ "registry-callout"'


def observed_nats(
    port: int, monitor_port: int, store_dir: Path, secrets: SecretFiles
) -> NatsServer:
    """The server; its configuration is written beside its store."""
    config = store_dir.with_name("nats-config")
    config.mkdir(parents=True, exist_ok=True)
    text = CONFIG.read_text(encoding="utf-8")
    assert text.count(_BEFORE) == text.count(_KNOWN) == 1, "server.conf was changed: see here"
    text = text.replace(_BEFORE, _ADDED + _BEFORE).replace(_KNOWN, f'{_KNOWN}, "{OBSERVER}"')
    (config / CONFIG.name).write_text(text, encoding="utf-8")
    permissions = CONFIG.with_name("permissions.conf")
    (config / permissions.name).write_text(
        permissions.read_text(encoding="utf-8"), encoding="utf-8"
    )
    return NatsServer(
        port, monitor_port, store_dir, secrets, config / CONFIG.name, (*USERS, OBSERVER)
    )
