"""How much a tenant or a key may use, and the shared counts behind it.

Requests a minute are counted in fixed windows by the registry and leased to gateways in advance; requests at once are
counted by the scheduler, which has them; stored bytes by the registry, day by day.
"""

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from spaces_contracts.access import Act
from spaces_contracts.identifiers import Id, PrincipalId, TenantId
from spaces_contracts.limits import Limits
from spaces_contracts.message import Command, Contract, Done, Message, Reply
from spaces_contracts.subject import Subject

# What `requests_per_minute` is counted in; windows begin at whole minutes of the database's clock.
WINDOW_S = 60
# Subjects in one message.
MAX_ASKS = 256


class Usage(Contract):
    """What is used now. Null: nobody could be asked."""

    requests_this_minute: int = 0  # including what gateways hold in advance
    stored_bytes: int = 0
    concurrent: int | None = None
    queued: int | None = None


class Holder(StrEnum):
    """Whose limit."""

    TENANT = "tenant"
    KEY = "key"


class AllowanceAsk(Contract):
    """Wanted: so many requests of the running window, or of the one after it."""

    holder: Holder
    holder_id: Id
    amount: int = Field(default=1, ge=1)
    ahead: bool = False


class Allowance(Contract):
    """Granted: so many requests between two moments, counted from when this was asked.

    No `limit`: as many as are sent; the times then mean nothing.
    """

    holder: Holder
    holder_id: Id
    ahead: bool = False
    granted: int = 0
    limit: int | None = None
    used: int = 0  # of the limit, by all gateways, this grant included
    starts_in_s: float = 0.0
    ends_in_s: float = 0.0
    concurrent: int | None = None
    queued: int | None = None


class Allowances(Reply):
    """One for each ask."""

    allowances: list[Allowance] = []


class TakeAllowance(Command[Allowances]):
    """Leases requests to a gateway; what it does not use is lost when the window ends."""

    subject: ClassVar = Subject("rpc.reg.allowance_take")
    reply: ClassVar = Allowances
    asks: list[AllowanceAsk] = Field(max_length=MAX_ASKS)


class CountAsk(Contract):
    """Whose open requests; a key's are looked for in its tenant's spaces."""

    holder: Holder
    holder_id: Id
    tenant_id: TenantId


class OpenRequests(Contract):
    """Requests that have not ended, and how many of them wait."""

    holder: Holder
    holder_id: Id
    concurrent: int = 0
    queued: int = 0


class OpenRequestsReply(Reply):
    """One for each ask."""

    counts: list[OpenRequests] = []


class CountOpenRequests(Command[OpenRequestsReply]):
    """How many requests of some tenants and keys have not ended."""

    subject: ClassVar = Subject("rpc.sched.open_requests")
    reply: ClassVar = OpenRequestsReply
    asks: list[CountAsk] = Field(max_length=MAX_ASKS)


class KeyLimits(Contract):
    """A key that has limits of its own."""

    principal_id: PrincipalId
    limits: Limits


class QuotasReply(Reply):
    """A tenant's limits and what is used of them."""

    tenant_id: TenantId
    limits: Limits = Limits()  # its own
    effective: Limits = Limits()  # with the platform's defaults; null: no limit
    usage: Usage = Usage()
    keys: list[KeyLimits] = []


class GetQuotas(Act[QuotasReply]):
    """A tenant's limits; its members and admins. Problem: tenant_not_found."""

    subject: ClassVar = Subject("rpc.reg.quotas_get")
    reply: ClassVar = QuotasReply
    tenant_id: TenantId


LimitName = Literal["requests_per_minute", "concurrent", "queued", "stored_bytes"]


class SetQuotas(Act[QuotasReply]):
    """Changes the named limits of a tenant to the given values; admins only."""

    subject: ClassVar = Subject("rpc.reg.quotas_set")
    reply: ClassVar = QuotasReply
    tenant_id: TenantId
    changed: list[LimitName]
    limits: Limits = Limits()


class QuotaChanged(Message):
    """Limits changed: ask anew. A hint; what is leased runs out with its window."""

    subject: ClassVar = Subject("reg.quota.{changed_id}")
    changed_id: Id


class StorageAsk(Contract):
    """Room for bytes of a tenant; below zero: gives room back."""

    tenant_id: TenantId
    key_id: PrincipalId | None = None  # of the key that stores them; it may have a limit of its own
    size_bytes: int
    day: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")  # whose files are removed together


class TakeStorage(Command[Done]):
    """Counts bytes before they are stored, or gives them back. Problem: storage_full."""

    subject: ClassVar = Subject("rpc.reg.storage_take")
    reply: ClassVar = Done
    ask: StorageAsk


class ForgetStorage(Command[Done]):
    """The files of a day and of all days before it were removed."""

    subject: ClassVar = Subject("rpc.reg.storage_forget")
    reply: ClassVar = Done
    day: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
