"""Two tenants with everything in them, and every kind of credential there is."""

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2

from spaces_contracts.access import Permission, Principal, PrincipalKind
from spaces_contracts.identifiers import new_id
from spaces_contracts.keys import new_key
from spaces_contracts.permissions import KEY_SCOPES, permissions_of

PASSWORD = "nine sheep on a hill"
# One black point.
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010000000000376ef9240000000a4944415478da6360000000020001e52712"
    "5b0000000049454e44ae426082"
)


@dataclass(frozen=True)
class Credential:
    """What somebody sends as bearer; `principal` is None for what is good for nothing."""

    name: str
    secret: str | None = None
    principal: Principal | None = None
    tenant: str | None = None  # the name of the tenant that it belongs to

    @property
    def headers(self) -> dict[str, str]:
        """For a call over HTTP."""
        return {} if self.secret is None else {"Authorization": f"Bearer {self.secret}"}

    @property
    def permissions(self) -> frozenset[Permission]:
        """What it may do on what is its own."""
        return frozenset() if self.principal is None else permissions_of(self.principal)


@dataclass
class Tenant:
    """One side, and the ids of what is in it."""

    name: str
    tenant_id: str
    space_id: str = ""
    request_id: str = ""
    file_id: str = ""
    member_id: str = ""
    key: Credential = field(default_factory=lambda: Credential("none"))
    owner: Credential = field(default_factory=lambda: Credential("none"))
    private_to: str | None = None  # who made its space, when that is private
    ids: set[str] = field(default_factory=set)  # that nobody else may see in a list

    def is_seen_by(self, who: Credential) -> bool:
        """Whether its space exists for somebody: what this says is what is promised."""
        principal = who.principal
        if principal is None or principal.is_admin:
            return principal is not None
        if principal.kind is PrincipalKind.WORKER_TOKEN:
            return self.space_id in principal.space_ids
        if who.tenant != self.name:
            return False
        return (
            self.private_to in (None, principal.user_id)
            or Permission.SPACES_PRIVATE in who.permissions
        )


