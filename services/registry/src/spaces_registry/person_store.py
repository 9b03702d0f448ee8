"""All SQL on people, their invitations, and tries to sign in."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from spaces_chassis.database import Connection as Transaction
from spaces_chassis.database import Database
from spaces_contracts.access import Role
from spaces_contracts.identifiers import new_id
from spaces_contracts.users import Invite, User

_LISTED = 2000
INVITE_DAYS = 7

_USER = "user_id, email, username, role, tenant_id, created_at, disabled_at, last_login_at"
_INVITE = "invite_id, tenant_id, role, created_at, expires_at, email, used_at"


@dataclass(frozen=True)
class NewPerson:
    """A person to store."""

    email: str
    username: str
    password_hash: str
    role: Role
    tenant_id: str | None


class PersonStore:
    """People in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, tx: Transaction, person: NewPerson) -> User | None:
        """None when the email or the username is somebody's."""
        row = await tx.fetchrow(
            f"""
            INSERT INTO registry.person (user_id, email, username, password_hash, role, tenant_id)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING {_USER}
            """,
            new_id(),
            person.email,
            person.username,
            person.password_hash,
            person.role.value,
            person.tenant_id,
        )
        return None if row is None else User(**dict(row))

    async def named(self, name: str) -> tuple[User, str] | None:
        """Who has this email or username, with the hash of their password."""
        row = await self._database.fetchrow(
            f"""
            SELECT {_USER}, password_hash FROM registry.person
             WHERE CASE WHEN strpos($1, '@') > 0 THEN email = lower($1)
                        ELSE username <> '' AND lower(username) = lower($1) END
            """,
            name,
        )
        return None if row is None else _with_hash(row)

    async def person(self, user_id: str) -> tuple[User, str] | None:
        """One person, with the hash of their password."""
        row = await self._database.fetchrow(
            f"SELECT {_USER}, password_hash FROM registry.person WHERE user_id = $1", user_id
        )
        return None if row is None else _with_hash(row)

    async def people(self, only: str | None) -> list[User]:
        """People of all tenants or of one, oldest first."""
        rows = await self._database.fetch(
            f"""
            SELECT {_USER} FROM registry.person WHERE $1::text IS NULL OR tenant_id = $1
             ORDER BY created_at, user_id LIMIT $2
            """,
            only,
            _LISTED,
        )
        return [User(**dict(row)) for row in rows]

    async def has_admin(self, tx: Transaction) -> bool:
        """Whether an admin exists; nobody else can make one until the transaction ends."""
        await tx.execute("LOCK TABLE registry.person IN SHARE ROW EXCLUSIVE MODE")
        found = await tx.fetchval(
            "SELECT EXISTS (SELECT 1 FROM registry.person WHERE role = 'admin' AND disabled_at IS NULL)"
        )
        return bool(found)

    async def set_password(self, user_id: str, password_hash: str) -> None:
        """Replaces the hash."""
        await self._database.execute(
            "UPDATE registry.person SET password_hash = $2 WHERE user_id = $1",
            user_id,
            password_hash,
        )

    async def lock_peers(self, tx: Transaction, user: User) -> Sequence[str]:
        """Who else could do what this person can: other admins, or other owners of the tenant; locked, enabled."""
        rows = await tx.fetch(
            """
            SELECT user_id FROM registry.person
             WHERE role = $1 AND tenant_id IS NOT DISTINCT FROM $2 AND disabled_at IS NULL
             ORDER BY user_id FOR UPDATE
            """,
            user.role.value,
            user.tenant_id,
        )
        return [row["user_id"] for row in rows if row["user_id"] != user.user_id]

    async def change(
        self, tx: Transaction, user: User, role: Role, *, is_disabled: bool
    ) -> User | None:
        """Writes role and whether they may come in; an admin leaves their tenant."""
        row = await tx.fetchrow(
            f"""
            UPDATE registry.person
               SET role = $2,
                   tenant_id = CASE WHEN $2 = 'admin' THEN NULL ELSE tenant_id END,
                   disabled_at = CASE WHEN $3 THEN coalesce(disabled_at, clock_timestamp()) END
             WHERE user_id = $1 RETURNING {_USER}
            """,
            user.user_id,
            role.value,
            is_disabled,
        )
        return None if row is None else User(**dict(row))

    # Invitations

    async def add_invite(
        self, invite_sha256: str, tenant_id: str, role: Role, email: str | None, created_by: str
    ) -> Invite | None:
        """None when the hash exists."""
        row = await self._database.fetchrow(
            f"""
            INSERT INTO registry.invite (invite_id, invite_sha256, tenant_id, role, email, created_by, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() + make_interval(days => $7))
            ON CONFLICT (invite_sha256) DO NOTHING RETURNING {_INVITE}
            """,
            new_id(),
            invite_sha256,
            tenant_id,
            role.value,
            email,
            created_by,
            INVITE_DAYS,
        )
        return None if row is None else Invite(**dict(row))

    async def invites(self, only: str | None) -> list[Invite]:
        """Those that can still be used, newest first."""
        rows = await self._database.fetch(
            f"""
            SELECT {_INVITE} FROM registry.invite
             WHERE used_at IS NULL AND expires_at > clock_timestamp()
               AND ($1::text IS NULL OR tenant_id = $1)
             ORDER BY invite_id DESC LIMIT $2
            """,
            only,
            _LISTED,
        )
        return [Invite(**dict(row)) for row in rows]

    async def use_invite(self, tx: Transaction, invite_sha256: str, email: str) -> Invite | None:
        """Uses it up in this transaction. None when unknown, used, expired or for another email."""
        row = await tx.fetchrow(
            f"""
            UPDATE registry.invite SET used_at = clock_timestamp()
             WHERE invite_sha256 = $1 AND used_at IS NULL AND expires_at > clock_timestamp()
               AND (email IS NULL OR email = $2)
            RETURNING {_INVITE}
            """,
            invite_sha256,
            email,
        )
        return None if row is None else Invite(**dict(row))

    async def note_guest(self, tx: Transaction, invite_id: str, user_id: str) -> None:
        """Who came by the invitation."""
        await tx.execute(
            "UPDATE registry.invite SET used_by = $2 WHERE invite_id = $1", invite_id, user_id
        )

    async def drop_invite(self, invite_id: str, only: str | None) -> bool:
        """Takes back one that was not used; false when there is none such in the tenant."""
        dropped = await self._database.fetchval(
            """
            DELETE FROM registry.invite
             WHERE invite_id = $1 AND used_at IS NULL AND ($2::text IS NULL OR tenant_id = $2)
            RETURNING true
            """,
            invite_id,
            only,
        )
        return bool(dropped)

    # Tries

    async def count_tries(
        self, subjects: Sequence[str], window_s: float
    ) -> dict[str, tuple[int, float]]:
        """Counts one more try for each subject; how many there are now, and for how many seconds they count."""
        rows = await self._database.fetch(
            """
            INSERT INTO registry.login_try AS t (subject, tries, until)
            SELECT unnest($1::text[]), 1, clock_timestamp() + make_interval(secs => $2)
            ON CONFLICT (subject) DO UPDATE
               SET tries = CASE WHEN t.until <= clock_timestamp() THEN 1 ELSE t.tries + 1 END,
                   until = CASE WHEN t.until <= clock_timestamp() THEN excluded.until ELSE t.until END
            RETURNING subject, tries, extract(epoch FROM until - clock_timestamp())::float8 AS left_s
            """,
            sorted(set(subjects)),
            window_s,
        )
        return {row["subject"]: (row["tries"], row["left_s"]) for row in rows}

    async def take_back_tries(self, subjects: Sequence[str]) -> None:
        """The try succeeded."""
        await self._database.execute(
            "UPDATE registry.login_try SET tries = greatest(tries - 1, 0) WHERE subject = ANY ($1)",
            list(subjects),
        )

    async def forget_tries(self) -> None:
        """Drops those that count no more."""
        await self._database.execute(
            "DELETE FROM registry.login_try WHERE until < clock_timestamp()"
        )


def _with_hash(row: asyncpg.Record) -> tuple[User, str]:
    fields = dict(row)
    password_hash: str = fields.pop("password_hash")
    return User(**fields), password_hash
