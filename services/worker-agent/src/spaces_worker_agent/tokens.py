"""Where the worker token comes from: a file, the environment or systemd; never the command line."""

import sys
from collections.abc import Mapping
from pathlib import Path

from spaces_worker_agent.exits import Exit, Leave
from spaces_worker_agent.settings import AgentSettings

CREDENTIAL = "worker-token"  # LoadCredential=worker-token:… in a systemd unit
_SECRETS = frozenset({"SPACES_WORKER_TOKEN", "SPACES_WORKER_JOIN_TOKEN"})


def read_token(settings: AgentSettings, environ: Mapping[str, str]) -> str:
    """The token. Raises Leave that says how to give one."""
    if settings.token_file is not None:
        return _from_file(settings.token_file)
    if settings.token is not None:
        return _checked(settings.token.get_secret_value(), "SPACES_WORKER_TOKEN")
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if directory and (Path(directory) / CREDENTIAL).is_file():
        return _from_file(Path(directory) / CREDENTIAL)
    raise Leave(
        Exit.SETTINGS,
        "No worker token. Save it in a file and give --token-file FILE "
        "(or SPACES_WORKER_TOKEN_FILE, SPACES_WORKER_TOKEN).",
    )


def read_join_token(settings: AgentSettings) -> str | None:
    """The join token; None without one. Raises Leave when it cannot be read, or stands beside a worker token."""
    if settings.join_token_file is None and settings.join_token is None:
        return None
    if settings.token_file is not None or settings.token is not None:
        raise Leave(Exit.SETTINGS, "Give a worker token or a join token, not both.")
    if settings.join_token_file is not None:
        return _from_file(settings.join_token_file, "--join-token-file")
    assert settings.join_token is not None
    return _checked(settings.join_token.get_secret_value(), "SPACES_WORKER_JOIN_TOKEN")


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that handlers get: foreign code does not need the tokens."""
    return {name: text for name, text in environ.items() if name not in _SECRETS}


def _from_file(path: Path, flag: str = "--token-file") -> str:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Leave(Exit.SETTINGS, f"{flag}: {path} cannot be read: {error}") from None
    return _checked(text, f"{flag} {path}")


def _checked(text: str, source: str) -> str:
    token = text.strip()
    if not token:
        raise Leave(Exit.SETTINGS, f"{source} is empty.")
    if len(token) > 512 or any(not sign.isprintable() or sign == " " for sign in token):
        raise Leave(Exit.SETTINGS, f"{source} does not hold one token on one line.")
    return token
