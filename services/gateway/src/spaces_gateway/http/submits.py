"""A submit as it arrives: JSON, or a form whose files are stored while they stream in."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.requests import Request

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal
from spaces_gateway.files.room import Uploader
from spaces_gateway.files.store import FileStore, Upload
from spaces_gateway.http.bodies import read_body, read_json
from spaces_gateway.http.forms import Form, Part, is_form, is_url_form
from spaces_gateway.http.problems import BadRequest
from spaces_gateway.submission import SubmitBody

# Values of a form are text; these fields of a submit are not.
_AS_JSON = ("parameters", "priority", "timeout_s", "queue_timeout_s", "run_timeout_s")
_FIELDS = frozenset(SubmitBody.model_fields)


class SubmitReader:
    """Reads the body of a submit."""

    def __init__(self, files: FileStore) -> None:
        self._files = files

    @asynccontextmanager
    async def reading(
        self, request: Request, actor: Principal, *, strict: bool = True
    ) -> AsyncIterator[SubmitBody]:
        """The body; files of a form are removed again when the block fails.

        `strict` refuses fields that are not known. Problems: invalid_request, payload_too_large, those of files.
        """
        if not is_form(request):
            yield _model(await self._members(request), strict)
            return
        stored: list[str] = []
        try:
            members = await self._form(request, actor, stored)
            yield _model(members, strict)
        except BaseException:
            await self._remove(stored)
            raise

    async def _members(self, request: Request) -> dict[str, Any]:
        body = await read_body(request)
        if is_url_form(request):
            pairs = parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True)
            return _from_fields(pairs)
        return _from_json(body)

    async def _form(self, request: Request, actor: Principal, stored: list[str]) -> dict[str, Any]:
        fields: list[tuple[str, str]] = []
        async for part in Form(request).parts():
            if not part.is_file:
                fields.append((part.name, await part.text()))
            elif part.file_name or part.media_type is None:
                stored.append(await self._store(part, actor))
            # else: what browsers send for a file input that was left empty
        members = _from_fields(fields)
        if stored:
            members["files"] = [*members.get("files", []), *stored]
        return members

    async def _store(self, part: Part, actor: Principal) -> str:
        upload = Upload(part.file_name, part.media_type, Uploader.of(actor))
        return (await self._files.save(upload, part.body)).file_id

    async def _remove(self, stored: list[str]) -> None:
        for file_id in stored:
            try:
                await self._files.remove(file_id)
            except ProblemError:
                return  # the store is away; the retention sweep removes what is left


def read_submit(body: bytes) -> SubmitBody:
    """A submit's JSON. Raises BadRequest."""
    return _model(_from_json(body), strict=True)


def _model(members: dict[str, Any], strict: bool) -> SubmitBody:
    if not strict:
        members = {name: value for name, value in members.items() if name in _FIELDS}
    try:
        return SubmitBody.model_validate(members)
    except ValidationError as error:
        raise BadRequest.of(error) from None


def _from_json(body: bytes) -> dict[str, Any]:
    members = read_json(body)
    if not isinstance(members, dict):
        raise BadRequest.at("#", "The body is not a JSON object.")
    return members


def _from_fields(fields: list[tuple[str, str]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, text in fields:
        if name == "files":
            members.setdefault("files", []).extend(text.replace(",", " ").split())
        elif name not in _AS_JSON:
            members[name] = text
        elif text.strip():
            members[name] = _value(name, text)
    return members


def _value(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise BadRequest.at(f"#/{name}", "The field is not valid JSON.") from None
