"""Who may do what, in one table: every HTTP operation, every frame a client sends, every command. Pure.

The gateway asks it for each call, the registry once more for each command; a test holds it against the OpenAPI
document, the frames and the message catalogue, so that nothing is without a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from spaces_contracts.access import (
    NO_TENANT,
    Permission,
    Principal,
    PrincipalKind,
    Role,
    Sight,
)


class Whose(StrEnum):
    """On whose objects a permission is good. What is another's does not exist for the caller."""

    ANYBODY = "nobody is asked who they are"
    LINK = "whoever holds the signed link, for the one thing it names"
    OWN = "the caller's own"
    MADE = "the caller's own; owners: their tenant's; admins: all"
    TENANT = "the caller's tenant's; admins: all"
    SEEN = "the caller's tenant's, in spaces that they see; admins: all"
    SCOPE = "the spaces that the worker token names"
    PLATFORM = "all"
    SERVICE = "services among themselves"


P = Permission
_TENANT_WIDE = frozenset({
    P.REQUESTS_READ, P.REQUESTS_WRITE, P.SPACES_READ, P.SPACES_WRITE, P.SPACES_PRIVATE, P.WORKERS_READ,
    P.WORKERS_MANAGE, P.KEYS_MANAGE,
})  # fmt: skip
# What a key can be given; the rest is for people.
KEY_SCOPES = _TENANT_WIDE | {P.USERS_MANAGE, P.AUDIT_READ}

ROLES: Mapping[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(P) - {P.WORKERS_SERVE},
    Role.OWNER: KEY_SCOPES | {P.ACCOUNT},
    Role.MEMBER: frozenset({
        P.REQUESTS_READ, P.REQUESTS_WRITE, P.SPACES_READ, P.WORKERS_READ, P.KEYS_MANAGE, P.ACCOUNT,
    }),
}  # fmt: skip
KINDS: Mapping[PrincipalKind, frozenset[Permission]] = {
    PrincipalKind.ADMIN: frozenset(P) - {P.WORKERS_SERVE, P.ACCOUNT},
    PrincipalKind.API_KEY: _TENANT_WIDE,  # one without scopes
    PrincipalKind.WORKER_TOKEN: frozenset({P.WORKERS_SERVE}),
    PrincipalKind.USER: frozenset(),  # their role counts
}


def permissions_of(principal: Principal) -> frozenset[Permission]:
    """Everything a principal may do, on whatever objects are theirs."""
    if principal.scopes is not None:
        return frozenset(principal.scopes) & KEY_SCOPES
    return _granted(principal)


def allows(principal: Principal, permission: Permission) -> bool:
    """Whether a principal may do one thing."""
    if principal.scopes is not None:
        return permission in principal.scopes and permission in KEY_SCOPES
    return permission in _granted(principal)


def _granted(principal: Principal) -> frozenset[Permission]:
    return KINDS[principal.kind] if principal.role is None else ROLES[principal.role]


def maker_of(principal: Principal) -> str:
    """As whose a space counts that the principal makes: the person's, or the key's that is no person's."""
    return principal.user_id or principal.principal_id


def sight_of(principal: Principal) -> Sight:
    """What exists for a principal. A worker token is asked for the spaces that it names instead."""
    tenant_id = None if principal.is_admin else principal.tenant_id or NO_TENANT
    all_private = allows(principal, Permission.SPACES_PRIVATE)
    return Sight(tenant_id=tenant_id, makers=None if all_private else [maker_of(principal)])


@dataclass(frozen=True)
class Rule:
    """One row: who may (any one of `needs`; nothing: whoever has a credential), on whose objects, and what."""

    what: str
    whose: Whose
    needs: tuple[Permission, ...] = ()
    http: tuple[str, ...] = ()  # operationIds
    frames: tuple[str, ...] = ()  # types of frames that clients and workers send
    commands: tuple[str, ...] = ()  # classes of messages

    def permits(self, principal: Principal) -> bool:
        """Whether a principal may do it at all."""
        if not self.needs:
            return True
        # A loop: this is asked for every call, and a generator would cost more than the answer.
        for permission in self.needs:  # noqa: SIM110  # as said above
            if allows(principal, permission):
                return True
        return False


