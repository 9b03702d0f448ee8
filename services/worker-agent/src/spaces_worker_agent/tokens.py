"""Where the worker token comes from: a file, the environment or systemd; never the command line."""

import sys
from collections.abc import Mapping
from pathlib import Path

from spaces_worker_agent.exits import Exit, Leave
from spaces_worker_agent.settings import AgentSettings

CREDENTIAL = "worker-token"  # LoadCredential=worker-token:… in a systemd unit


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


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that handlers get: foreign code does not need the token."""
    return {name: text for name, text in environ.items() if name != "SPACES_WORKER_TOKEN"}


def _from_file(path: Path) -> str:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Leave(Exit.SETTINGS, f"--token-file: {path} cannot be read: {error}") from None
    return _checked(text, f"--token-file {path}")


def _checked(text: str, source: str) -> str:
    token = text.strip()
    if not token:
        raise Leave(Exit.SETTINGS, f"{source} is empty.")
    if len(token) > 512 or any(not sign.isprintable() or sign == " " for sign in token):
        raise Leave(Exit.SETTINGS, f"{source} does not hold one token on one line.")
    return token
