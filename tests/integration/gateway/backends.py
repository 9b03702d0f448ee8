"""Registry and scheduler as far as HTTP needs them: in memory, scripted by the tests."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from spaces_chassis.bus import Bus, serve
from spaces_chassis.errors import ProblemError
from spaces_chassis.testing import Signal
from spaces_contracts.access import (
    AccessChanged,
    Authenticate,
    CreateCredential,
    CreateTenant,
    CreateTicket,
    Credential,
    CredentialList,
    CredentialReply,
    ListCredentials,
    ListTenants,
    Principal,
    PrincipalKind,
    PrincipalReply,
    RedeemTicket,
    RevokeCredential,
    Tenant,
    TenantList,
    TenantReply,
)
from spaces_contracts.connections import ControlConnection
from spaces_contracts.files import FileRef
from spaces_contracts.identifiers import new_id
from spaces_contracts.limits import Limits
from spaces_contracts.message import Command, Done, Reply
from spaces_contracts.problems import Code, Problem
from spaces_contracts.quotas import (
    Allowance,
    Allowances,
    CountOpenRequests,
    ForgetStorage,
    GetQuotas,
    OpenRequests,
    OpenRequestsReply,
    QuotasReply,
    SetQuotas,
    TakeAllowance,
    TakeStorage,
)
from spaces_contracts.request_lists import ListRequests
from spaces_contracts.requests import (
    AskHolder,
    CancelRequest,
    GetRequests,
    HolderReply,
    NewRequest,
    RequestFinished,
    RequestList,
    RequestReply,
    RequestState,
    RequestView,
    Submit,
    Submitted,
    SubmitVerdict,
)
from spaces_contracts.spaces import (
    CreateSpace,
    DeleteSpace,
    GetSpace,
    ListSpaces,
    Space,
    SpaceList,
    SpaceReply,
    UpdateSpace,
)
from spaces_gateway.access import sha256_hex
from tests.integration.gateway.lookups import Lookups
from tests.integration.gateway.people import People
from tests.support.keys import key_called

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
Refusal = Problem | Callable[[Any], Problem | None]


class Backends:
    """What the gateway asks, and what it is told."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.tenant_id = new_id()
        self.principals: dict[str, Principal] = {}
        self.spaces: dict[str, Space] = {}
        self.requests: dict[str, NewRequest] = {}
        self.views: dict[str, RequestView] = {}
        self.keys: dict[str, tuple[str, str]] = {}
        self.submitted: Signal[NewRequest] = Signal()
        self.asked: list[Command[Any]] = []
        # Message class -> what it is refused with.
        self.refusals: dict[type[Command[Any]], Refusal] = {}
        # The verdict of the next submits, until changed.
        self.verdict: Problem | None = None
        # (request, attempt, instance) of agents that hold what they ask files for.
        self.held: set[tuple[str, int, str]] = set()
        self.finish_at_once: str | None = None
        self.admin = self.add_principal("admin", PrincipalKind.ADMIN, tenant=False)
        self.user = self.add_principal("user", PrincipalKind.API_KEY)
        self.people = People(self)
        self.lookups = Lookups(self)
        # By tenant or key; what is not named has no limit.
        self.limits: dict[str, Limits] = {}
        self.used: dict[tuple[str, bool], int] = {}
        self.open = 0

    def add_principal(
        self,
        name: str,
        kind: PrincipalKind,
        *,
        tenant: bool = True,
        tenant_id: str | None = None,
        space_ids: Sequence[str] = (),
    ) -> Principal:
        """A credential that is known from now on: `key_called` makes its secret from the name."""
        owner = tenant_id or (self.tenant_id if tenant else None)
        principal = Principal(
            principal_id=new_id(),
            kind=kind,
            tenant_id=owner,
            name=name,
            space_ids=list(space_ids),
        )
        self.principals[sha256_hex(key_called(name, kind))] = principal
        return principal

    def add_space(self, name: str, **fields: Any) -> Space:
        """A space that is known from now on."""
        space = Space(
            space_id=new_id(),
            tenant_id=fields.pop("tenant_id", self.tenant_id),
            tenant_name="default",
            name=name,
            created_at=NOW,
            updated_at=NOW,
            **fields,
        )
        self.spaces[space.space_id] = space
        return space

    async def finish(
        self, request_id: str, output_json: str = '{"text":"done"}', **more: Any
    ) -> None:
        """Ends a request and tells its notify address."""
        event = self.end(request_id, output_json, **more)
        notify = self.requests[request_id].notify
        if notify:
            await self.bus.publish_to(notify, event)

    def end(self, request_id: str, output_json: str | None, **more: Any) -> RequestFinished:
        """Ends a request without telling anybody."""
        view = self.views[request_id]
        facts: dict[str, Any] = {
            "state": RequestState.SUCCEEDED,
            "attempt": 1,
            "output_json": output_json,
            "started_at": NOW,
            "finished_at": NOW,
            "processing_time_seconds": 0.5,
            "timestamp": NOW,
            "position": None,
        } | more
        ended = self.views[request_id] = view.model_copy(update=facts)
        names = set(RequestFinished.model_fields)
        return RequestFinished.model_validate(ended.model_dump(include=names))

    async def changed(self, what: str, changed_id: str) -> None:
        """Tells the gateways to forget."""
        await self.bus.publish(AccessChanged(what=what, changed_id=changed_id))

    async def start(self) -> None:
        self.serve(Authenticate, self._authenticate)
        self.serve(GetSpace, self._get_space)
        self.serve(Submit, self._submit)
        self.serve(GetRequests, self._get_requests)
        self.serve(ListRequests, self._list_requests)
        self.serve(CancelRequest, self._cancel)
        self.serve(AskHolder, self._holder)
        self.serve(CreateSpace, self._create_space)
        self.serve(UpdateSpace, self._update_space)
        self.serve(ListSpaces, lambda _: SpaceList(spaces=list(self.spaces.values())))
        self.serve(DeleteSpace, lambda _: Done())
        self.serve(CreateTenant, lambda command: TenantReply(tenant=self._tenant(command.name)))
        self.serve(ListTenants, lambda _: TenantList(tenants=[self._tenant("default")]))
        self.serve(CreateTicket, lambda _: Done())
        self.serve(RedeemTicket, lambda _: PrincipalReply(principal=self.user))
        self.serve(CreateCredential, self._create_credential)
        self.serve(ListCredentials, lambda _: CredentialList())
        self.serve(RevokeCredential, self._revoke)
        self.serve(ControlConnection, lambda _: Done())
        self.serve(TakeAllowance, self._allowance)
        self.serve(CountOpenRequests, self._open_requests)
        self.serve(GetQuotas, lambda command: QuotasReply(tenant_id=command.tenant_id))
        self.serve(SetQuotas, lambda command: QuotasReply(tenant_id=command.tenant_id))
        self.serve(TakeStorage, lambda _: Done())
        self.serve(ForgetStorage, lambda _: Done())
        self.people.serve()
        self.lookups.serve()
        await self.bus.start()

    def serve(
        self, command_type: type[Command[Any]], answer: Callable[[Any], Reply | Awaitable[Reply]]
    ) -> None:
        """Answers one kind of command."""

        async def handle(command: Command[Any]) -> Reply:
            self.asked.append(command)
            refusal = self.refusals.get(command_type)
            problem = refusal(command) if callable(refusal) else refusal
            if problem is not None:
                raise ProblemError(problem)
            answered = answer(command)
            return answered if isinstance(answered, Reply) else await answered

        self.bus.add_routes([serve(command_type, handle, queue="double")])

    def _authenticate(self, command: Authenticate) -> Reply:
        principal = self.principals.get(command.secret_sha256)
        if principal is None:
            raise ProblemError.of(Code.UNAUTHENTICATED, "The key is not known.")
        return PrincipalReply(principal=principal)

    def _allowance(self, command: TakeAllowance) -> Reply:
        given = []
        for ask in command.asks:
            limits = self.limits.get(ask.holder_id, Limits())
            allowance = Allowance(
                holder=ask.holder, holder_id=ask.holder_id, ahead=ask.ahead, queued=limits.queued,
                concurrent=limits.concurrent, limit=limits.requests_per_minute,
            )  # fmt: skip
            if allowance.limit is not None:
                window = (ask.holder_id, ask.ahead)
                used = self.used.get(window, 0)
                granted = max(0, min(ask.amount, allowance.limit - used))
                self.used[window] = used + granted
                starts = 30.0 if ask.ahead else -30.0
                counts = {"granted": granted, "used": used + granted}
                times = {"starts_in_s": starts, "ends_in_s": starts + 60}
                allowance = allowance.model_copy(update=counts | times)
            given.append(allowance)
        return Allowances(allowances=given)

    def _open_requests(self, command: CountOpenRequests) -> Reply:
        return OpenRequestsReply(
            counts=[
                OpenRequests(
                    holder=ask.holder,
                    holder_id=ask.holder_id,
                    concurrent=self.open,
                    queued=self.open,
                )
                for ask in command.asks
            ]
        )

    def _get_space(self, command: GetSpace) -> Reply:
        tenant = command.actor.tenant_id
        found = [
            space
            for space in self.spaces.values()
            if command.ref in (space.space_id, space.name, f"{space.tenant_name}/{space.name}")
            and tenant in (None, space.tenant_id)
        ]
        if not found:
            raise ProblemError.of(Code.SPACE_NOT_FOUND, f"Space {command.ref!r} not found")
        if len(found) > 1:
            raise ProblemError.of(
                Code.MULTIPLE_SPACES, f"Multiple spaces with name '{command.ref}' found"
            )
        return SpaceReply(space=found[0])

    async def _submit(self, command: Submit) -> Reply:
        verdicts = []
        for request in command.requests:
            verdicts.append(self._accept(request))
            self.submitted.send(request)
            if self.finish_at_once is not None and request.request_id in self.requests:
                await self.finish(request.request_id, self.finish_at_once)
        return Submitted(verdicts=verdicts)

    def _accept(self, request: NewRequest) -> SubmitVerdict:
        if self.verdict is not None:
            return SubmitVerdict(request_id=request.request_id, problem=self.verdict)
        if request.idempotency_key:
            first = self.keys.setdefault(
                request.idempotency_key, (request.request_id, request.body_sha256)
            )
            if first[1] != request.body_sha256:
                problem = Problem(code=Code.IDEMPOTENCY_KEY_REUSED, message="another body")
                return SubmitVerdict(request_id=request.request_id, problem=problem)
            if first[0] != request.request_id:
                state = self.views[first[0]].state
                return SubmitVerdict(request_id=first[0], state=state, duplicate=True)
        self.requests[request.request_id] = request
        self.views[request.request_id] = RequestView(
            state=RequestState.QUEUED,
            position=1,
            queue_size=1,
            created_at=NOW,
            **request.model_dump(include={*RequestView.model_fields} & {*NewRequest.model_fields}),
        )
        return SubmitVerdict(request_id=request.request_id, position=1, queue_size=1, eta_s=0.5)

    def _get_requests(self, command: GetRequests) -> Reply:
        found = [self.views[one] for one in command.request_ids if one in self.views]
        if command.with_payload:
            payloads = {one.request_id: self.requests[one.request_id].payload for one in found}
            found = [
                one.model_copy(update={"payload_json": payloads[one.request_id]}) for one in found
            ]
        return RequestList(
            requests=[view for view in found if command.tenant_id in (None, view.tenant_id)]
        )

    def _list_requests(self, command: ListRequests) -> Reply:
        found = self.lookups.matching(command)
        cursor = command.cursor or "0"
        if not (cursor.isascii() and cursor.isdigit()):
            raise ProblemError.of(Code.INVALID_REQUEST, "The cursor is not one of ours.")
        start = int(cursor)
        end = start + command.limit
        following = str(end) if end < len(found) else None
        return RequestList(requests=found[start:end], next_cursor=following)

    async def _cancel(self, command: CancelRequest) -> Reply:
        view = self.views.get(command.request_id)
        if view is None or command.tenant_id not in (None, view.tenant_id):
            raise ProblemError.of(Code.REQUEST_NOT_FOUND, "There is no such request.")
        problem = Problem(code=Code.CANCELLED, message="Cancelled by its owner.")
        await self.finish(view.request_id, "null", state=RequestState.CANCELLED, error=problem)
        return RequestReply(request=self.views[view.request_id])

    def _holder(self, command: AskHolder) -> Reply:
        held = (command.request_id, command.attempt, command.instance_id) in self.held
        return HolderReply(
            holds=held and self.requests[command.request_id].space_id in command.space_ids
        )

    def _create_space(self, command: CreateSpace) -> Reply:
        if any(space.name == command.name for space in self.spaces.values()):
            raise ProblemError.of(Code.SPACE_NAME_TAKEN, f"Space {command.name!r} exists.")
        fields = command.model_dump(include={"description", "inputs", "enabled", "visibility"})
        return SpaceReply(space=self.add_space(command.name, policy=command.policy, **fields))

    def _update_space(self, command: UpdateSpace) -> Reply:
        change = command.model_dump(exclude_unset=True, exclude={"actor", "space_id", "policy"})
        if command.policy is not None:
            change["policy"] = command.policy
        space = self.spaces[command.space_id].model_copy(update=change)
        self.spaces[command.space_id] = space
        return SpaceReply(space=space)

    def _create_credential(self, command: CreateCredential) -> Reply:
        principal = Principal(
            principal_id=new_id(), kind=command.kind, tenant_id=self.tenant_id, name=command.name
        )
        self.principals[command.secret_sha256] = principal
        return CredentialReply(
            credential=Credential(principal=principal, prefix=command.prefix, created_at=NOW)
        )

    def _revoke(self, command: RevokeCredential) -> Reply:
        for principal in self.principals.values():
            if principal.principal_id == command.principal_id:
                return CredentialReply(
                    credential=Credential(
                        principal=principal, prefix="x", created_at=NOW, revoked_at=NOW
                    )
                )
        raise ProblemError.of(Code.KEY_NOT_FOUND, "There is no such key.")

    @staticmethod
    def _tenant(name: str) -> Tenant:
        return Tenant(tenant_id=new_id(), name=name, created_at=NOW)


def some_file(**fields: Any) -> FileRef:
    """A file of a request, as the scheduler has it."""
    facts: dict[str, Any] = {
        "file_id": new_id(),
        "name": "page.png",
        "kind": "image",
        "media_type": "image/png",
        "size_bytes": 8,
        "sha256": "0" * 64,
    } | fields
    return FileRef.model_validate(facts)
