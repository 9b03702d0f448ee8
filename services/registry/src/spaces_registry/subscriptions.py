"""Every message that the registry handles, one line each."""

from dataclasses import dataclass
from functools import partial

from spaces_chassis.bus import Route, on, serve
from spaces_contracts.access import (
    Authenticate,
    CheckPrincipals,
    CreateCredential,
    CreateTenant,
    CreateTicket,
    ListCredentials,
    ListTenants,
    RedeemTicket,
    RevokeCredential,
)
from spaces_contracts.audit import ListAudit
from spaces_contracts.connections import (
    Attach,
    ConnectionDraining,
    ConnectionEnded,
    ConnectionSuspected,
    ControlConnection,
    EdgeAttach,
    GatewayBeat,
    ListConnections,
    SchedulerBeat,
    WorkerBeat,
    WorkerBye,
    WorkerDraining,
)
from spaces_contracts.joins import (
    CreateJoinToken,
    ListJoinTokens,
    RedeemJoinToken,
    RevokeJoinToken,
)
from spaces_contracts.names import GetNames, ListPrincipals
from spaces_contracts.quotas import (
    ForgetStorage,
    GetQuotas,
    SetQuotas,
    TakeAllowance,
    TakeStorage,
)
from spaces_contracts.spaces import (
    CheckSpaces,
    CreateSpace,
    DeleteSpace,
    GetSpace,
    ListSpaces,
    SetCover,
    UpdateSpace,
)
from spaces_contracts.system import GetSystem
from spaces_contracts.users import (
    ChangePassword,
    CreateInvite,
    DeleteInvite,
    EndLogin,
    GetLogin,
    GetRegistration,
    ListInvites,
    ListLogins,
    ListSigningKeys,
    ListUsers,
    LogIn,
    RefreshLogin,
    RegisterUser,
    UpdateUser,
)
from spaces_registry.access import Access
from spaces_registry.attaching import Attaching
from spaces_registry.audit import Audit
from spaces_registry.authorised import authorised, open_to_all
from spaces_registry.beats import Beats
from spaces_registry.connections import Connections
from spaces_registry.joins import Joins
from spaces_registry.logins import Logins
from spaces_registry.names import NameBook
from spaces_registry.people import People
from spaces_registry.quotas import Quotas
from spaces_registry.spaces import Spaces
from spaces_registry.system import System

# Of several registries one answers.
QUEUE = "registry"


@dataclass(frozen=True)
class Handlers:
    """Who handles."""

    access: Access
    logins: Logins
    people: People
    audit: Audit
    spaces: Spaces
    attaching: Attaching
    connections: Connections
    beats: Beats
    quotas: Quotas
    joins: Joins
    names: NameBook
    system: System


def subscriptions(handlers: Handlers) -> list[Route]:
    """Who may do what; spaces; workers as they come, stay and go."""
    attaching, connections, beats = handlers.attaching, handlers.connections, handlers.beats
    quotas = handlers.quotas
    return [
        *_who(handlers),
        *_what(handlers),
        serve(CheckSpaces, handlers.spaces.check, queue=QUEUE),
        serve(TakeAllowance, quotas.take, queue=QUEUE),
        serve(TakeStorage, quotas.take_storage, queue=QUEUE),
        serve(ForgetStorage, quotas.forget_storage, queue=QUEUE),
        serve(Attach, attaching.attach, queue=QUEUE),
        serve(EdgeAttach, attaching.attach_edge, queue=QUEUE),
        serve(GatewayBeat, beats.gateway, queue=QUEUE),
        on(SchedulerBeat, handlers.system.scheduler, queue=QUEUE),
        on(WorkerBeat, beats.worker, queue=QUEUE),
        on(WorkerDraining, connections.worker_draining, queue=QUEUE),
        on(WorkerBye, connections.bye, queue=QUEUE),
        serve(ConnectionDraining, connections.draining, queue=QUEUE),
        serve(ConnectionEnded, connections.ended, queue=QUEUE),
        on(ConnectionSuspected, connections.suspected, queue=QUEUE),
    ]


def _who(handlers: Handlers) -> list[Route]:
    access, logins, people = handlers.access, handlers.logins, handlers.people
    anybody = partial(open_to_all, handlers.audit, queue=QUEUE)
    return [
        serve(Authenticate, access.authenticate, queue=QUEUE),
        serve(CheckPrincipals, access.check_principals, queue=QUEUE),
        serve(RedeemTicket, access.redeem_ticket, queue=QUEUE),
        serve(GetLogin, logins.get, queue=QUEUE),
        serve(ListSigningKeys, logins.signing_keys, queue=QUEUE),
        serve(RefreshLogin, logins.refresh, queue=QUEUE),
        serve(GetRegistration, people.registration, queue=QUEUE),
        anybody(RegisterUser, people.register),
        anybody(LogIn, logins.log_in),
        anybody(RedeemJoinToken, handlers.joins.redeem),
    ]


def _what(handlers: Handlers) -> list[Route]:
    access, logins, people = handlers.access, handlers.logins, handlers.people
    spaces, connections = handlers.spaces, handlers.connections
    by_rule = partial(authorised, handlers.audit, queue=QUEUE)
    return [
        by_rule(CreateTenant, access.create_tenant),
        by_rule(ListTenants, access.list_tenants),
        by_rule(CreateCredential, access.create_credential),
        by_rule(ListCredentials, access.list_credentials),
        by_rule(RevokeCredential, access.revoke_credential),
        by_rule(CreateTicket, access.create_ticket),
        by_rule(CreateJoinToken, handlers.joins.create),
        by_rule(ListJoinTokens, handlers.joins.list),
        by_rule(RevokeJoinToken, handlers.joins.revoke),
        by_rule(ListLogins, logins.list),
        by_rule(EndLogin, logins.end),
        by_rule(ChangePassword, people.change_password),
        by_rule(ListUsers, people.list),
        by_rule(UpdateUser, people.update),
        by_rule(CreateInvite, people.create_invite),
        by_rule(ListInvites, people.list_invites),
        by_rule(DeleteInvite, people.delete_invite),
        by_rule(ListAudit, handlers.audit.list),
        by_rule(GetNames, handlers.names.get),
        by_rule(ListPrincipals, handlers.names.find_principals),
        by_rule(GetSystem, handlers.system.get),
        by_rule(GetQuotas, handlers.quotas.get),
        by_rule(SetQuotas, handlers.quotas.set),
        by_rule(CreateSpace, spaces.create),
        by_rule(GetSpace, spaces.get),
        by_rule(ListSpaces, spaces.list),
        by_rule(UpdateSpace, spaces.update),
        by_rule(SetCover, spaces.set_cover),
        by_rule(DeleteSpace, spaces.delete),
        by_rule(ControlConnection, connections.control),
        by_rule(ListConnections, connections.list),
    ]
