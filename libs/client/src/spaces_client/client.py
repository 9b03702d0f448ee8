"""The asynchronous client: everything a gateway offers, as methods."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import quote

from spaces_client.answers import parsed
from spaces_client.client_socket import ClientSocket
from spaces_client.config import load_endpoint
from spaces_client.downloads import save_download
from spaces_client.errors import NotFinished, RequestFailed, SpacesError
from spaces_client.http_api import Call, HttpApi
from spaces_client.join_tokens import JoinTokens
from spaces_client.models import (
    ConnectionPage,
    CredentialPage,
    Me,
    NewCredential,
    Request,
    RequestPage,
    SpacePage,
    TenantPage,
)
from spaces_client.retry import Patience, Repeat
from spaces_client.stream import RequestStream, SpaceStream
from spaces_client.uploads import Upload, upload_of
from spaces_contracts.access import Tenant
from spaces_contracts.client_socket import After, SubmitFrame
from spaces_contracts.connections import Connection
from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.identifiers import is_id, new_id
from spaces_contracts.requests import Queue, RequestState
from spaces_contracts.spaces import Space, Visibility

FileSource = Path | str | bytes | FileRef
_FIRST_POLL_S = 0.25
_LONG_POLL_S = 25.0


class AsyncSpaces:
    """A client of one gateway. Without arguments it takes SPACES_URL and SPACES_API_KEY, or the config file."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        ca_file: str | Path | None = None,
        timeout_s: float | None = None,
        retry_for_s: float = 20.0,
        reconnect_for_s: float = 300.0,
    ) -> None:
        """Seconds: `timeout_s` for one answer, `retry_for_s` for a call with its retries, `reconnect_for_s` astream."""
        endpoint = load_endpoint(url=url, api_key=api_key, ca_file=ca_file, timeout_s=timeout_s)
        self.url = endpoint.http_url
        self.ca_file = endpoint.ca_file
        patience = Patience(for_s=retry_for_s)
        self._http = HttpApi(endpoint, patience)
        self.joins = JoinTokens(self._http)
        self._socket = ClientSocket(endpoint, patience, reconnect_for_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections. Requests go on."""
        await self._socket.close()
        await self._http.close()

    async def me(self) -> Me:
        """Who the API key stands for."""
        return parsed(Me, await self._http.send(Call("GET", "/api/me")), "principal")

    # Requests

    async def submit(  # noqa: PLR0913  (the choices of one request; all but the space are optional)
        self,
        space: str,
        *,
        prompt: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        files: Iterable[FileSource] = (),
        priority: int = 0,
        timeout_s: float | None = None,
        queue_timeout_s: float | None = None,
        run_timeout_s: float | None = None,
        idempotency_key: str | None = None,
        wait: float = 0.0,
        over: Literal["http", "socket"] = "http",
    ) -> Request:
        """Submits one request, once: every retry carries the same idempotency key.

        `space` is a name, tenant/name or id. Paths and bytes in `files` are uploaded first; file ids of earlier
        uploads are given as FileRef. `wait` is in seconds: the answer is then the finished request if it ends in time.
        Raises SpacesError.
        """
        file_ids = [(await self._uploaded(file)).file_id for file in files]
        key = idempotency_key or new_id()
        body: dict[str, Any] = {
            "prompt": prompt,
            "parameters": dict(parameters or {}),
            "files": file_ids,
            "priority": priority,
            "timeout_s": timeout_s,
        }
        started = asyncio.get_running_loop().time()
        if over == "socket" and queue_timeout_s is None and run_timeout_s is None:
            request = await self._submit_over_socket(space, body, key)
        else:
            body |= {"queue_timeout_s": queue_timeout_s, "run_timeout_s": run_timeout_s}
            request = await self._submit_over_http(space, body, key, wait)
        left = wait - (asyncio.get_running_loop().time() - started)
        if left > 0 and not request.state.terminal:
            return await self._await_end(request.request_id, left) or request
        return request

    async def _submit_over_http(
        self, space: str, body: Mapping[str, Any], key: str, wait: float
    ) -> Request:
        wait = min(wait, _LONG_POLL_S)
        call = Call(
            "POST",
            f"/api/spaces/{_ref(space)}/requests",
            body={name: value for name, value in body.items() if value not in (None, [], {})},
            query={"wait": wait or None},
            headers={"idempotency-key": key},
            answer_s=wait,
        )
        return parsed(Request, await self._http.send(call))

    async def _submit_over_socket(self, space: str, body: Mapping[str, Any], key: str) -> Request:
        frame = SubmitFrame(
            ref=self._socket.new_ref(), space=space, idempotency_key=key, **dict(body)
        )
        submitted = await self._socket.submit(frame)
        return Request.model_validate(submitted.model_dump())

    async def get(self, request_id: str, *, wait: float = 0.0) -> Request:
        """One request as it is now, or when it ends within `wait` seconds (at most 60)."""
        answer = await self._http.send(
            Call(
                "GET",
                f"/api/requests/{_ref(request_id)}",
                query={"wait": wait or None},
                answer_s=wait,
            )
        )
        return parsed(Request, answer)

    async def list(
        self,
        *,
        space: str | None = None,
        state: RequestState | str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RequestPage:
        """A page of requests, newest first."""
        query = {
            "space": space,
            "state": None if state is None else str(state),
            "limit": limit,
            "cursor": cursor,
        }
        return parsed(RequestPage, await self._http.send(Call("GET", "/api/requests", query=query)))

    async def cancel(self, request_id: str) -> Request:
        """Asks for an end: at once when queued; a running one stops at its worker."""
        path = f"/api/requests/{_ref(request_id)}/cancel"
        return parsed(Request, await self._http.send(Call("POST", path)))

    async def result(self, request_id: str, timeout: float | None = None) -> Request:
        """The request once it succeeded. Raises RequestFailed for another end, NotFinished after `timeout` seconds."""
        request = await self.wait(request_id, timeout)
        if request.state is not RequestState.SUCCEEDED:
            raise RequestFailed(request)
        return request

    async def wait(self, request_id: str, timeout: float | None = None) -> Request:
        """The request once it ended, however. Raises NotFinished after `timeout` seconds."""
        request = await self._await_end(request_id, timeout)
        if request is None:
            raise NotFinished(request_id, timeout or 0.0)
        return request

    async def _await_end(self, request_id: str, timeout_s: float | None) -> Request | None:
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        # A gateway learns of an end that it was not submitted through with some delay, and at once when it is asked:
        # steps that double keep that delay below the time already waited.
        step = _FIRST_POLL_S
        while True:
            asked_at = loop.time()
            left = step if deadline is None else min(step, deadline - asked_at)
            request = await self.get(request_id, wait=round(max(left, 0.0), 3))
            if request.state.terminal:
                return request
            if deadline is not None and loop.time() >= deadline:
                return None
            if loop.time() - asked_at < left / 2:
                await asyncio.sleep(min(1.0, left))  # the gateway did not wait: it is stopping
            step = min(2 * step, _LONG_POLL_S)

    def stream(self, request_id: str, after: After | None = None) -> RequestStream:
        """The request's events until it ends, across reconnects: no chunk missing, none twice, in order.

        Pass the `after` of an earlier stream to go on from there.
        """
        return self._socket.request(request_id, after)

    async def upload(
        self, source: Path | str | bytes, *, name: str | None = None, media_type: str | None = None
    ) -> FileRef:
        """Uploads a path, or bytes with a name, in pieces. The id of the answer goes into a submit."""
        return await self._send_file(upload_of(source, name, media_type))

    async def download(self, file: FileRef, folder: Path | str) -> Path:
        """Fetches a file into a folder, checked by its SHA-256; the answer is where it is. Never overwrites."""
        return await save_download(self._http, file, Path(folder))

    async def _uploaded(self, file: FileSource) -> FileRef:
        return file if isinstance(file, FileRef) else await self.upload(file)

    async def _send_file(self, upload: Upload) -> FileRef:
        # A repeated upload leaves an unused file behind, which the gateway sweeps.
        call = Call("POST", "/api/files", headers=upload.headers, content=upload.pieces)
        return parsed(FileRef, await self._http.send(call), "file")

    # Spaces

    async def create_space(
        self,
        name: str,
        *,
        description: str = "",
        inputs: Sequence[InputKind | str] = ("prompt",),
        policy: Mapping[str, Any] | None = None,
        visibility: Visibility | str | None = None,
        tenant: str | None = None,
    ) -> Space:
        """Makes a space; `policy` has the fields of SpacePolicy that differ from its defaults."""
        body: dict[str, Any] = {
            "name": name,
            "description": description,
            "inputs": [str(kind) for kind in inputs],
            "policy": dict(policy or {}),
        }
        if visibility is not None:
            body["visibility"] = str(visibility)
        if tenant is not None:
            body["tenant_id"] = await self._tenant_id(tenant)
        call = Call("POST", "/api/spaces", body=body, repeat=Repeat.ONLY_UNSENT)
        return parsed(Space, await self._http.send(call), "space")

    async def list_spaces(
        self, *, name: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> SpacePage:
        """A page of the spaces that the key sees."""
        query = {"name": name, "limit": limit, "cursor": cursor}
        return parsed(SpacePage, await self._http.send(Call("GET", "/api/spaces", query=query)))

    async def get_space(self, space: str) -> Space:
        """A space by id, name or tenant/name."""
        return parsed(Space, await self._http.send(Call("GET", _space_path(space))), "space")

    async def update_space(  # noqa: PLR0913  (what may change; all but the space is optional)
        self,
        space: str,
        *,
        name: str | None = None,
        description: str | None = None,
        enabled: bool | None = None,
        inputs: Sequence[InputKind | str] | None = None,
        policy: Mapping[str, Any] | None = None,
        visibility: Visibility | str | None = None,
    ) -> Space:
        """Changes what is given and leaves the rest, also inside `policy`."""
        body: dict[str, Any] = {"name": name, "description": description, "enabled": enabled}
        if inputs is not None:
            body["inputs"] = [str(kind) for kind in inputs]
        if policy is not None:
            body["policy"] = dict(policy)
        if visibility is not None:
            body["visibility"] = str(visibility)
        changes = {field: value for field, value in body.items() if value is not None}
        answer = await self._http.send(Call("PATCH", _space_path(space), body=changes))
        return parsed(Space, answer, "space")

    async def delete_space(self, space: str) -> None:
        """Removes a space; what is queued or running in it is cancelled."""
        await self._http.send(Call("DELETE", _space_path(space)))

    async def queue(self, space: str) -> Queue:
        """How full a space is now."""
        answer = await self._http.send(Call("GET", _space_path(space) + "/queue"))
        return parsed(Queue, answer, "queue")

    async def connections(self, space: str) -> Sequence[Connection]:
        """The workers connected to a space."""
        answer = await self._http.send(Call("GET", _space_path(space) + "/connections"))
        return parsed(ConnectionPage, answer).connections

    async def watch_space(self, space: str) -> SpaceStream:
        """What changes in a space (workers, queue), across reconnects, without an end."""
        return self._socket.space((await self.get_space(space)).space_id)

    async def drain_connection(self, connection_id: str) -> None:
        """Lets a worker finish what it runs and gives it nothing new."""
        await self._http.send(Call("POST", f"/api/connections/{_ref(connection_id)}/drain"))

    async def kick_connection(self, connection_id: str) -> None:
        """Ends a worker's connection now."""
        await self._http.send(Call("POST", f"/api/connections/{_ref(connection_id)}/kick"))

    # Credentials and tenants

    async def create_worker_token(
        self, spaces: Sequence[str], *, name: str = "", tenant: str | None = None
    ) -> NewCredential:
        """A token that lets workers serve these spaces."""
        body = {"name": name or f"worker for {spaces[0]}", "spaces": list(spaces)}
        return await self._new_credential("/api/worker-tokens", body, tenant)

    async def list_worker_tokens(self) -> CredentialPage:
        """Worker tokens, revoked ones too."""
        return parsed(CredentialPage, await self._http.send(Call("GET", "/api/worker-tokens")))

    async def revoke_worker_token(self, principal_id: str) -> None:
        """Ends a token now; its workers are disconnected."""
        await self._http.send(Call("DELETE", f"/api/worker-tokens/{_ref(principal_id)}"))

    async def create_key(self, name: str, *, tenant: str | None = None) -> NewCredential:
        """An API key of a tenant."""
        return await self._new_credential("/api/keys", {"name": name}, tenant)

    async def list_keys(self) -> CredentialPage:
        """API keys, revoked ones too."""
        return parsed(CredentialPage, await self._http.send(Call("GET", "/api/keys")))

    async def revoke_key(self, principal_id: str) -> None:
        """Ends an API key now."""
        await self._http.send(Call("DELETE", f"/api/keys/{_ref(principal_id)}"))

    async def create_tenant(self, name: str) -> Tenant:
        """Makes a tenant; admins only."""
        call = Call("POST", "/api/tenants", body={"name": name}, repeat=Repeat.ONLY_UNSENT)
        return parsed(Tenant, await self._http.send(call), "tenant")

    async def list_tenants(self) -> Sequence[Tenant]:
        """The tenants that the key sees."""
        return parsed(TenantPage, await self._http.send(Call("GET", "/api/tenants"))).tenants

    async def _new_credential(
        self, path: str, body: dict[str, Any], tenant: str | None
    ) -> NewCredential:
        if tenant is not None:
            body["tenant_id"] = await self._tenant_id(tenant)
        call = Call("POST", path, body=body, repeat=Repeat.ONLY_UNSENT)
        return parsed(NewCredential, await self._http.send(call))

    async def _tenant_id(self, tenant: str) -> str:
        if is_id(tenant):
            return tenant
        for known in await self.list_tenants():
            if known.name == tenant:
                return known.tenant_id
        raise SpacesError(
            "tenant_not_found",
            f"There is no tenant {tenant!r}.",
            what_to_do="List tenants, and check the name.",
        )


def _ref(name: str) -> str:
    return quote(name, safe="")


def _space_path(space: str) -> str:
    return f"/api/spaces/{_ref(space)}"
