"""All SQL on tenants, principals and tickets."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import asyncpg

from spaces_chassis.database import Connection as Transaction
from spaces_chassis.database import Database
from spaces_contracts.access import Credential, Permission, Principal, PrincipalKind, Role, Tenant
from spaces_contracts.identifiers import new_id
from spaces_contracts.permissions import KEY_SCOPES, ROLES
from spaces_contracts.problems import Code
from spaces_registry.sight_sql import hidden_among

TICKET_S = 30.0
# As many as fit in one message.
_LISTED = 2000

_SPACES = """
    ARRAY(SELECT t.space_id FROM registry.worker_token_space t
           WHERE t.principal_id = p.principal_id ORDER BY t.space_id)
"""
_PRINCIPAL = f"""
    p.principal_id, p.kind, p.name, p.prefix, p.created_at, p.revoked_at, p.last_used_at,
    p.user_id, p.scopes, p.expires_at, u.role,
    CASE p.kind WHEN 'user' THEN u.tenant_id ELSE p.tenant_id END AS tenant_id,
    u.disabled_at IS NOT NULL AS is_disabled,
    CASE WHEN p.revoked_at IS NOT NULL THEN 'token_revoked'
         WHEN u.disabled_at IS NOT NULL THEN 'user_disabled'
         WHEN p.expires_at <= clock_timestamp() THEN 'token_expired' END AS obstacle,
    {_SPACES} AS space_ids
"""
_FROM = "registry.principal p LEFT JOIN registry.person u USING (user_id)"
# A refresh secret is good for an exchange only.
_NO_REFRESH = """
    (p.kind <> 'user' OR EXISTS (
        SELECT 1 FROM registry.login l WHERE l.principal_id = p.principal_id AND l.is_session))
