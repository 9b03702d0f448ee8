"""All SQL on logins, their refresh secrets, and the keys that sign access tokens."""

from dataclasses import dataclass

from spaces_chassis.database import Connection as Transaction
from spaces_chassis.database import Database
from spaces_contracts.identifiers import new_id
from spaces_contracts.users import Login, User
from spaces_registry.access_tokens import PrivateKey

# Logins that are over are kept so long for people who ask what happened.
KEEP_DAYS = 30

_LOGIN = """
    p.principal_id AS login_id, p.user_id, p.created_at, p.last_used_at, p.expires_at,
    l.user_agent, l.client_address
"""


@dataclass(frozen=True)
class NewLogin:
    """A login to store."""

    secret_sha256: str
    lifetime_s: float
    is_session: bool
    user_agent: str
    client_address: str


class LoginStore:
    """Where people are signed in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, user: User, login: NewLogin) -> str | None:
        """The new login's id; None when the secret is another's."""
        async with self._database.transaction() as tx:
            login_id: str | None = await tx.fetchval(
                """
                INSERT INTO registry.principal
                       (principal_id, kind, name, secret_sha256, prefix, user_id, expires_at, last_used_at)
                VALUES ($1, 'user', $2, $3, '', $4, clock_timestamp() + make_interval(secs => $5),
                        clock_timestamp())
                ON CONFLICT (secret_sha256) DO NOTHING RETURNING principal_id
                """,
                new_id(),
                user.username or user.email,
                login.secret_sha256,
                user.user_id,
                login.lifetime_s,
            )
            if login_id is None:
                return None
            await tx.execute(
                """
                INSERT INTO registry.login (principal_id, is_session, user_agent, client_address)
                VALUES ($1, $2, $3, $4)
                """,
                login_id,
                login.is_session,
                login.user_agent,
                login.client_address,
            )
            await tx.execute(
                "UPDATE registry.person SET last_login_at = clock_timestamp() WHERE user_id = $1",
                user.user_id,
            )
        return login_id

    async def exchange(
        self, tx: Transaction, secret_sha256: str, next_sha256: str, lifetime_s: float
    ) -> str | None:
        """Replaces a refresh secret; the login's id, or None when no login has it now."""
        login_id: str | None = await tx.fetchval(
            """
            UPDATE registry.principal p
               SET secret_sha256 = $2, last_used_at = clock_timestamp(),
                   expires_at = clock_timestamp() + make_interval(secs => $3)
              FROM registry.login l
             WHERE p.secret_sha256 = $1 AND l.principal_id = p.principal_id AND NOT l.is_session
               AND p.revoked_at IS NULL AND p.expires_at > clock_timestamp()
            RETURNING p.principal_id
            """,
            secret_sha256,
            next_sha256,
            lifetime_s,
        )
        if login_id is not None:
            await self._spend(tx, secret_sha256, login_id)
        return login_id

    async def exchange_again(
        self,
        tx: Transaction,
        secret_sha256: str,
        next_sha256: str,
        lifetime_s: float,
        within_s: float,
    ) -> str | None:
        """The same with a secret that was exchanged at most so long ago; the one it was exchanged for is spent too."""
        row = await tx.fetchrow(
            """
            SELECT p.principal_id, p.secret_sha256
              FROM registry.spent_secret s JOIN registry.principal p USING (principal_id)
                   JOIN registry.login l USING (principal_id)
             WHERE s.secret_sha256 = $1 AND s.spent_at > clock_timestamp() - make_interval(secs => $2)
               AND NOT l.is_session AND p.revoked_at IS NULL AND p.expires_at > clock_timestamp()
               FOR UPDATE OF p
            """,
            secret_sha256,
            within_s,
        )
        if row is None:
            return None
        await tx.execute(
            """
            UPDATE registry.principal
               SET secret_sha256 = $2, last_used_at = clock_timestamp(),
                   expires_at = clock_timestamp() + make_interval(secs => $3)
             WHERE principal_id = $1
            """,
            row["principal_id"],
            next_sha256,
            lifetime_s,
        )
        await self._spend(tx, row["secret_sha256"], row["principal_id"])
        login_id: str = row["principal_id"]
        return login_id

    async def _spend(self, tx: Transaction, secret_sha256: str, login_id: str) -> None:
        await tx.execute(
            "INSERT INTO registry.spent_secret (secret_sha256, principal_id) VALUES ($1, $2)",
            secret_sha256,
            login_id,
        )

    async def spent_by(self, secret_sha256: str) -> tuple[str, float] | None:
        """Which login exchanged this refresh secret before, and how many seconds ago."""
        row = await self._database.fetchrow(
            """
            SELECT principal_id, extract(epoch FROM clock_timestamp() - spent_at)::float8 AS age_s
              FROM registry.spent_secret WHERE secret_sha256 = $1
            """,
            secret_sha256,
        )
        return None if row is None else (row["principal_id"], row["age_s"])

    async def logins(self, user_id: str) -> list[Login]:
        """Where somebody is signed in now, newest first."""
        rows = await self._database.fetch(
            f"""
            SELECT {_LOGIN} FROM registry.principal p JOIN registry.login l USING (principal_id)
             WHERE p.user_id = $1 AND p.revoked_at IS NULL AND p.expires_at > clock_timestamp()
             ORDER BY p.created_at DESC, p.principal_id DESC
            """,
            user_id,
        )
        return [Login(**dict(row)) for row in rows]

    async def end(
        self, user_id: str, *, only: str | None = None, but: str | None = None
    ) -> list[str]:
        """Ends a person's logins, or one of them, or all but one; the ids of those that were not over."""
        rows = await self._database.fetch(
            """
            UPDATE registry.principal SET revoked_at = clock_timestamp()
             WHERE user_id = $1 AND kind = 'user' AND revoked_at IS NULL
               AND ($2::text IS NULL OR principal_id = $2) AND ($3::text IS NULL OR principal_id <> $3)
            RETURNING principal_id
            """,
            user_id,
            only,
            but,
        )
        return [row["principal_id"] for row in rows]

    async def principals_of(self, user_id: str) -> list[str]:
        """Logins and keys of a person that are not revoked."""
        rows = await self._database.fetch(
            "SELECT principal_id FROM registry.principal WHERE user_id = $1 AND revoked_at IS NULL",
            user_id,
        )
        return [row["principal_id"] for row in rows]

    async def just_expired(self, within_s: float) -> list[str]:
        """Principals whose time ended lately: what is open on them is to be closed."""
        rows = await self._database.fetch(
            """
            SELECT principal_id FROM registry.principal
             WHERE revoked_at IS NULL AND expires_at <= clock_timestamp()
               AND expires_at > clock_timestamp() - make_interval(secs => $1)
            """,
            within_s,
        )
        return [row["principal_id"] for row in rows]

    async def forget(self) -> None:
        """Drops spent secrets of logins that ended long ago."""
        await self._database.execute(
            """
            DELETE FROM registry.spent_secret s USING registry.principal p
             WHERE p.principal_id = s.principal_id
               AND least(p.expires_at, p.revoked_at) < clock_timestamp() - make_interval(days => $1)
            """,
            KEEP_DAYS,
        )

    # Signing keys

    async def signing_keys(self) -> list[PrivateKey]:
        """The keys, newest first."""
        rows = await self._database.fetch(
            "SELECT kid, private_jwk FROM registry.signing_key ORDER BY created_at DESC, kid DESC"
        )
        return [PrivateKey(row["kid"], row["private_jwk"]) for row in rows]

    async def rotate(self, fresh: PrivateKey, *, sign_s: float, check_s: float) -> bool:
        """Adds the key unless the newest is younger than `sign_s`; drops keys older than both times together."""
        async with self._database.transaction() as tx:
            await tx.execute("LOCK TABLE registry.signing_key IN SHARE ROW EXCLUSIVE MODE")
            young = await tx.fetchval(
                """
                SELECT EXISTS (SELECT 1 FROM registry.signing_key
                                WHERE created_at > clock_timestamp() - make_interval(secs => $1))
                """,
                sign_s,
            )
            if young:
                return False
            await tx.execute(
                "INSERT INTO registry.signing_key (kid, private_jwk) VALUES ($1, $2)",
                fresh.kid,
                fresh.jwk,
            )
            await tx.execute(
                """
                DELETE FROM registry.signing_key
                 WHERE created_at < clock_timestamp() - make_interval(secs => $1)
                """,
                sign_s + check_s,
            )
        return True
