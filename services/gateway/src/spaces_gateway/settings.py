"""The gateway's settings: field `x` is `SPACES_GATEWAY_X`, else `SPACES_X`."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field, IPvAnyNetwork, SecretStr

from spaces_chassis.settings import BusSettings, HttpSettings, LogSettings, Settings

MIB = 1_048_576


class GatewaySettings(BusSettings, HttpSettings, LogSettings, Settings):
    """Everything a gateway can be told."""

    service: ClassVar[str] = "gateway"

    port: int = Field(
        default=8080, ge=0, le=65535, description="port to listen on; 0 takes a free one"
    )
    files_dir: Path = Field(
        default=Path("files"),
        description="directory for uploaded files and results; all gateways share it",
    )
    files_url: str | None = Field(
        default=None, description="object store instead of a directory, such as s3://bucket/prefix"
    )
    max_file_bytes: int = Field(
        default=1024 * MIB,
        ge=1,
        description="largest file a client uploads, and a worker as result",
    )
    files_keep_days: int = Field(
        default=7,
        ge=1,
        le=3650,
        description="days after which uploaded files and results are removed",
    )
    signing_key: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="signs file addresses; all gateways share it, without it each makes its own",
    )
    max_connections: int = Field(
        default=10_000, ge=10, description="sockets and HTTP connections one process takes"
    )
    max_unauthenticated_per_address: int = Field(
        default=1_000,
        ge=1,
        description="sockets of one address that have not said who they are; a proxy not trusted is one",
    )
    allowed_origins: list[str] = Field(
        default=[],
        description="origins of pages that may open browser sockets, beside the gateway's own",
    )
    trusted_proxies: list[IPvAnyNetwork] = Field(
        default=[],
        description="addresses or networks of proxies whose X-Forwarded-For and -Proto count",
    )
    drain_s: float = Field(
        default=20.0, ge=0, le=600, description="longest wait for work in flight at stop"
    )
