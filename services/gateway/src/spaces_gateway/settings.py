"""The gateway's settings: field `x` is `SPACES_GATEWAY_X`, else `SPACES_X`."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, IPvAnyNetwork, SecretStr, field_validator, model_validator

from spaces_chassis.settings import BusSettings, HttpSettings, LogSettings, Settings
from spaces_gateway.origins import NotAnOrigin, read_origin

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
    web_dir: Path | None = Field(
        default=None, description="directory of a built web application instead of the package's"
    )
    files_url: str | None = Field(
        default=None, description="object store instead of a directory, such as s3://bucket/prefix"
    )
    max_file_bytes: int = Field(
        default=1024 * MIB,
        ge=1,
        description="largest file a client uploads, and a worker as result",
    )
    max_image_pixels: int = Field(
        default=100_000_000,
        ge=1,
        description="most pixels that an uploaded image may say it has",
    )
    max_unpacked_bytes: int = Field(
        default=4096 * MIB,
        ge=MIB,
        description="most bytes that an uploaded archive or sound may unpack to",
    )
    max_unpacked_ratio: int = Field(
        default=200,
        ge=1,
        description="most times its size that an upload may unpack to, beyond 64 MiB",
    )
    nested_archives: bool = Field(
        default=False, description="whether an uploaded archive may hold archives"
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
    cors_origins: list[str] = Field(
        default=[],
        description="origins of pages that may call the HTTP API from a browser; * is any",
    )
    public_url: str | None = Field(
        default=None,
        description="where users reach the gateway, such as https://spaces.example.org; "
        "without it the gateway's own origin is the Host that a call names",
    )
    tls_cert: Path | None = Field(
        default=None,
        description="certificate chain (PEM) to serve HTTPS with; read again when it is renewed",
    )
    tls_key: Path | None = Field(
        default=None, description="the certificate's key (PEM), when it is not in the same file"
    )
    drain_s: float = Field(
        default=20.0, ge=0, le=600, description="longest wait for work in flight at stop"
    )

    @field_validator("allowed_origins", "cors_origins")
    @classmethod
    def _origins(cls, given: list[str]) -> list[str]:
        return [one if one == "*" else _origin(one) for one in given]

    @field_validator("public_url")
    @classmethod
    def _public_origin(cls, given: str | None) -> str | None:
        return None if given is None else _origin(given.rstrip("/"))

    @model_validator(mode="after")
    def _key_with_certificate(self) -> Self:
        if self.tls_key is not None and self.tls_cert is None:
            raise ValueError("tls_key needs tls_cert")
        return self


def _origin(text: str) -> str:
    try:
        return read_origin(text)
    except NotAnOrigin as error:
        raise ValueError(f"{text!r} is no origin: {error}") from None
