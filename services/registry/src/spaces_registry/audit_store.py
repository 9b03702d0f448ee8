"""All SQL on the audit log."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spaces_chassis.database import Database
from spaces_contracts.access import Principal
from spaces_contracts.audit import AuditEntry

_ENTRY = """
    audit_id, at, action, principal_id, principal_kind, principal_name, user_id, client_address,
    tenant_id, object_id, details, outcome
"""


@dataclass(frozen=True)
class Note:
    """What somebody is about to do; who is None when nobody knows them yet."""

    action: str
    actor: Principal | None
    client_address: str
    tenant_id: str | None
    object_id: str | None
    details: Mapping[str, Any]


class AuditStore:
    """The log in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, note: Note) -> int:
        """Notes that something is about to be done; the entry's id.

        It belongs to the actor's own tenant; an admin's to the object's, else to the one named.
        """
        actor = note.actor
        audit_id: int = await self._database.fetchval(
            """
            INSERT INTO registry.audit (action, principal_id, principal_kind, principal_name, user_id,
                                        client_address, tenant_id, object_id, details)
            VALUES ($1, $2, $3, $4, $5, $6,
                    coalesce($10, (SELECT s.tenant_id FROM registry.space s WHERE s.space_id = $8),
                             (SELECT p.tenant_id FROM registry.person p WHERE p.user_id = $8),
                             (SELECT coalesce(u.tenant_id, p.tenant_id)
                                FROM registry.principal p LEFT JOIN registry.person u USING (user_id)
                               WHERE p.principal_id = $8),
                             (SELECT i.tenant_id FROM registry.invite i WHERE i.invite_id = $8),
                             (SELECT s.tenant_id FROM registry.connection c JOIN registry.space s USING (space_id)
                               WHERE c.connection_id = $8), $7),
                    $8, $9::jsonb)
            RETURNING audit_id
            """,
            note.action,
            actor.principal_id if actor else None,
            actor.kind.value if actor else None,
            actor.name if actor else "",
            actor.user_id if actor else None,
            note.client_address,
            note.tenant_id,
            note.object_id,
            json.dumps(note.details),
            actor.tenant_id if actor else None,
        )
        return audit_id

    async def end(
        self, audit_id: int, outcome: str, tenant_id: str | None, object_id: str | None
    ) -> None:
        """What became of it, and what was made."""
        await self._database.execute(
            """
            UPDATE registry.audit
               SET outcome = $2, tenant_id = coalesce($3, tenant_id), object_id = coalesce($4, object_id)
             WHERE audit_id = $1
            """,
            audit_id,
            outcome,
            tenant_id,
            object_id,
        )

    async def page(
        self,
        only: str | None,
        *,
        before: int | None,
        limit: int,
        action: str | None,
        object_id: str | None,
        user_id: str | None,
    ) -> list[AuditEntry]:
        """Entries of all tenants or of one, newest first."""
        rows = await self._database.fetch(
            f"""
            SELECT {_ENTRY} FROM registry.audit
             WHERE ($1::text IS NULL OR tenant_id = $1) AND ($2::bigint IS NULL OR audit_id < $2)
               AND ($4::text IS NULL OR action = $4) AND ($5::text IS NULL OR object_id = $5)
               AND ($6::text IS NULL OR user_id = $6)
             ORDER BY audit_id DESC LIMIT $3
            """,
            only,
            before,
            limit,
            action,
            object_id,
            user_id,
        )
        return [AuditEntry(**dict(row) | {"details": json.loads(row["details"])}) for row in rows]
