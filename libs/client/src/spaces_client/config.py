"""Where the client's settings come from: arguments, then SPACES_* variables, then ~/.config/spaces/config.toml."""

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from spaces_client.endpoint import Endpoint
from spaces_client.errors import ConfigError

_KNOWN = ("url", "api_key", "api_key_file", "ca_file", "timeout_s")


def config_path(environ: Mapping[str, str] | None = None) -> Path:
    """The file that a person may keep settings in."""
    env = os.environ if environ is None else environ
    home = Path(env.get("HOME") or Path.home())
    return Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "spaces" / "config.toml"


def load_endpoint(
    *,
    url: str | None = None,
    api_key: str | None = None,
    ca_file: str | Path | None = None,
    timeout_s: float | None = None,
    environ: Mapping[str, str] | None = None,
) -> Endpoint:
    """The gateway to speak to. Raises ConfigError when no address is known or the file is not right."""
    env = os.environ if environ is None else environ
    path = config_path(env)
    stored = _read(path)
    address = url or env.get("SPACES_URL") or stored.get("url")
    if not address:
        raise ConfigError(
            "no_url",
            "No gateway is named.",
            what_to_do=f'Set SPACES_URL, give --url, or write url = "https://..." into {path}.',
        )
    ca = ca_file or env.get("SPACES_CA_FILE") or stored.get("ca_file")
    seconds = timeout_s or env.get("SPACES_TIMEOUT_S") or stored.get("timeout_s") or 30.0
    return Endpoint(
        url=str(address),
        api_key=(api_key if api_key is not None else _api_key(env, stored)).strip(),
        ca_file=Path(ca).expanduser() if ca else None,
        timeout_s=_positive(seconds),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        stored = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(
            "config_invalid", f"{path} cannot be read: {error}.", what_to_do="Correct the file."
        ) from error
    for name in stored:
        if name not in _KNOWN:
            near = get_close_matches(name, _KNOWN, 1) or list(_KNOWN)
            raise ConfigError(
                "config_invalid",
                f"{path} has the unknown setting {name!r}.",
                what_to_do=f"Did you mean {', '.join(near)}?",
            )
    return stored


def _api_key(env: Mapping[str, str], stored: Mapping[str, Any]) -> str:
    # The environment as a whole comes before the file: a key stored there must not beat SPACES_API_KEY_FILE.
    for source, key, file in (
        (env, "SPACES_API_KEY", "SPACES_API_KEY_FILE"),
        (stored, "api_key", "api_key_file"),
    ):
        if source.get(key):
            return str(source[key])
        if source.get(file):
            return read_key_file(Path(str(source[file])).expanduser())
    return ""


def read_key_file(path: Path) -> str:
    """The key in a file. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(
            "api_key_file_invalid",
            f"The API key file {path} cannot be read: {error}.",
            what_to_do="Give a file that holds the key alone.",
        ) from error


def _positive(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise ConfigError(
            "timeout_invalid", f"{value!r} is not a number of seconds.", what_to_do="Write 30."
        )
    return seconds