RULES: tuple[Rule, ...] = (
    Rule("look at the gateway", Whose.ANYBODY, http=(
        "get_about", "get_health", "get_readiness", "get_liveness", "get_metrics", "get_problem_codes",
        "get_signing_keys",
    ), commands=("ListSigningKeys",)),
    Rule("register, sign in, stay signed in", Whose.ANYBODY, http=(
        "get_registration", "register_user", "log_in", "refresh_login", "log_in_with_form",
    ), commands=("GetRegistration", "RegisterUser", "LogIn", "RefreshLogin")),
    Rule("fetch or store one file by its link", Whose.LINK, http=(
        "download_signed_file", "upload_result_file", "put_result_file",
    )),
    Rule("say who one is", Whose.OWN, http=("get_me",), frames=("auth",)),
    Rule("look after one's own account", Whose.OWN, (P.ACCOUNT,), http=(
        "log_out", "list_logins", "end_login", "change_password",
    ), commands=("ListLogins", "EndLogin", "ChangePassword")),
    Rule("open a browser socket", Whose.OWN, (P.REQUESTS_READ, P.REQUESTS_WRITE), http=("create_ticket",),
         commands=("CreateTicket",)),
    Rule("submit and cancel requests", Whose.SEEN, (P.REQUESTS_WRITE,), http=(
        "submit_request", "cancel_request", "cancel_requests", "retry_request", "retry_requests", "upload_file",
        "submit_websocket_request",
    ), frames=("submit", "cancel"), commands=("Submit", "CancelRequest", "CancelRequests")),
    Rule("read requests and results", Whose.SEEN, (P.REQUESTS_READ,), http=(
        "get_request", "get_request_details", "list_requests", "stream_request_events", "download_file",
        "get_websocket_status",
    ), frames=("subscribe", "unsubscribe"), commands=(
        "GetRequests", "ListRequests", "FindRequests", "GetRequestDetails", "ListPrincipals",
    )),
    Rule("read what things in lists are called", Whose.SEEN, (
        P.REQUESTS_READ, P.SPACES_READ, P.WORKERS_READ,
    ), commands=("GetNames",)),
    # Whoever may do anything in a space names it first.
    Rule("find a space", Whose.SEEN, (
        P.SPACES_READ, P.SPACES_WRITE, P.REQUESTS_READ, P.REQUESTS_WRITE, P.WORKERS_READ, P.WORKERS_SERVE,
    ), http=("get_space", "get_cover"), commands=("GetSpace",)),
    Rule("look at spaces and their queues", Whose.SEEN, (P.SPACES_READ,), http=(
        "list_spaces", "get_queue", "list_busy_queues",
    ), commands=("ListSpaces", "GetQueues", "ListBusyQueues")),
    Rule("make, change and remove spaces", Whose.SEEN, (P.SPACES_WRITE,), http=(
        "create_space", "update_space", "delete_space", "add_space_with_form", "put_cover", "delete_cover",
    ), commands=("CreateSpace", "UpdateSpace", "DeleteSpace", "SetCover")),
    Rule("look at workers", Whose.SEEN, (P.WORKERS_READ,), http=("list_space_connections", "list_connections"),
         commands=("ListConnections", "GetConnectionLoads")),
    Rule("drain and disconnect workers", Whose.SEEN, (P.WORKERS_MANAGE,), http=(
        "drain_connection", "kick_connection",
    ), commands=("ControlConnection",)),
    Rule("make, list and revoke worker tokens", Whose.SEEN, (P.WORKERS_MANAGE,), http=(
        "create_worker_token", "list_worker_tokens", "revoke_worker_token",
    )),
    Rule("make, list and revoke join tokens", Whose.SEEN, (P.WORKERS_MANAGE,), http=(
        "create_join_token", "list_join_tokens", "revoke_join_token",
    ), commands=("CreateJoinToken", "ListJoinTokens", "RevokeJoinToken")),
    Rule("exchange a join token for a worker token", Whose.ANYBODY, http=("redeem_join_token",),
         commands=("RedeemJoinToken",)),
    Rule("make, list and revoke API keys", Whose.MADE, (P.KEYS_MANAGE,), http=(
        "create_key", "list_keys", "revoke_key",
    )),
    Rule("handle credentials of either kind", Whose.MADE, (P.KEYS_MANAGE, P.WORKERS_MANAGE),
         commands=("CreateCredential", "ListCredentials", "RevokeCredential")),
    Rule("see and change users, invite more", Whose.TENANT, (P.USERS_MANAGE,), http=(
        "list_users", "update_user", "create_invite", "list_invites", "delete_invite",
    ), commands=("ListUsers", "UpdateUser", "CreateInvite", "ListInvites", "DeleteInvite")),
    Rule("read the audit log", Whose.TENANT, (P.AUDIT_READ,), http=("list_audit",), commands=("ListAudit",)),
    Rule("list tenants", Whose.TENANT, (P.SPACES_READ, P.TENANTS_MANAGE), http=("list_tenants",),
         commands=("ListTenants",)),
    Rule("read a tenant's limits", Whose.TENANT, (P.SPACES_READ, P.TENANTS_MANAGE), http=("get_quotas",),
         commands=("GetQuotas",)),
    Rule("set a tenant's limits", Whose.PLATFORM, (P.TENANTS_MANAGE,), http=("set_quotas",),
         commands=("SetQuotas",)),
    Rule("make tenants", Whose.PLATFORM, (P.TENANTS_MANAGE,), http=("create_tenant",),
         commands=("CreateTenant",)),
    Rule("look at the platform's health and history", Whose.PLATFORM, (P.TENANTS_MANAGE,), http=(
        "get_system", "get_system_history",
    ), commands=("GetSystem", "GetHistory")),
    Rule("serve spaces", Whose.SCOPE, (P.WORKERS_SERVE,), http=("check_worker",), frames=(
        "register", "accepted", "refused", "inference_progress", "inference_chunk", "inference_result", "bye",
        "draining", "ping", "pong",
    ), commands=("Attach", "EdgeAttach")),
    Rule("ask who somebody is", Whose.SERVICE, commands=(
        "Authenticate", "RedeemTicket", "GetLogin", "CheckPrincipals", "CheckSpaces",
    )),
    Rule("count what is used of limits", Whose.SERVICE, commands=(
        "TakeAllowance", "CountOpenRequests", "TakeStorage", "ForgetStorage",
    )),
    Rule("remember which request repeats which", Whose.SERVICE, commands=("NoteRetries",)),
    Rule("ask which worker has a request's files", Whose.SERVICE, commands=("AskHolder",)),
    Rule("keep connections alive and end them", Whose.SERVICE, commands=(
        "GatewayBeat", "ConnectionDraining", "ConnectionEnded", "Announce",
    )),
)  # fmt: skip

HTTP_RULES: Mapping[str, Rule] = {name: rule for rule in RULES for name in rule.http}
FRAME_RULES: Mapping[str, Rule] = {name: rule for rule in RULES for name in rule.frames}
COMMAND_RULES: Mapping[str, Rule] = {name: rule for rule in RULES for name in rule.commands}
