"""One of each that the platform tells of: a caller, a space, a request."""

from datetime import UTC, datetime

from spaces_contracts.access import Permission, Principal, PrincipalKind
from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import RequestState, RequestView
from spaces_contracts.spaces import Space

TENANT = "tenant000000000000000000aa"


def principal(
    kind: PrincipalKind = PrincipalKind.API_KEY, scopes: list[Permission] | None = None
) -> Principal:
    return Principal(principal_id=new_id(), kind=kind, tenant_id=TENANT, scopes=scopes)


def space(name: str, space_id: str) -> Space:
    now = datetime.now(UTC)
    return Space(
        space_id=space_id,
        tenant_id=TENANT,
        tenant_name="default",
        name=name,
        created_at=now,
        updated_at=now,
    )


def view(space_id: str, *, request_id: str | None = None, **fields: object) -> RequestView:
    """A queued request."""
    base = {
        "request_id": request_id or new_id(),
        "space_id": space_id,
        "tenant_id": TENANT,
        "principal_id": new_id(),
        "state": RequestState.QUEUED,
        "position": 1,
        "queue_size": 1,
        "created_at": datetime.now(UTC),
    }
    return RequestView.model_validate({**base, **fields})
