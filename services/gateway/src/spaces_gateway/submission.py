"""Submitting: one path for HTTP and the client socket, from a body that was read to a durable request."""

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from spaces_chassis.batcher import Batcher, BatcherMetrics
from spaces_chassis.bus import Bus, decode_reply
from spaces_chassis.clock import Clock
from spaces_chassis.errors import ProblemError, UnavailableError
from spaces_contracts.access import Principal
from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.identifiers import FileId, new_id
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import MAX_BATCH, Submit, Submitted, SubmitVerdict
from spaces_contracts.spaces import Space
from spaces_gateway.access import Access
from spaces_gateway.files.signing import FileLinks
from spaces_gateway.files.store import FileStore
from spaces_gateway.quotas.quotas import Quotas

# How long a submit is tried again (with the same id) before the client is told to.
ACCEPT_S = 5.0
RETRY_S = 0.1
# A message on the bus holds 2 MiB; the rest is for the envelope that dispatch puts around a payload.
MAX_MESSAGE_BYTES = 1_900_000

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class SubmitBody(BaseModel):
    """What a client asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str | None = Field(default=None, description="Text for the model.")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="Passed to the handler as they are, such as temperature."
    )
    files: list[FileId] = Field(
        default_factory=list,
        max_length=32,
        description="Ids of files uploaded with `POST /api/files`.",
    )
    priority: int = Field(default=0, ge=-100, le=100, description="Higher goes first.")
    timeout_s: Seconds | None = Field(default=None, description="Total time; else the space's.")
    queue_timeout_s: Seconds | None = Field(default=None, description="Longest wait in the queue.")
    run_timeout_s: Seconds | None = Field(default=None, description="Longest run of one attempt.")


class Accepted(NamedTuple):
    """A request that is durable. `verdict.problem` is always None."""

    verdict: SubmitVerdict
    space: Space

    @property
    def request_id(self) -> str:
        """The request's id; the first one's when an idempotency key was repeated."""
        return self.verdict.request_id


class Submission:
    """Counts, checks, signs, batches and submits. A Part (its batcher)."""

    name = "submission"

    def __init__(  # noqa: PLR0913 - what a submit passes through, in its order
        self,
        bus: Bus,
        access: Access,
        files: FileStore,
        links: FileLinks,
        quotas: Quotas,
        clock: Clock,
        metrics: BatcherMetrics | None = None,
    ) -> None:
        self._bus = bus
        self._access = access
        self._files = files
        self._links = links
        self._quotas = quotas
        self._clock = clock
        self._batcher: Batcher[bytes, SubmitVerdict] = Batcher(
            self._flush,
            max_items=MAX_BATCH,
            max_bytes=MAX_MESSAGE_BYTES,
            size_of=len,
            name="submit",
            metrics=metrics,
        )

    async def submit(
        self,
        actor: Principal,
        space_ref: str,
        body: SubmitBody,
        *,
        idempotency_key: str | None = None,
        notify: str | None = None,
        request_id: str | None = None,
    ) -> Accepted:
        """Accepts one request; returns after it is durable.

        `request_id` is minted here once unless the caller did (to watch it first). Raises ProblemError.
        """
        admission = self._quotas.admit(actor)
        if admission is None:
            return await self._submit(actor, space_ref, body, idempotency_key, notify, request_id)
        try:
            await admission.enter()
            return await self._submit(actor, space_ref, body, idempotency_key, notify, request_id)
        finally:
            admission.leave()

    async def _submit(
        self,
        actor: Principal,
        space_ref: str,
        body: SubmitBody,
        idempotency_key: str | None,
        notify: str | None,
        request_id: str | None,
    ) -> Accepted:
        space = await self._access.space(actor, space_ref)
        files = [
            (await self._files.owned(file_id, actor, space.tenant_id)).ref()
            for file_id in body.files
        ]
        inputs = check_inputs(space, body.prompt, files)
        request_id = request_id or new_id()
        total_s = body.timeout_s or space.policy.timeout_s
        request = encoded(
            request_id=request_id,
            space_id=space.space_id,
            tenant_id=space.tenant_id,
            principal_id=actor.principal_id,
            payload=payload_of(body),
            inputs=inputs,
            files=self._links.input_refs(files, request_id, total_s) if files else None,
            upload_url=self._links.upload_url(request_id, space.tenant_id, total_s),
            priority=body.priority,
            queue_timeout_s=body.queue_timeout_s,
            run_timeout_s=body.run_timeout_s,
            timeout_s=body.timeout_s,
            idempotency_key=idempotency_key,
            body_sha256=fingerprint(space.space_id, body, files) if idempotency_key else None,
            notify=notify,
        )
        if len(request) > MAX_MESSAGE_BYTES:
            raise ProblemError.of(
                Code.PAYLOAD_TOO_LARGE, "The prompt and parameters are too large; send a file."
            )
        return Accepted(await self._accept(request), space)

    async def _accept(self, request: bytes) -> SubmitVerdict:
        """Tries until there is a verdict, or until nobody should wait any longer."""
        deadline = self._clock.monotonic() + ACCEPT_S
        while True:
            try:
                verdict = await self._batcher.add(request)
            except UnavailableError as error:
                problem = error.problem
            else:
                if verdict.problem is None:
                    return verdict
                problem = verdict.problem
            if problem.code is not Code.UNAVAILABLE:
                raise ProblemError(problem)
            if self._clock.monotonic() + RETRY_S >= deadline:
                raise ProblemError(not_accepted(problem))
            await self._clock.sleep(RETRY_S)

    async def _flush(self, batch: list[bytes]) -> Sequence[SubmitVerdict]:
        try:
            packet = await self._bus.request_bytes(Submit.subject.template, submit_bytes(batch))
            return decode_reply(Submitted, packet.body).verdicts
        except ProblemError as error:
            if error.problem.code is Code.UNAVAILABLE:
                # Says nothing about the requests, so the batcher must not try them one by one.
                raise UnavailableError(error.problem.message) from error
            raise

    async def start(self) -> None:
        """Starts the batcher."""
        await self._batcher.start()

    async def drain(self) -> None:
        """Returns when what was submitted has its verdict."""
        await self._batcher.drain()

    async def stop(self) -> None:
        """Flushes what is left, then refuses."""
        await self._batcher.stop()

    def healthy(self) -> bool:
        """Whether submits are flushed."""
        return self._batcher.healthy()


def check_inputs(space: Space, prompt: str | None, files: Sequence[FileRef]) -> list[InputKind]:
    """The kinds of input given. Problems: space_disabled, empty_prompt, input_not_enabled."""
    if not space.enabled:
        raise ProblemError.of(Code.SPACE_DISABLED, f"Space {space.name!r} is disabled.")
    kinds = [InputKind.PROMPT] if prompt and not prompt.isspace() else []
    if not kinds and not files:
        raise ProblemError.of(Code.EMPTY_PROMPT, "The prompt is empty and there is no file.")
    kinds += dict.fromkeys(file.kind for file in files)
    for kind in kinds:
        if kind not in space.inputs:
            takes = ", ".join(space.inputs) or "nothing"
            raise ProblemError.of(
                Code.INPUT_NOT_ENABLED,
                f"Space {space.name!r} does not take {kind} input; it takes {takes}.",
                kind=kind,
                inputs=list(space.inputs),
            )
    return kinds


def payload_of(body: SubmitBody) -> str:
    """The JSON text that reaches the handler."""
    payload: dict[str, Any] = {"parameters": body.parameters}
    if body.prompt is not None:
        payload["prompt"] = body.prompt
    return to_json(payload).decode()


def fingerprint(space_id: str, body: SubmitBody, files: Sequence[FileRef]) -> str:
    """What two uses of one idempotency key are compared by.

    Files count by content and name: a form that is sent again uploads them again, under new ids.
    """
    facts = {
        **body.model_dump(mode="json", exclude={"files"}),
        "space": space_id,
        "files": [[file.name, file.media_type, file.sha256] for file in files],
    }
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def encoded(**members: Any) -> bytes:
    """A NewRequest as it travels, of members that were checked; None stands for a default."""
    return to_json({name: value for name, value in members.items() if value is not None})


def submit_bytes(requests: Sequence[bytes]) -> bytes:
    """A Submit as it travels, of encoded requests."""
    return b'{"requests":[' + b",".join(requests) + b"]}"


def not_accepted(problem: Problem) -> Problem:
    """What a client hears when its request was not accepted in time."""
    return Problem(
        code=Code.UNAVAILABLE,
        message="The request was not accepted. Retry with the same Idempotency-Key.",
        retry_after_s=1.0,
        facts={"reason": problem.message} if problem.message else {},
    )
