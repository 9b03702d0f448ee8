"""Every message that the registry handles, one line each."""

from dataclasses import dataclass

from spaces_chassis.bus import Route, on, serve
from spaces_contracts.access import (
    Authenticate,
    CreateCredential,
    CreateTenant,
    CreateTicket,
    ListCredentials,
    ListTenants,
    RedeemTicket,
    RevokeCredential,
)
from spaces_contracts.connections import (
    Attach,
    ConnectionEnded,
    ConnectionSuspected,
    ControlConnection,
    EdgeAttach,
    GatewayBeat,
    ListConnections,
    WorkerBeat,
    WorkerBye,
)
from spaces_contracts.spaces import CreateSpace, DeleteSpace, GetSpace, ListSpaces, UpdateSpace
from spaces_registry.access import Access
from spaces_registry.attaching import Attaching
from spaces_registry.beats import Beats
from spaces_registry.connections import Connections
from spaces_registry.spaces import Spaces

# Of several registries one answers.
QUEUE = "registry"


@dataclass(frozen=True)
class Handlers:
    """Who handles."""

    access: Access
    spaces: Spaces
    attaching: Attaching
    connections: Connections
    beats: Beats


def subscriptions(handlers: Handlers) -> list[Route]:
    """Who may do what; spaces; workers as they come, stay and go."""
    access, spaces = handlers.access, handlers.spaces
    attaching, connections, beats = handlers.attaching, handlers.connections, handlers.beats
    return [
        serve(Authenticate, access.authenticate, queue=QUEUE),
        serve(CreateTenant, access.create_tenant, queue=QUEUE),
        serve(ListTenants, access.list_tenants, queue=QUEUE),
        serve(CreateCredential, access.create_credential, queue=QUEUE),
        serve(ListCredentials, access.list_credentials, queue=QUEUE),
        serve(RevokeCredential, access.revoke_credential, queue=QUEUE),
        serve(CreateTicket, access.create_ticket, queue=QUEUE),
        serve(RedeemTicket, access.redeem_ticket, queue=QUEUE),
        serve(CreateSpace, spaces.create, queue=QUEUE),
        serve(GetSpace, spaces.get, queue=QUEUE),
        serve(ListSpaces, spaces.list, queue=QUEUE),
        serve(UpdateSpace, spaces.update, queue=QUEUE),
        serve(DeleteSpace, spaces.delete, queue=QUEUE),
        serve(Attach, attaching.attach, queue=QUEUE),
        serve(EdgeAttach, attaching.attach_edge, queue=QUEUE),
        serve(GatewayBeat, beats.gateway, queue=QUEUE),
        on(WorkerBeat, beats.worker, queue=QUEUE),
        on(WorkerBye, connections.bye, queue=QUEUE),
        serve(ConnectionEnded, connections.ended, queue=QUEUE),
        on(ConnectionSuspected, connections.suspected, queue=QUEUE),
        serve(ControlConnection, connections.control, queue=QUEUE),
        serve(ListConnections, connections.list, queue=QUEUE),
    ]
