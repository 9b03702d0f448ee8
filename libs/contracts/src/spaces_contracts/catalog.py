"""Every message on one screen: who sends it, who hears it, and what its loss means.

The broker's users get their rights from this table: see nats_permissions.py.
"""

from dataclasses import dataclass
from enum import StrEnum

from spaces_contracts import (
    access,
    audit,
    connections,
    joins,
    names,
    quotas,
    request_changes,
    request_lists,
    requests,
    spaces,
    system,
    users,
)
from spaces_contracts.message import Message

ASK = "request/reply; the asker retries or reports"
HINT = "hint; what it tells is read again from PostgreSQL"
EVENT = "kept 15 minutes in the stream EVT"
AGAIN = "sent again until acknowledged"


class Party(StrEnum):
    """Who speaks on the bus."""

    GATEWAY = "gateway"
    REGISTRY = "registry"
    SCHEDULER = "scheduler"
    DIRECT_WORKER = "direct worker"


@dataclass(frozen=True)
class Entry:
    """One message and its way. Parties are named as in Party; `gateways` are all of them at once."""

    message: type[Message]
    sender: str
    receiver: str
    delivery: str = ASK

    @property
    def senders(self) -> frozenset[Party]:
        """Who may publish it. Raises ValueError for a word that names no party."""
        return _parties(self.sender)

    @property
    def receivers(self) -> frozenset[Party]:
        """Who may listen to it. Raises ValueError for a word that names no party."""
        return _parties(self.receiver)


def _parties(words: str) -> frozenset[Party]:
    every = {"gateways": Party.GATEWAY}
    return frozenset(every.get(word) or Party(word) for word in words.split(", "))


