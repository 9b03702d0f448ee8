"""What the registry needs from its environment."""

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


class RegistrySettings(Settings, BusSettings, DatabaseSettings, LogSettings, HttpSettings):
    """Settings of `spaces-registry`, read from SPACES_REGISTRY_* and SPACES_*."""

    service: ClassVar[str] = "registry"

    admin_key_file: Path | None = Field(
        None,
        description="where the first admin key is; made with mode 0600 when there is no admin yet",
    )
    sys_user: str | None = Field(
        None, description="NATS user of the system account; without one nobody tells who left"
    )
    sys_password: SecretStr | None = Field(None, description="password of that user")
    callout_user: str | None = Field(
        None, description="NATS user of the auth callout; without one no direct worker gets in"
    )
    callout_password: SecretStr | None = Field(None, description="password of that user")
    issuer_seed: SecretStr | None = Field(
        None, description="seed of the account key that signs users in the auth callout"
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
