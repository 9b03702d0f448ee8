"""The audit log: who did what to which object, from where, and what became of it."""

from datetime import datetime
from typing import Any, ClassVar

from spaces_contracts.access import Act
from spaces_contracts.identifiers import Id, TenantId
from spaces_contracts.message import Contract, Reply
from spaces_contracts.subject import Subject


class AuditEntry(Contract):
    """One thing that somebody did or tried."""

    audit_id: int
    at: datetime
    action: str  # the command's name, such as CreateSpace
    principal_id: str | None = None  # None: not known (yet)
    principal_kind: str | None = None
    principal_name: str = ""
    user_id: str | None = None
    client_address: str = ""
    tenant_id: TenantId | None = None  # whose data it is about
    object_id: str | None = None
    details: dict[str, Any] = {}  # what was asked for; never a secret
    outcome: str | None = (
        None  # "done", or a problem's code; None: being done, or a process died doing it
    )


class AuditPage(Reply):
    """Entries, newest first."""

    entries: list[AuditEntry] = []
    next_cursor: str | None = None


class ListAudit(Act[AuditPage]):
    """The entries about a tenant's data; all of them for admins."""

    subject: ClassVar = Subject("rpc.reg.audit_list")
    reply: ClassVar = AuditPage
    limit: int = 50
    cursor: str | None = None
    action: str | None = None
    object_id: str | None = None
    user_id: Id | None = None
