"""What the registry needs from its environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr

from spaces_chassis.settings import (
    BusSettings,
    DatabaseSettings,
    HttpSettings,
    LogSettings,
    Settings,
)
from spaces_contracts.limits import Limits
from spaces_contracts.users import Registration


@dataclass(frozen=True)
class Lifetimes:
    """In seconds: a token, a login since its last use, a session since its start."""

    access_token_s: int = 900
    login_s: int = 30 * 86_400
    session_s: int = 7 * 86_400


class RegistrySettings(Settings, BusSettings, DatabaseSettings, LogSettings, HttpSettings):
    """Settings of `spaces-registry`, read from SPACES_REGISTRY_* and SPACES_*."""

    service: ClassVar[str] = "registry"

    admin_key_file: Path | None = Field(
        default=None,
        description="where the first admin key is; made with mode 0600 when there is no admin yet",
    )
    admin_password_file: Path | None = Field(
        default=None,
        description="where the first admin's password is; made with mode 0600 when there is no admin user yet",
    )
    admin_email: str = Field(
        default="admin@spaces.internal",
        description="email of the first admin user, to sign in with",
    )
    registration: Registration = Field(
        default=Registration.INVITE,
        description="who may register: open, invite (whoever is invited), closed",
    )
    access_token_s: int = Field(
        default=900, ge=30, le=86_400, description="seconds for which an access token is good"
    )
    login_days: int = Field(
        default=30, ge=1, le=365, description="days after its last use on which a login ends"
    )
    session_hours: int = Field(
        default=168, ge=1, le=8760, description="hours after which a browser's session ends"
    )
    sys_user: str | None = Field(
        default=None,
        description="NATS user of the system account; without one nobody tells who left",
    )
    sys_password: SecretStr | None = Field(default=None, description="password of that user")
    callout_user: str | None = Field(
        default=None,
        description="NATS user of the auth callout; without one no direct worker gets in",
    )
    callout_password: SecretStr | None = Field(default=None, description="password of that user")
    issuer_seed: SecretStr | None = Field(
        default=None, description="seed of the account key that signs users in the auth callout"
    )

    @property
    def lifetimes(self) -> Lifetimes:
        """Of tokens, logins and sessions."""
        return Lifetimes(self.access_token_s, self.login_days * 86_400, self.session_hours * 3600)

    default_requests_per_minute: int | None = Field(
        default=None,
        ge=0,
        description="submits a minute of a tenant that has no limit set; none: no limit",
    )
    default_concurrent: int | None = Field(
        default=None,
        ge=0,
        description="requests of such a tenant that have not ended; none: no limit",
    )
    default_queued: int | None = Field(
        default=None, ge=0, description="requests of such a tenant that wait; none: no limit"
    )
    default_stored_bytes: int | None = Field(
        default=None, ge=0, description="bytes of files of such a tenant; none: no limit"
    )

    def default_limits(self) -> Limits:
        """The limits of a tenant that has none set."""
        return Limits(
            requests_per_minute=self.default_requests_per_minute,
            concurrent=self.default_concurrent,
            queued=self.default_queued,
            stored_bytes=self.default_stored_bytes,
        )

    def bus_as(self, user: str, password: SecretStr | None) -> BusSettings:
        """The same servers, as another NATS user."""
        return BusSettings(
            nats_url=self.nats_url,
            nats_user=user,
            nats_password=password,
            nats_token=None,
            nats_ca_file=self.nats_ca_file,
            nats_cert_file=self.nats_cert_file,
            nats_key_file=self.nats_key_file,
        )
