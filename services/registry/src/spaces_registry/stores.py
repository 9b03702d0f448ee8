"""The database and all that reads and writes it."""

from dataclasses import dataclass

from spaces_chassis.database import Database
from spaces_registry.access_store import AccessStore
from spaces_registry.audit_store import AuditStore
from spaces_registry.connection_store import ConnectionStore
from spaces_registry.join_store import JoinStore
from spaces_registry.leader_store import LeaderStore
from spaces_registry.lease_store import LeaseStore
from spaces_registry.login_store import LoginStore
from spaces_registry.name_store import NameStore
from spaces_registry.person_store import PersonStore
from spaces_registry.quota_store import QuotaStore
from spaces_registry.session_store import SessionStore
from spaces_registry.space_store import SpaceStore
from spaces_registry.system_store import SystemStore
from spaces_registry.usage_store import UsageStore


@dataclass(frozen=True)
class Stores:
    """One per process."""

    database: Database
    access: AccessStore
    people: PersonStore
    logins: LoginStore
    audit: AuditStore
    spaces: SpaceStore
    connections: ConnectionStore
    leases: LeaseStore
    sessions: SessionStore
    leaders: LeaderStore
    quotas: QuotaStore
    joins: JoinStore
    usage: UsageStore
    names: NameStore
    system: SystemStore

    @classmethod
    def of(cls, database: Database) -> "Stores":
        """All stores of a database."""
        return cls(
            database,
            AccessStore(database),
            PersonStore(database),
            LoginStore(database),
            AuditStore(database),
            SpaceStore(database),
            ConnectionStore(database),
            LeaseStore(database),
            SessionStore(database),
            LeaderStore(database),
            QuotaStore(database),
            JoinStore(database),
            UsageStore(database),
            NameStore(database),
            SystemStore(database),
        )
