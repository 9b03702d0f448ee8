"""Most that a tenant or a key may use."""

from typing import Annotated

from pydantic import Field

from spaces_contracts.message import Contract

Count = Annotated[int, Field(ge=0, le=1_000_000_000)]
Bytes = Annotated[int, Field(ge=0, le=1 << 60)]


class Limits(Contract):
    """Most that may be used. Null: the platform's default for a tenant, no own limit for a key."""

    requests_per_minute: Count | None = None  # submits that are let in, whatever becomes of them
    concurrent: Count | None = None  # requests that have not ended
    queued: Count | None = None  # of these, requests that wait
    stored_bytes: Bytes | None = None  # files: a tenant's, or what a key uploads
