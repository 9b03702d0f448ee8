"""What the agent can be told: one table for flags, environment, TOML file and documentation.

Flags win over the environment (SPACES_WORKER_…), that over the file, that over the defaults; each value knows where
it came from.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

PREFIX = "SPACES_WORKER_"


class SettingsError(Exception):
    """A setting is missing or wrong; the text names it and where it came from."""


class AgentSettings(BaseModel):
    """Everything about one agent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gateway: str = Field(
        default="http://127.0.0.1:8080",
        description="Address of the gateway: http(s):// or ws(s)://.",
    )
    space: tuple[str, ...] = Field(
        default=(),
        max_length=64,
        description="Space to serve: name, tenant/name or id. Repeat it, or separate by commas.",
    )
    token_file: Path | None = Field(
        default=None, description="File with the worker token; '-' reads it from standard input."
    )
    token: SecretStr | None = Field(
        default=None,
        description="The worker token itself; only as environment variable, never as a flag.",
    )
    join_token_file: Path | None = Field(
        default=None,
        description="File with a join token, which is exchanged once for a worker token.",
    )
    join_token: SecretStr | None = Field(
        default=None,
        description="The join token itself; only as environment variable, never as a flag.",
    )
    slots: int = Field(default=1, ge=1, le=1024, description="Requests that run at the same time.")
    slots_per_space: int | None = Field(
        default=None,
        ge=1,
        description="How many of them one space may have [default: all].",
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Processes among which an async handler's slots are spread.",
    )
    takeover: bool = Field(
        default=False, description="Take the place of a worker that serves the space already."
    )
    link: Literal["ws", "nats"] = Field(
        default="ws",
        description="How to reach the space: ws (through the gateway) or nats (directly).",
    )
    nats_url: str | None = Field(default=None, description="Address of NATS, for --link nats.")
    ca_file: Path | None = Field(
        default=None, description="Certificate authority to trust besides the system's (PEM)."
    )
    spool_dir: Path | None = Field(
        default=None,
        description="Where results wait for their confirmation [default: a state directory].",
    )
    cancel_grace_s: float = Field(
        default=3.0, ge=0, le=60, description="Seconds a cancelled handler has before it is killed."
    )
    drain_timeout_s: float = Field(
        default=300.0,
        ge=0,
        description="Seconds that running requests have to finish after SIGTERM.",
    )
    upstream: str | None = Field(
        default=None, description="Serve this OpenAI-compatible server instead of a handler."
    )
    upstream_model: str | None = Field(
        default=None, description="Model to ask the upstream for [default: the first it lists]."
    )
    upstream_key_file: Path | None = Field(
        default=None, description="File with the upstream's API key."
    )
    upstream_urls: Literal["refuse", "fetch"] = Field(
        default="refuse",
        description="Addresses of pictures and sounds in requests: refuse them, or fetch them here, "
        "from the public internet only.",
    )
    verbose: bool = Field(
        default=False, description="Show each request, its progress and the size of the queue."
    )
    log_format: Literal["auto", "human", "json"] = Field(
        default="auto", description="Form of the log: human on a terminal, else json."
    )
    config: Path | None = Field(default=None, description="TOML file with any of these settings.")

    @field_validator("space", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        texts = [value] if isinstance(value, str) else list(value)
        if not all(isinstance(text, str) for text in texts):
            return value
        names = [name.strip() for text in texts for name in text.split(",")]
        return tuple(dict.fromkeys(name for name in names if name))

    @field_validator("slots_per_space")
    @classmethod
    def _fits(cls, value: int | None, info: ValidationInfo) -> int | None:
        slots = info.data.get("slots")
        if value is not None and slots is not None and value > slots:
            raise ValueError(f"{value} are more than the {slots} slots; give --slots as well")
        return value


# What may not stand on a command line, because everybody on the host can read it there.
NOT_A_FLAG = frozenset({"token", "join_token"})


@dataclass(frozen=True)
class Resolved:
    """The settings, and where each value came from."""

    settings: AgentSettings
    origins: Mapping[str, str]


def default_config_files(environ: Mapping[str, str]) -> list[Path]:
    """Read when --config is not given, the first that exists."""
    home = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return [Path(home) / "spaces" / "worker.toml", Path("/etc/spaces/worker.toml")]


def resolve(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Resolved:
    """Puts all sources together. Raises SettingsError."""
    given = {name: value for name, value in flags.items() if value not in (None, [], ())}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    path, must_exist = _config_file(given, environ)
    for name, value in _read_file(path, must_exist=must_exist).items():
        values[name], origins[name] = value, f"file {path}"
    for name, text in _read_environment(environ).items():
        values[name], origins[name] = text, f"environment {PREFIX}{name.upper()}"
    for name, value in given.items():
        values[name], origins[name] = value, f"flag --{name.replace('_', '-')}"
    try:
        settings = AgentSettings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0])
        what = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{name} (from {origins.get(name, 'default')}): {what}") from None
    for name in AgentSettings.model_fields:
        origins.setdefault(name, "default")
    return Resolved(settings, origins)


def shown(resolved: Resolved) -> list[tuple[str, str, str]]:
    """Name, value and origin of each setting; secrets are hidden."""
    rows = []
    for name in AgentSettings.model_fields:
        value = getattr(resolved.settings, name)
        if isinstance(value, SecretStr):
            text = "********"
        elif isinstance(value, tuple):
            text = ",".join(value)
        else:
            text = "" if value is None else str(value)
        rows.append((name, text, resolved.origins[name]))
    return rows


def _config_file(given: Mapping[str, Any], environ: Mapping[str, str]) -> tuple[Path | None, bool]:
    named = given.get("config") or environ.get(PREFIX + "CONFIG")
    if named:
        return Path(named), True
    return next((path for path in default_config_files(environ) if path.is_file()), None), False


def _read_file(path: Path | None, *, must_exist: bool) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise SettingsError(f"--config: there is no file {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    for name in found:
        _known(name, f"{path}: {name}", AgentSettings.model_fields)
    return found


def _read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or text == "":
            continue
        name = variable.removeprefix(PREFIX).lower()
        _known(name, variable, AgentSettings.model_fields)
        found[name] = text
    return found


def _known(name: str, shown_as: str, fields: Mapping[str, Any]) -> None:
    if name not in fields:
        near = get_close_matches(name, fields, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise SettingsError(f"{shown_as} is not a setting{hint}")