"""


@dataclass(frozen=True)
class Known:
    """A credential that exists, and what keeps it from being good."""

    credential: Credential
    obstacle: Code | None
    is_disabled: bool = False  # whose it is


@dataclass(frozen=True)
class NewAdmin:
    """An admin to store."""

    name: str
    secret_sha256: str
    prefix: str


class AccessStore:
    """Tenants, principals and tickets in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def authenticate(self, secret_sha256: str) -> Known | None:
        """Whose hash it is, good or not; notes the use at most once a minute."""
        row = await self._database.fetchrow(
            f"""
            WITH used AS (
                UPDATE registry.principal SET last_used_at = clock_timestamp()
                 WHERE secret_sha256 = $1 AND revoked_at IS NULL
                   AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute'))
            SELECT {_PRINCIPAL} FROM {_FROM} WHERE p.secret_sha256 = $1 AND {_NO_REFRESH}
            """,
            secret_sha256,
        )
        return None if row is None else _known(row)

    async def login(self, login_id: str) -> Known | None:
        """A login, good or not."""
        row = await self._database.fetchrow(
            f"SELECT {_PRINCIPAL} FROM {_FROM} WHERE p.principal_id = $1 AND p.kind = 'user'",
            login_id,
        )
        return None if row is None else _known(row)

    async def good(self, principal_ids: Sequence[str]) -> list[Principal]:
        """Those of these that are neither revoked nor expired nor somebody's who is disabled."""
        rows = await self._database.fetch(
            f"SELECT {_PRINCIPAL} FROM {_FROM} WHERE p.principal_id = ANY ($1)",
            list(principal_ids),
        )
        known = [_known(row) for row in rows]
        return [one.credential.principal for one in known if one.obstacle is None]

    async def add_first_admin(self, make: Callable[[frozenset[str]], NewAdmin]) -> bool:
        """Calls `make(hashes of revoked admins)` and stores what it gives; false when an admin exists."""
        async with self._database.transaction() as tx:
            # Registries that start together make one key between them.
            await tx.execute("LOCK TABLE registry.principal IN SHARE ROW EXCLUSIVE MODE")
            admins = await tx.fetch(
                "SELECT secret_sha256, revoked_at FROM registry.principal WHERE kind = 'admin'"
            )
            if any(row["revoked_at"] is None for row in admins):
                return False
            await self._add_admin(tx, make(frozenset(row["secret_sha256"] for row in admins)))
            return True

    async def add_admin(self, admin: NewAdmin) -> None:
        """One more admin."""
        async with self._database.transaction() as tx:
            await self._add_admin(tx, admin)

    async def _add_admin(self, tx: Transaction, admin: NewAdmin) -> None:
        await tx.execute(
            """
            INSERT INTO registry.principal (principal_id, kind, name, secret_sha256, prefix)
            VALUES ($1, 'admin', $2, $3, $4)
            """,
            new_id(),
            admin.name,
            admin.secret_sha256,
            admin.prefix,
        )

    async def add_tenant(self, name: str, tx: Transaction | None = None) -> Tenant | None:
        """None when the name is taken."""
        row = await (tx or self._database).fetchrow(
            """
            INSERT INTO registry.tenant (tenant_id, name) VALUES ($1, $2)
            ON CONFLICT (name) DO NOTHING RETURNING tenant_id, name, created_at
            """,
            new_id(),
            name,
        )
        return None if row is None else Tenant(**dict(row))

    async def tenants(self, only: str | None) -> list[Tenant]:
        """All tenants, oldest first, or only one."""
        rows = await self._database.fetch(
            """
            SELECT tenant_id, name, created_at FROM registry.tenant
             WHERE $1::text IS NULL OR tenant_id = $1 ORDER BY created_at, tenant_id LIMIT $2
            """,
            only,
            _LISTED,
        )
        return [Tenant(**dict(row)) for row in rows]

    async def has_tenant(self, tenant_id: str) -> bool:
        """Whether the tenant exists."""
        found = await self._database.fetchval(
            "SELECT EXISTS (SELECT 1 FROM registry.tenant WHERE tenant_id = $1)", tenant_id
        )
        return bool(found)

    async def add_credential(
        self,
        principal: Principal,
        *,
        secret_sha256: str,
        prefix: str,
        expires_in_s: float | None = None,
        within: Transaction | None = None,
    ) -> Credential | None:
        """Stores a credential with its spaces. The same one again is no error; None when the hash is another's."""
        async with nullcontext(within) if within else self._database.transaction() as tx:
            added = await tx.fetchval(
                """
                INSERT INTO registry.principal
                       (principal_id, kind, tenant_id, name, secret_sha256, prefix, user_id, scopes, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + make_interval(secs => $9))
                ON CONFLICT (secret_sha256) DO NOTHING RETURNING principal_id
                """,
                principal.principal_id,
                principal.kind.value,
                principal.tenant_id,
                principal.name,
                secret_sha256,
                prefix,
                principal.user_id,
                principal.scopes,
                expires_in_s,
            )
            if added is not None:
                await tx.execute(
                    """
                    INSERT INTO registry.worker_token_space (principal_id, space_id)
                    SELECT $1, unnest($2::text[])
                    """,
                    principal.principal_id,
                    sorted(set(principal.space_ids)),
                )
            row = await tx.fetchrow(
                f"SELECT {_PRINCIPAL} FROM {_FROM} WHERE p.secret_sha256 = $1",
                secret_sha256,
            )
        assert row is not None, "inserted or in conflict"
        stored = _credential(row)
        same = stored.principal == principal.model_copy(
            update={
                "principal_id": stored.principal.principal_id,
                "space_ids": sorted(set(principal.space_ids)),
            }
        )
        return stored if same and stored.revoked_at is None else None

    async def credentials(
        self,
        kind: PrincipalKind,
        only: str | None,
        user_id: str | None = None,
        makers: Sequence[str] | None = None,
    ) -> list[Credential]:
        """Credentials of a kind, newest first, of all tenants or of one, or those that one person made.

        Worker tokens for private spaces of others than these makers are left out (None: nobody's are).
        """
        rows = await self._database.fetch(
            f"""
            SELECT {_PRINCIPAL} FROM {_FROM}
             WHERE p.kind = $1 AND ($2::text IS NULL OR p.tenant_id = $2)
               AND ($4::text IS NULL OR p.user_id = $4)
               AND NOT {hidden_among(_SPACES, "$5")}
             ORDER BY p.created_at DESC, p.principal_id DESC LIMIT $3
            """,
            kind.value,
            only,
            _LISTED,
            user_id,
            makers,
        )
        return [_credential(row) for row in rows]

    async def known(self, principal_id: str, within: Transaction | None = None) -> Known | None:
        """Any credential, good or not."""
        row = await (within or self._database).fetchrow(
            f"SELECT {_PRINCIPAL} FROM {_FROM} WHERE p.principal_id = $1", principal_id
        )
        return None if row is None else _known(row)

    async def credential(self, principal_id: str) -> Credential | None:
        """One credential, revoked or not."""
        known = await self.known(principal_id)
        return None if known is None else known.credential

    async def revoke(self, principal_id: str) -> bool:
        """False for the last admin key that still works: it would lock everybody out."""
        async with self._database.transaction() as tx:
            # Two admins that revoke each other at the same moment must not both win.
            admins = await tx.fetch(
                """
                SELECT principal_id FROM registry.principal
                 WHERE kind = 'admin' AND revoked_at IS NULL ORDER BY principal_id FOR UPDATE
                """
            )
            if [row["principal_id"] for row in admins] == [principal_id]:
                return False
            await tx.execute(
                """
                UPDATE registry.principal SET revoked_at = clock_timestamp()
                 WHERE principal_id = $1 AND revoked_at IS NULL
                """,
                principal_id,
            )
            return True

    async def add_ticket(self, ticket_sha256: str, principal_id: str) -> bool:
        """False when the principal is unknown or revoked, or the ticket exists."""
        added = await self._database.fetchval(
            """
            INSERT INTO registry.ticket (ticket_sha256, principal_id, expires_at)
            SELECT $1, p.principal_id, clock_timestamp() + make_interval(secs => $3)
              FROM registry.principal p WHERE p.principal_id = $2 AND p.revoked_at IS NULL
            ON CONFLICT DO NOTHING RETURNING true
            """,
            ticket_sha256,
            principal_id,
            TICKET_S,
        )
        return bool(added)

    async def use_ticket(self, ticket_sha256: str) -> Principal | None:
        """Whose ticket it was; it is gone afterwards. None when unknown, used, expired or its owner revoked."""
        row = await self._database.fetchrow(
            f"""
            WITH used AS (
                DELETE FROM registry.ticket WHERE ticket_sha256 = $1
                RETURNING principal_id, expires_at > clock_timestamp() AS fresh)
            SELECT {_PRINCIPAL} FROM used JOIN registry.principal p USING (principal_id)
              LEFT JOIN registry.person u USING (user_id)
             WHERE used.fresh
            """,
            ticket_sha256,
        )
        known = None if row is None else _known(row)
        return None if known is None or known.obstacle is not None else known.credential.principal

    async def drop_expired_tickets(self) -> None:
        """Tickets that nobody used."""
        await self._database.execute(
            "DELETE FROM registry.ticket WHERE expires_at < clock_timestamp()"
        )


def _known(row: asyncpg.Record) -> Known:
    obstacle = None if row["obstacle"] is None else Code(row["obstacle"])
    return Known(_credential(row), obstacle, row["is_disabled"])


def _credential(row: asyncpg.Record) -> Credential:
    kind = PrincipalKind(row["kind"])
    role = None if row["role"] is None else Role(row["role"])
    return Credential(
        principal=Principal(
            principal_id=row["principal_id"],
            kind=kind,
            tenant_id=row["tenant_id"],
            name=row["name"],
            space_ids=list[str](row["space_ids"]),
            role=role if kind is PrincipalKind.USER else None,
            user_id=row["user_id"],
            scopes=_scopes(row["scopes"], role) if kind is PrincipalKind.API_KEY else None,
        ),
        prefix=row["prefix"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
        expires_at=row["expires_at"],
    )


def _scopes(stored: list[str] | None, maker: Role | None) -> list[Permission] | None:
    """A person's key can do no more than the person can now."""
    if stored is None and maker is None:
        return None
    scopes = KEY_SCOPES if stored is None else {Permission(scope) for scope in stored}
    return sorted(scopes if maker is None else scopes & ROLES[maker])
