"""Multipart forms as they stream in: a field is held, a file is passed on in pieces and never whole."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import Message
from typing import TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from spaces_chassis.errors import ProblemError
from spaces_contracts.problems import Code
from spaces_gateway.http.bodies import MAX_JSON_BYTES, read_body, too_large
from spaces_gateway.http.problems import BadRequest

MAX_PARTS = 128
# A part is stored as it comes: nothing here decodes.
_PLAIN = {
    "content-encoding": ("", "identity"),
    "content-transfer-encoding": ("", "binary", "8bit", "7bit"),
}
URL_FORM = "application/x-www-form-urlencoded"
M = TypeVar("M", bound=BaseModel)


@dataclass
class Part:
    """One part of a form. A file's `body` must be read before the next part is asked for."""

    name: str
    file_name: str | None
    media_type: str | None
    body: AsyncIterator[bytes]

    @property
    def is_file(self) -> bool:
        """Whether the client sent it as a file."""
        return self.file_name is not None

    async def text(self) -> str:
        """A field's value. Problem: payload_too_large."""
        held = b""
        async for piece in self.body:
            held += piece
            if len(held) > MAX_JSON_BYTES:
                raise too_large(MAX_JSON_BYTES)
        try:
            return held.decode()
        except UnicodeDecodeError:
            raise BadRequest.at(f"#/{self.name}", "The field is not UTF-8.") from None


@dataclass
class _Events:
    """What the parser saw and nobody took yet: a part's headers, a piece of a body, or an end (None)."""

    seen: deque[dict[str, str] | bytes | None] = field(default_factory=deque)
    headers: dict[str, str] = field(default_factory=dict)
    header_name: bytes = b""
    header_value: bytes = b""
    parts: int = 0
    ended: bool = False

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self.headers = {}
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise BadRequest.at("#", f"The form has more than {MAX_PARTS} parts.")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self.header_name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self.header_value += data[start:end]

    def _header_end(self) -> None:
        name = self.header_name.decode("latin-1").lower()
        self.headers[name] = self.header_value.decode("utf-8", errors="replace")
        self.header_name = self.header_value = b""

    def _headers_finished(self) -> None:
        self.seen.append(self.headers)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self.seen.append(data[start:end])

    def _part_end(self) -> None:
        self.seen.append(None)

    def _end(self) -> None:
        self.ended = True


class Form:
    """The parts of a request's form, in their order."""

    def __init__(self, request: Request) -> None:
        _, options = parse_options_header(request.headers.get("content-type", ""))
        boundary = options.get(b"boundary")
        if not boundary:
            raise BadRequest.at("header/Content-Type", "The form names no boundary.")
        self._events = _Events()
        try:
            self._parser = MultipartParser(boundary, self._events.callbacks())  # type: ignore[arg-type]  # its TypedDict is private
        except FormParserError as error:
            raise BadRequest.at("header/Content-Type", str(error)) from None
        self._stream = request.stream()

    async def parts(self) -> AsyncIterator[Part]:
        """Each part; what a reader left of a part is skipped."""
        while (event := await self._next()) is not None:
            if not isinstance(event, dict):
                continue  # the rest of a part that nobody read
            part = _part(event, self._body())
            yield part
            async for _ in part.body:
                continue

    async def _body(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next(), bytes):
            yield event

    async def _next(self) -> dict[str, str] | bytes | None:
        """The next event; None at the end of a part, and at the end of the form."""
        seen = self._events.seen
        while not seen:
            chunk = await anext(self._stream, b"")
            if not chunk:
                if not self._events.ended:
                    # Without this a file that was cut off would count as whole.
                    raise BadRequest.at("#", "The form breaks off before its last boundary.")
                return None
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise BadRequest.at("#", f"The form cannot be read: {error}") from None
        return seen.popleft()


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


@dataclass
class SmallFile:
    """A file of a form that is held whole, when it is there and not over its limit."""

    name: str
    max_bytes: int
    data: bytes | None = None

    async def take(self, part: Part) -> None:
        """Reads the part. What is over the limit is not kept, and the form goes on."""
        held = b""
        async for piece in part.body:
            held += piece
            if len(held) > self.max_bytes:
                return
        self.data = held


async def read_form(model: type[M], request: Request, file: SmallFile | None = None) -> M:
    """The fields of either kind of form as a model; its files but the one are left out. Raises BadRequest."""
    fields: dict[str, str] = {}
    if is_form(request):
        async for part in Form(request).parts():
            if not part.is_file:
                fields[part.name] = await part.text()
            elif file is not None and part.name == file.name:
                await file.take(part)
    elif is_url_form(request):
        body = await read_body(request)
        try:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
        except ValueError:
            raise BadRequest.at("#", "The form is not UTF-8.") from None
    else:
        raise BadRequest.at("header/Content-Type", f"Send a form: {URL_FORM}.")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise BadRequest.of(error) from None


def is_url_form(request: Request) -> bool:
    """Whether the body is what a plain HTML form sends."""
    return request.headers.get("content-type", "").lower().startswith(URL_FORM)


def _part(headers: dict[str, str], body: AsyncIterator[bytes]) -> Part:
    disposition = Message()
    disposition["content-disposition"] = headers.get("content-disposition", "")
    name = disposition.get_param("name", header="content-disposition")
    if not isinstance(name, str):
        raise BadRequest.at("#", "A part of the form has no name.")
    for header, plain in _PLAIN.items():
        said = headers.get(header, "").strip().lower()
        if said not in plain:
            raise ProblemError.of(
                Code.CONTENT_ENCODING_REFUSED, f"Part {name[:100]!r} is encoded as {said[:40]!r}."
            )
    return Part(name, disposition.get_filename(), headers.get("content-type"), body)
