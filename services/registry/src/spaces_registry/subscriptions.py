"""Every message that the registry handles, one line each."""

from dataclasses import dataclass

from spaces_chassis.bus import Route, serve
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
from spaces_contracts.spaces import CreateSpace, DeleteSpace, GetSpace, ListSpaces, UpdateSpace
from spaces_registry.access import Access
from spaces_registry.spaces import Spaces

# Of several registries one answers.
QUEUE = "registry"


@dataclass(frozen=True)
class Handlers:
    """Who handles."""

    access: Access
    spaces: Spaces


def subscriptions(handlers: Handlers) -> list[Route]:
    """Who may do what; spaces."""
    access, spaces = handlers.access, handlers.spaces
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
    ]