class World:
    """Makes things over HTTP, as the admin or as whom it says."""

    def __init__(self, url: str, admin_key: str) -> None:
        self.url = url
        self._numbers = itertools.count(1)
        self.http = httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60)
        self.admin = Credential("admin key", admin_key)
        self.tenants: dict[str, Tenant] = {}
        self.private = Tenant(
            "none", ""
        )  # the same tenant as ours, with a space that its owner keeps to themselves
        self.credentials: list[Credential] = []

    def fresh_name(self, what: str) -> str:
        """A name that nothing has yet."""
        return f"{what}-{next(self._numbers)}"

    async def build(self) -> None:
        """Both tenants, then all credentials."""
        self.admin = await self._known("admin key", self.admin.secret or "", None)
        self.credentials = [self.admin, *await self._good_for_nothing()]
        for name in ("ours", "theirs"):
            await self._build_tenant(name)
        await self._build_private(self.tenants["ours"])

    async def call(
        self, who: Credential, method: str, path: str, **options: Any
    ) -> httpx2.Response:
        """One call; an `Authorization` in the options' headers wins."""
        headers = {**who.headers, **options.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **options)

    async def made(self, who: Credential, path: str, **body: Any) -> dict[str, Any]:
        """What a POST made."""
        response = await self.call(who, "POST", path, json=body)
        made: dict[str, Any] = response.raise_for_status().json()
        return made

    async def close(self) -> None:
        """Gives back the connections."""
        await self.http.aclose()

    # Fresh things, for calls that use them up

    async def space(self, tenant: Tenant) -> str:
        """A space's id."""
        made = await self.made(
            tenant.owner if tenant.private_to else self.admin,
            "/api/spaces",
            name=self.fresh_name("space"),
            tenant_id=tenant.tenant_id,
            visibility="private" if tenant.private_to else "tenant",
            policy={"when_offline": "queue", "max_queue": 10_000, "max_connections": 100},
        )
        return str(made["space_id"])

    async def request(self, tenant: Tenant) -> str:
        """A queued request's id."""
        path = f"/api/spaces/{tenant.space_id}/requests"
        return str((await self.made(tenant.key, path, prompt="hello"))["request_id"])

    async def token(self, tenant: Tenant) -> str:
        """A worker token's id."""
        body = {"name": "fresh", "spaces": [tenant.space_id]}
        made = await self.made(self.admin, "/api/worker-tokens", **body)
        return str(made["credential"]["principal"]["principal_id"])

    async def key_of(self, maker: Credential, **body: Any) -> dict[str, Any]:
        """A key and its secret."""
        return await self.made(maker, "/api/keys", name="fresh", **body)

    async def invite(self, tenant: Tenant, role: str = "member") -> dict[str, Any]:
        """An invitation and its secret."""
        body = {"tenant_id": tenant.tenant_id, "role": role}
        return await self.made(self.admin, "/api/invites", **body)

    async def person(self, tenant: Tenant, role: str) -> tuple[str, Credential]:
        """Somebody new, signed in."""
        secret = (await self.invite(tenant, role))["secret"]
        email = self.fresh_name(role) + "@example.org"
        body = {"email": email, "password": PASSWORD, "invite": secret}
        user = (await self.http.post("/auth/register", json=body)).raise_for_status().json()
        return user["user_id"], await self.sign_in(role, email, tenant.name)

    async def sign_in(
        self, name: str, email: str, tenant: str | None, password: str = PASSWORD
    ) -> Credential:
        """One more login."""
        form = {"username": email, "password": password}
        answer = await self.http.post("/auth/jwt/login", data=form)
        self.http.cookies.clear()
        return await self._known(name, answer.raise_for_status().json()["access_token"], tenant)

    # Credentials

    async def _known(self, name: str, secret: str, tenant: str | None) -> Credential:
        bearer = {"Authorization": f"Bearer {secret}"}
        me = (await self.http.get("/api/me", headers=bearer)).raise_for_status().json()
        return Credential(name, secret, Principal.model_validate(me), tenant)

    async def _good_for_nothing(self) -> list[Credential]:
        revoked = await self.key_of(self.admin)
        key_id = revoked["credential"]["principal"]["principal_id"]
        (await self.call(self.admin, "DELETE", f"/api/keys/{key_id}")).raise_for_status()
        return [
            Credential("nothing"),
            Credential("a word", "open-sesame"),
            Credential("a key that nobody made", new_key(PrincipalKind.API_KEY)),
            Credential("a revoked key", revoked["secret"]),
            Credential("a refresh secret", new_key(PrincipalKind.USER)),
        ]

    async def _build_tenant(self, name: str) -> None:
        tenant_id = (await self.made(self.admin, "/api/tenants", name=name))["tenant_id"]
        tenant = self.tenants[name] = Tenant(name, tenant_id)
        full = await self.key_of(self.admin, tenant_id=tenant_id)
        tenant.key = await self._known(f"{name}: key", full["secret"], name)
        await self._build_space(tenant)
        upload = await self.call(
            tenant.key,
            "POST",
            "/api/files",
            content=b"plain words",
            headers={"Content-Type": "application/octet-stream", "X-File-Name": "words.txt"},
        )
        tenant.file_id = upload.raise_for_status().json()["file_id"]
        tenant.member_id, member = await self.person(tenant, "member")
        owner_id, owner = await self.person(tenant, "owner")
        tenant.owner = owner
        tenant.ids = {tenant.space_id, tenant.request_id, tenant.member_id, owner_id}
        named = {f"{name}: owner": owner, f"{name}: member": member}
        self.credentials += [
            tenant.key,
            *(Credential(said, one.secret, one.principal, name) for said, one in named.items()),
            *[await self._scoped(tenant, scope) for scope in sorted(KEY_SCOPES)],
            await self._made_by(tenant, owner, "owner"),
            await self._made_by(tenant, member, "member"),
            await self._worker_token(tenant),
            await self._disabled(tenant),
        ]

    async def _build_space(self, tenant: Tenant) -> None:
        tenant.space_id = await self.space(tenant)
        cover = f"/api/spaces/{tenant.space_id}/cover"
        answer = await self.call(tenant.key, "PUT", cover, content=PICTURE)
        answer.raise_for_status()
        tenant.request_id = await self.request(tenant)
        path = f"/api/requests/{tenant.request_id}/cancel"
        (await self.call(tenant.key, "POST", path)).raise_for_status()

    async def _build_private(self, ours: Tenant) -> None:
        """And those who differ in whether they see it: all else they may."""
        assert ours.owner.principal is not None
        assert ours.owner.principal.user_id is not None
        private = self.private = replace(
            ours, private_to=ours.owner.principal.user_id, ids=set(), request_id="", space_id=""
        )
        await self._build_space(private)
        private.ids = {private.space_id, private.request_id}
        rest = sorted(KEY_SCOPES - {Permission.SPACES_PRIVATE})
        makers = await self.key_of(ours.owner, scopes=rest)
        others = await self.key_of(self.admin, tenant_id=ours.tenant_id, scopes=rest)
        self.credentials += [
            await self._known("ours: the maker's key", makers["secret"], "ours"),
            await self._known("ours: key without spaces:private", others["secret"], "ours"),
            await self._worker_token(private, "ours: worker token of the private space"),
        ]

    async def _scoped(self, tenant: Tenant, scope: Permission) -> Credential:
        made = await self.key_of(self.admin, tenant_id=tenant.tenant_id, scopes=[scope])
        return await self._known(f"{tenant.name}: key for {scope}", made["secret"], tenant.name)

    async def _made_by(self, tenant: Tenant, maker: Credential, role: str) -> Credential:
        made = await self.key_of(maker)
        return await self._known(f"{tenant.name}: key of the {role}", made["secret"], tenant.name)

    async def _worker_token(self, tenant: Tenant, name: str = "") -> Credential:
        body = {"name": "serving", "spaces": [tenant.space_id]}
        made = await self.made(self.admin, "/api/worker-tokens", **body)
        name = name or f"{tenant.name}: worker token"
        return await self._known(name, made["secret"], tenant.name)

    async def _disabled(self, tenant: Tenant) -> Credential:
        user_id, person = await self.person(tenant, "member")
        answer = await self.call(
            self.admin, "PATCH", f"/api/users/{user_id}", json={"disabled": True}
        )
        answer.raise_for_status()
        return Credential(f"{tenant.name}: disabled member", person.secret)


def instance() -> dict[str, Any]:
    """What a worker says of itself."""
    return {
        "type": "register",
        "instance_id": new_id(),
        "agent": {"version": "1"},
        "resume": {"secret": new_id()},
    }
