"""Files: upload, read, and the signed addresses that workers use."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import EVERYTHING, Principal
from spaces_contracts.files import FileRef
from spaces_contracts.identifiers import is_id
from spaces_contracts.permissions import sight_of
from spaces_contracts.problems import Code
from spaces_contracts.requests import GetRequests
from spaces_gateway.files.ranges import ByteRange, read_range
from spaces_gateway.files.room import Uploader
from spaces_gateway.files.signing import Purpose
from spaces_gateway.files.store import StoredFile, Upload
from spaces_gateway.http import examples
from spaces_gateway.http.bodies import file_name
from spaces_gateway.http.forms import Form, is_form
from spaces_gateway.http.holders import Holders, MaybeWorker
from spaces_gateway.http.operations import Operations
from spaces_gateway.http.paths import IdInPath
from spaces_gateway.http.principals import Caller
from spaces_gateway.http.problems import BadRequest
from spaces_gateway.http.protection import download_headers
from spaces_gateway.services import Services

FileIdInPath = Annotated[str, Path(max_length=64, examples=[examples.FILE_ID])]
RangeHeader = Annotated[
    str | None, Header(alias="Range", description="One range of bytes, such as bytes=0-1023.")
]
NameHeader = Annotated[
    str | None,
    Header(alias="X-File-Name", description="The file's name, percent-encoded UTF-8 (raw bodies)."),
]
Expires = Annotated[int, Query(ge=0, le=1 << 40, description="Unix seconds.")]
Signature = Annotated[str, Query(max_length=128)]
_REFUSED = (
    Code.FILE_TOO_LARGE, Code.FILE_TYPE_MISMATCH, Code.FILE_NAME_UNSAFE, Code.FILE_UNSAFE, Code.STORAGE_FULL,
)  # fmt: skip
_SIGNED = (
    Code.SIGNATURE_INVALID, Code.SIGNATURE_EXPIRED, Code.UNAUTHENTICATED, Code.TOKEN_REVOKED,
    Code.FORBIDDEN,
)  # fmt: skip


class FilesApi:
    """Files over HTTP."""

    def __init__(self, services: Services) -> None:
        self._files = services.files
        self._links = services.links
        self._bus = services.bus
        self._holders = Holders(services.access, services.bus)

    def operations(self) -> Operations:
        """Everything under files."""
        api = Operations("files")
        api.add(
            "POST /api/files",
            self.upload_file,
            *_REFUSED,
            status=201,
            responses={201: examples.STORED},
            extra=examples.UPLOAD_BODY,
        )
        read: dict[str, Any] = {
            "response_class": Response,
            "responses": {200: examples.BYTES, 206: examples.PART},
        }
        api.add("GET /api/files/{file_id}", self.download_file, Code.FILE_NOT_FOUND, **read)
        api.add(
            "GET /files/{file_id}",
            self.download_signed_file,
            Code.FILE_NOT_FOUND,
            Code.INVALID_REQUEST,
            Code.UNAVAILABLE,
            *_SIGNED,
            **read,
        )
        for method, name in (("POST", "upload_result_file"), ("PUT", "put_result_file")):
            api.add(
                f"{method} /api/results/{{request_id}}/files",
                self.upload_result_file,
                Code.INVALID_REQUEST,
                Code.UNAVAILABLE,
                *_REFUSED,
                *_SIGNED,
                status=201,
                operation_id=name,
                responses={201: examples.STORED},
                extra=examples.RAW_BODY,
            )
        return api

    async def upload_file(
        self, request: Request, actor: Caller, name: NameHeader = None
    ) -> FileRef:
        """Upload a file.

        As a form with one part `file`, or as a raw body with Content-Type and X-File-Name.
        The content must be what the type says; it is stored while it streams in.
        """
        if is_form(request):
            return await self._from_form(request, Uploader.of(actor))
        media_type = request.headers.get("content-type")
        upload = Upload(file_name(request), media_type, Uploader.of(actor))
        return (await self._save(request, upload)).ref()

    async def download_file(
        self, file_id: FileIdInPath, actor: Caller, wanted: RangeHeader = None
    ) -> Response:
        """Download a file."""
        file = await self._files.owned(file_id, actor)
        await self._require_seen(file, actor)
        return await self._send(file, wanted)

    async def download_signed_file(
        self,
        file_id: FileIdInPath,
        request: Annotated[str, Query(max_length=64)],
        exp: Expires,
        sig: Signature,
        asker: MaybeWorker,
        wanted: RangeHeader = None,
    ) -> Response:
        """Download a file by its signed address.

        The address comes with a request (its output files), or with a job: those serve only the worker that has the
        job, which shows its token, instance and attempt.
        """
        file = await self._files.find(file_id)
        # What a worker names as its output opens only if it was uploaded for that request.
        purpose = Purpose.OUTPUT if file.request_id else Purpose.INPUT
        self._links.check(purpose, file_id, request, exp, sig)
        if file.request_id not in (None, request):
            raise ProblemError.of(Code.FILE_NOT_FOUND, f"There is no file {file_id!r}.")
        if purpose is Purpose.INPUT:
            await self._holders.check(asker, request)
        return await self._send(file, wanted)

    async def upload_result_file(  # noqa: PLR0913  # the parameters of one operation
        self,
        request: Request,
        request_id: IdInPath,
        tenant: Annotated[str, Query(max_length=64)],
        exp: Expires,
        sig: Signature,
        asker: MaybeWorker,
        name: NameHeader = None,
    ) -> FileRef:
        """Upload an output file.

        For the worker that has the job: the address comes with it. The answer goes into the result's `output_files`.
        """
        self._links.check(Purpose.UPLOAD, tenant, request_id, exp, sig)
        await self._holders.check(asker, request_id)
        upload = Upload(
            file_name(request),
            request.headers.get("content-type"),
            Uploader(tenant if is_id(tenant) else None),
            request_id,
        )
        return (await self._save(request, upload)).ref()

    async def _require_seen(self, file: StoredFile, actor: Principal) -> None:
        """Raises file_not_found for the output of a request in a space that is private to others."""
        sight = sight_of(actor)
        if file.request_id is None or sight.makers is None:
            return
        command = GetRequests(request_ids=[file.request_id], with_output=False, **dict(EVERYTHING))
        for view in (await self._bus.request(command)).requests:
            if not sight.sees(view.tenant_id, view.private_to):
                raise ProblemError.of(Code.FILE_NOT_FOUND, f"There is no file {file.file_id!r}.")

    async def _save(self, request: Request, upload: Upload) -> StoredFile:
        declared = _declared(request)
        if declared is not None and declared > self._files.max_bytes:
            raise ProblemError.of(
                Code.FILE_TOO_LARGE,
                f"The file is larger than {self._files.max_bytes} bytes.",
                max_bytes=self._files.max_bytes,
            )
        return await self._files.save(replace(upload, size_bytes=declared), _body(request))

    async def _from_form(self, request: Request, uploader: Uploader) -> FileRef:
        stored: StoredFile | None = None
        try:
            async for part in Form(request).parts():
                if not part.is_file:
                    continue
                if stored is not None:
                    raise BadRequest.at("#", "The form has more than one file.")
                upload = Upload(part.file_name, part.media_type, uploader)
                stored = await self._files.save(upload, part.body)
        except BaseException:
            if stored is not None:
                await self._files.remove(stored.file_id)
            raise
        if stored is None:
            raise BadRequest.at("#/file", "The form has no file.")
        return stored.ref()

    async def _send(self, file: StoredFile, wanted: str | None) -> Response:
        part = read_range(wanted, file.size_bytes)
        whole = part or ByteRange(0, file.size_bytes)
        headers = {
            "content-length": str(whole.end - whole.start),
            **download_headers(file.name),
            "etag": f'"{file.sha256}"',
            "accept-ranges": "bytes",
            "cache-control": "private, max-age=3600, immutable",
        }
        if part is not None:
            headers["content-range"] = f"bytes {part.start}-{part.end - 1}/{file.size_bytes}"
        if whole.end == whole.start:
            return Response(b"", headers=headers, media_type=file.media_type)
        content = await self._files.read(file, whole.start, whole.end)
        return StreamingResponse(
            content, 206 if part else 200, headers=headers, media_type=file.media_type
        )


def _declared(request: Request) -> int | None:
    length = request.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else None


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for chunk in request.stream():
        if chunk:
            yield chunk
