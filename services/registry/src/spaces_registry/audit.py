"""The audit log: noted before a thing is done, so that nothing is done without a note."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import CreateTicket, Principal
from spaces_contracts.audit import AuditPage, ListAudit
from spaces_contracts.message import Command, Reply
from spaces_contracts.problems import Code
from spaces_registry.actors import tenant_filter
from spaces_registry.audit_store import AuditStore, Note

C = TypeVar("C", bound=Command[Any])
R = TypeVar("R", bound=Reply)

DONE = "done"
MAX_PAGE = 200
# Commands called so only read.
_READS = ("Get", "List")
# One for each socket that a browser opens: no news to anybody.
_NOT_NOTED = (CreateTicket.__name__,)
# Secrets' hashes, and who acts, which has its own columns.
_LEFT_OUT = {
    "actor", "client_address", "secret_sha256", "password_digest", "new_digest", "invite_sha256", "next_sha256",
    "join_sha256", "prefix",
}  # fmt: skip
_OBJECT_IDS = (
    "space_id",
    "principal_id",
    "user_id",
    "login_id",
    "invite_id",
    "join_id",
    "connection_id",
)
_OBJECTS = ("space", "credential", "user", "invite", "join_token", "tenant", "principal")


class Audit:
    """Writes and reads the log."""

    def __init__(self, store: AuditStore) -> None:
        self._store = store

    async def noted(
        self, command: C, actor: Principal | None, handler: Callable[[C], Awaitable[R]]
    ) -> R:
        """Runs a handler between two notes; what only reads is not noted."""
        action = type(command).__name__
        if action.startswith(_READS) or action in _NOT_NOTED:
            return await handler(command)
        audit_id = await self._store.begin(_note(action, command, actor))
        try:
            reply = await handler(command)
        except ProblemError as error:
            await self._store.end(audit_id, error.problem.code.value, None, None)
            raise
        except Exception:
            await self._store.end(audit_id, Code.INTERNAL_ERROR.value, None, None)
            raise
        made = _first(reply, _OBJECTS)
        made = getattr(made, "principal", made)  # a credential is known by its principal
        own = actor.tenant_id if actor else None
        tenant_id = own or getattr(made, "tenant_id", None)
        await self._store.end(audit_id, DONE, tenant_id, _first(made, (*_OBJECT_IDS, "tenant_id")))
        return reply

    async def list(self, command: ListAudit) -> AuditPage:
        """One page, newest first."""
        limit = max(1, min(command.limit, MAX_PAGE))
        if command.cursor is not None and not command.cursor.isdigit():
            raise ProblemError.of(Code.INVALID_REQUEST, "The cursor is not one of ours")
        found = await self._store.page(
            tenant_filter(command.actor),
            before=None if command.cursor is None else int(command.cursor),
            limit=limit + 1,
            action=command.action,
            object_id=command.object_id,
            user_id=command.user_id,
        )
        shown = found[:limit]
        more = len(found) > len(shown)
        return AuditPage(entries=shown, next_cursor=str(shown[-1].audit_id) if more else None)


def _note(action: str, command: Command[Any], actor: Principal | None) -> Note:
    # What somebody tries on another tenant's things is in their own tenant's log: neither learns of the other.
    return Note(
        action=action,
        actor=actor,
        client_address=actor.client_address if actor else getattr(command, "client_address", ""),
        tenant_id=getattr(command, "tenant_id", None),
        object_id=_first(command, _OBJECT_IDS),
        details=command.model_dump(mode="json", exclude=_LEFT_OUT, exclude_defaults=True),
    )


def _first(holder: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        value = getattr(holder, name, None)
        if value is not None:
            return value
    return None
