"""Settings come from the environment, once, at start; a wrong name is an error, not a silent default."""

import difflib
import os
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

_FILE = "_FILE"


class SettingsError(Exception):
    """The environment does not make valid settings; the text says which variable and why."""


@dataclass(frozen=True)
class Variable:
    """One setting as people see it."""

    name: str
    """The service's own variable."""
    shared: str
    """The variable that all services read, which the own one overrides."""
    type: str
    default: str
    help: str
    secret: bool


class Settings(BaseModel):
    """A service's settings: field `x` is `SPACES_<SERVICE>_X`, else `SPACES_X`.

    Either name with the suffix `_FILE` names a file that holds the value, for secrets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    service: ClassVar[str]

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Reads the environment. Raises SettingsError that names the variable."""
        environ = os.environ if environ is None else environ
        _refuse_unknown(cls, environ)
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for field, info in cls.model_fields.items():
            found = _find(cls, field, environ)
            if found is not None:
                origins[field], text = found
                values[field] = _split(text) if _is_list(info) else text
        try:
            return cls(**values)
        except ValidationError as error:
            raise SettingsError(_explain(cls, error, origins)) from None

    @classmethod
    def variables(cls) -> list[Variable]:
        """All settings, for the documentation."""
        return [
            Variable(
                name=f"{_prefix(cls)}{field.upper()}",
                shared=f"SPACES_{field.upper()}",
                type=_type_name(info),
                default="required"
                if info.is_required()
                else _shown(info.get_default(call_default_factory=True)),
                help=info.description or "",
                secret=_is_secret(info),
            )
            for field, info in cls.model_fields.items()
        ]


class BusSettings(BaseModel):
    """How to reach NATS."""

    nats_url: str = Field(
        default="nats://127.0.0.1:4222",
        description="NATS servers, comma separated; tls:// asks for TLS",
    )
    nats_user: str | None = Field(default=None, description="user name at NATS")
    nats_password: SecretStr | None = Field(default=None, description="password at NATS")
    nats_token: SecretStr | None = Field(
        default=None, description="token at NATS, instead of user and password"
    )
    nats_ca_file: Path | None = Field(
        default=None, description="certificates that NATS's own is checked against"
    )
    nats_cert_file: Path | None = Field(
        default=None, description="this process's certificate for NATS"
    )
    nats_key_file: Path | None = Field(default=None, description="the key of that certificate")


class DatabaseSettings(BaseModel):
    """How to reach PostgreSQL."""

    postgres_url: SecretStr = Field(
        default=SecretStr("postgresql://127.0.0.1:5432/spaces"),
        description="PostgreSQL address with user, password, sslmode, sslrootcert and so on",
    )
    postgres_pool: int = Field(default=8, ge=1, le=200, description="connections in the pool")


class LogSettings(BaseModel):
    """How to log."""

    log_format: Literal["json", "human", "auto"] = Field(
        default="auto", description="json, human, or auto: human on a terminal"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="lowest level that is written"
    )


class HttpSettings(BaseModel):
    """Where the process answers HTTP."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(
        default=0, ge=0, le=65535, description="port to listen on; 0 takes a free one"
    )


def _prefix(cls: type[Settings]) -> str:
    return f"SPACES_{cls.service.upper().replace('-', '_')}_"


def _refuse_unknown(cls: type[Settings], environ: Mapping[str, str]) -> None:
    prefix = _prefix(cls)
    known = [f"{prefix}{field.upper()}" for field in cls.model_fields]
    # A field may itself begin like the service: SPACES_GATEWAY_URL is then also field `gateway_url`.
    shared = {f"SPACES_{field.upper()}" for field in cls.model_fields}
    for name in environ:
        bare = name.removesuffix(_FILE)
        if not name.startswith(prefix) or {name, bare} & (shared | set(known)):
            continue
        nearest = difflib.get_close_matches(bare, known, n=1, cutoff=0.0)
        raise SettingsError(
            f"{name} is not a setting of {cls.service}; the nearest is {nearest[0]}"
        )


def _find(cls: type[Settings], field: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    for name in (f"{_prefix(cls)}{field.upper()}", f"SPACES_{field.upper()}"):
        # Charts and compose files pass empty values for what was left out.
        direct, file = environ.get(name) or None, environ.get(name + _FILE) or None
        # A field such as `nats_ca_file` ends in _FILE itself: then SPACES_NATS_CA_FILE is its plain name.
        if direct is not None and file is not None:
            raise SettingsError(f"{name} and {name}{_FILE} are both set; keep one")
        if direct is not None:
            return name, direct
        if file is not None:
            return name + _FILE, _read(name + _FILE, file)
    return None


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{name}: cannot read {path}: {error.strerror}") from None


def _explain(cls: type[Settings], error: ValidationError, origins: Mapping[str, str]) -> str:
    lines = []
    for item in error.errors(include_input=False, include_url=False):
        field = str(item["loc"][0]) if item["loc"] else ""
        name = origins.get(field, f"{_prefix(cls)}{field.upper()}") if field else cls.service
        lines.append(f"{name}: {item['msg']}")
    return "; ".join(lines)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _arms(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the type itself."""
    return (
        get_args(annotation)
        if get_origin(annotation) in (Union, types.UnionType)
        else (annotation,)
    )


def _is_list(info: FieldInfo) -> bool:
    return any(get_origin(arm) in (list, tuple, set, frozenset) for arm in _arms(info.annotation))


def _is_secret(info: FieldInfo) -> bool:
    return SecretStr in _arms(info.annotation)


def _type_name(info: FieldInfo) -> str:
    names = []
    for arm in _arms(info.annotation):
        if arm is type(None):
            continue
        if get_origin(arm) is Literal:
            names.append(" | ".join(map(str, get_args(arm))))
        elif get_origin(arm) in (list, tuple, set, frozenset):
            names.append("comma separated")
        else:
            names.append({"SecretStr": "secret", "str": "text"}.get(arm.__name__, arm.__name__))
    return " | ".join(names)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