CATALOG: tuple[Entry, ...] = (
    # access
    Entry(access.Authenticate, "gateway", "registry"),
    Entry(access.CheckPrincipals, "gateway", "registry"),
    Entry(access.CreateTenant, "gateway", "registry"),
    Entry(access.ListTenants, "gateway", "registry"),
    Entry(access.CreateCredential, "gateway", "registry"),
    Entry(access.ListCredentials, "gateway", "registry"),
    Entry(access.RevokeCredential, "gateway", "registry"),
    Entry(access.CreateTicket, "gateway", "registry"),
    Entry(access.RedeemTicket, "gateway", "registry"),
    Entry(access.AccessChanged, "registry", "gateways", "hint; caches also expire after 5 s"),
    Entry(joins.CreateJoinToken, "gateway", "registry"),
    Entry(joins.ListJoinTokens, "gateway", "registry"),
    Entry(joins.RevokeJoinToken, "gateway", "registry"),
    Entry(joins.RedeemJoinToken, "gateway", "registry"),
    # people
    Entry(users.GetRegistration, "gateway", "registry"),
    Entry(users.RegisterUser, "gateway", "registry"),
    Entry(users.LogIn, "gateway", "registry"),
    Entry(users.RefreshLogin, "gateway", "registry"),
    Entry(users.GetLogin, "gateway", "registry"),
    Entry(users.ListSigningKeys, "gateway", "registry"),
    Entry(users.ListLogins, "gateway", "registry"),
    Entry(users.EndLogin, "gateway", "registry"),
    Entry(users.ChangePassword, "gateway", "registry"),
    Entry(users.ListUsers, "gateway", "registry"),
    Entry(users.UpdateUser, "gateway", "registry"),
    Entry(users.CreateInvite, "gateway", "registry"),
    Entry(users.ListInvites, "gateway", "registry"),
    Entry(users.DeleteInvite, "gateway", "registry"),
    Entry(audit.ListAudit, "gateway", "registry"),
    Entry(names.GetNames, "gateway", "registry"),
    Entry(names.ListPrincipals, "gateway", "registry"),
    # the platform
    Entry(system.GetSystem, "gateway", "registry"),
    Entry(system.GetHistory, "gateway", "scheduler"),
    Entry(system.ListBusyQueues, "gateway", "scheduler"),
    # quotas
    Entry(quotas.TakeAllowance, "gateway", "registry"),
    Entry(quotas.CountOpenRequests, "gateway", "scheduler"),
    Entry(quotas.GetQuotas, "gateway", "registry"),
    Entry(quotas.SetQuotas, "gateway", "registry"),
    Entry(quotas.QuotaChanged, "registry", "gateways", "hint; leases end with their minute"),
    Entry(quotas.TakeStorage, "gateway", "registry"),
    Entry(quotas.ForgetStorage, "gateway", "registry"),
    # spaces
    Entry(spaces.CreateSpace, "gateway", "registry"),
    Entry(spaces.GetSpace, "gateway", "registry"),
    Entry(spaces.ListSpaces, "gateway", "registry"),
    Entry(spaces.UpdateSpace, "gateway", "registry"),
    Entry(spaces.DeleteSpace, "gateway", "registry"),
    Entry(spaces.SetCover, "gateway", "registry"),
    Entry(spaces.CheckSpaces, "gateway", "registry"),
    Entry(spaces.SpaceEvent, "registry, scheduler", "gateways", HINT),
    # connections
    Entry(connections.Attach, "gateway", "registry"),
    Entry(connections.EdgeAttach, "direct worker", "registry"),
    Entry(connections.ConnectionEnded, "gateway", "registry", AGAIN),
    Entry(connections.ConnectionDraining, "gateway", "registry"),
    Entry(connections.ConnectionSuspected, "gateway, scheduler", "registry", HINT),
    Entry(connections.GatewayBeat, "gateway", "registry", "each 3 s; the lease is 10 s"),
    Entry(connections.SchedulerBeat, "scheduler", "registry", "each 3 s"),
    Entry(connections.ListConnections, "gateway", "registry"),
    Entry(connections.ControlConnection, "gateway", "registry"),
    Entry(connections.DrainConnection, "registry", "gateway, direct worker", HINT),
    Entry(connections.KickConnection, "registry", "gateway, direct worker", HINT),
    Entry(connections.WorkerBeat, "direct worker", "registry", "each second; the lease is 10 s"),
    Entry(connections.WorkerDraining, "direct worker", "registry", HINT),
    Entry(connections.WorkerBye, "direct worker", "registry", HINT),
    # requests
    Entry(requests.Submit, "gateway", "scheduler"),
    Entry(requests.GetRequests, "gateway", "scheduler"),
    Entry(request_lists.ListRequests, "gateway", "scheduler"),
    Entry(request_lists.FindRequests, "gateway", "scheduler"),
    Entry(request_lists.GetRequestDetails, "gateway", "scheduler"),
    Entry(request_lists.CancelRequests, "gateway", "scheduler"),
    Entry(request_lists.NoteRetries, "gateway", "scheduler"),
    Entry(request_lists.GetConnectionLoads, "gateway", "scheduler"),
    Entry(request_changes.WatchChanges, "gateway", "scheduler", "each 3 s while somebody looks"),
    Entry(request_changes.RequestsChanged, "scheduler", "gateways", HINT),
    Entry(requests.CancelRequest, "gateway", "scheduler"),
    Entry(requests.AskHolder, "gateway", "scheduler"),
    Entry(requests.GetQueues, "gateway", "scheduler"),
    Entry(requests.Announce, "registry", "scheduler", HINT),
    Entry(requests.Job, "scheduler", "gateway, direct worker", "sent again by the repair loop"),
    Entry(requests.CancelJob, "scheduler", "gateway, direct worker", "forced after 5 s"),
    Entry(requests.JobAnswer, "gateway, direct worker", "scheduler", HINT),
    Entry(requests.JobResult, "gateway, direct worker", "scheduler", AGAIN),
    Entry(requests.ResultAck, "scheduler", "gateway, direct worker", "the result is sent again"),
    Entry(requests.RequestEvent, "gateway", "gateways", EVENT),
    Entry(requests.JobEvent, "direct worker", "gateways", EVENT),
    Entry(requests.RequestFinished, "scheduler", "gateways", HINT),
)
