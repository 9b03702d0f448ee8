"""Files in an object store: a local directory or S3. Each file is an object and a small JSON object beside it.

The second is written last, so a file without it does not exist. Objects lie by day, which is read from the
file's id, so that old ones are found without looking at young ones.
"""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import LocalStore, ObjectStore, from_url
from pydantic import BaseModel, ConfigDict

from spaces_chassis.errors import ProblemError, UnavailableError
from spaces_chassis.metrics import Metrics
from spaces_contracts.access import Principal
from spaces_contracts.files import FileRef, InputKind
from spaces_contracts.identifiers import is_id, new_id
from spaces_contracts.problems import Code
from spaces_gateway.files.content import HEAD_BYTES, Content, judge
from spaces_gateway.files.examination import examine
from spaces_gateway.files.limits import UnpackLimits
from spaces_gateway.files.meters import FileMeters
from spaces_gateway.files.names import check_name, safe_name
from spaces_gateway.files.room import HeldRoom, Room, Uploader

# S3 takes no smaller part; two in flight bound the memory of one upload to 10 MiB.
PART_BYTES = 5 * 1024 * 1024
PARTS_IN_FLIGHT = 2
READ_BYTES = 256 * 1024
# Beside the days: what a space shows stays as long as the space does (covers.py).
COVERS = "covers"
_ALPHABET = {char: value for value, char in enumerate("0123456789abcdefghjkmnpqrstvwxyz")}


class StoredFile(BaseModel):
    """What is known about a file, as it lies beside it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    file_id: str
    tenant_id: str | None  # None: uploaded by an admin, who has no tenant
    key_id: str | None = None  # of the key that uploaded it
    request_id: str | None  # set for the output of a request
    name: str
    kind: InputKind
    media_type: str
    size_bytes: int
    sha256: str
    created_at: datetime

    def ref(self) -> FileRef:
        """The file as messages carry it."""
        return FileRef.model_validate(
            self.model_dump(exclude={"tenant_id", "key_id", "created_at"})
        )


@dataclass(frozen=True)
class Upload:
    """What an uploader says about a file."""

    name: str | None
    media_type: str | None
    by: Uploader
    request_id: str | None = None
    size_bytes: int | None = None  # when it is said beforehand


class FileStore:
    """Keeps files. Raises ProblemError: file_not_found, file_too_large, file_type_mismatch, file_name_unsafe,
    file_unsafe, unavailable."""

    def __init__(
        self,
        store: ObjectStore,
        max_bytes: int,
        meters: FileMeters | None = None,
        room: Room | None = None,
        limits: UnpackLimits | None = None,
    ) -> None:
        self._store = store
        self._meters = meters or FileMeters(Metrics("files"))
        self._room = room
        self._limits = limits or UnpackLimits()
        self.max_bytes = max_bytes

    async def save(self, upload: Upload, body: AsyncIterator[bytes]) -> StoredFile:
        """Stores a stream as it comes; nothing is left when it breaks off, is too large or not what it says."""
        check_name(upload.name)
        file_id = new_id()
        held = HeldRoom(self._room, upload.by, _day(file_id))
        stored_bytes = 0
        try:
            if upload.size_bytes:
                await held.cover(min(upload.size_bytes, self.max_bytes), exactly=True)
            stored = await self._save(file_id, upload, body, held)
            stored_bytes = stored.size_bytes
            return stored
        finally:
            await held.settle(stored_bytes)

    async def _save(
        self, file_id: str, upload: Upload, body: AsyncIterator[bytes], held: HeldRoom
    ) -> StoredFile:
        intake = _Intake(upload, body, self.max_bytes, self._meters, held)
        head = await intake.read_head()
        name = safe_name(upload.name)
        content = judge(head, upload.media_type, name)
        await self._put(_data(file_id), intake)
        await self._examine(file_id, content, head, intake.size)
        stored = StoredFile(
            file_id=file_id,
            tenant_id=upload.by.tenant_id,
            key_id=upload.by.key_id,
            request_id=upload.request_id,
            name=name,
            kind=content.kind,
            media_type=content.media_type,
            size_bytes=intake.size,
            sha256=intake.digest.hexdigest(),
            created_at=datetime.now(UTC),
        )
        try:
            await obstore.put_async(self._store, _meta(file_id), stored.model_dump_json().encode())
        except BaseError as error:
            raise _unavailable(error) from error
        self._meters.stored[stored.kind].inc()
        return stored

    async def _examine(self, file_id: str, content: Content, head: bytes, size: int) -> None:
        """Removes the data of a file that is refused for what it would become."""

        async def read(start: int, end: int) -> bytes:
            if end <= len(head):
                return head[start:end]
            found = await obstore.get_range_async(self._store, _data(file_id), start=start, end=end)
            return bytes(found)

        if not size:
            return
        try:
            await examine(content.media_type, size, read, self._limits)
        except BaseError as error:
            raise _unavailable(error) from error
        except ProblemError:
            await self.remove(file_id)
            raise

    async def find(self, file_id: str) -> StoredFile:
        """What is known about a file. Problem: file_not_found."""
        if not is_id(file_id):
            raise _not_found(file_id)
        try:
            found = await obstore.get_async(self._store, _meta(file_id))
            return StoredFile.model_validate_json(bytes(await found.bytes_async()))
        except (NotFoundError, FileNotFoundError):
            raise _not_found(file_id) from None
        except BaseError as error:
            raise _unavailable(error) from error

    async def owned(
        self, file_id: str, actor: Principal, tenant_id: str | None = None
    ) -> StoredFile:
        """A file that the actor may read and, when a tenant is named, use in that tenant's space.

        What belongs to others is not found.
        """
        file = await self.find(file_id)
        if actor.is_admin:
            allowed = tenant_id is None or file.tenant_id in (None, tenant_id)
        else:
            allowed = file.tenant_id == actor.tenant_id and tenant_id in (None, actor.tenant_id)
        if not allowed:
            raise _not_found(file_id)
        return file

    async def read(self, file: StoredFile, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes from `start` up to (not with) `end`, at least one. Problem: file_not_found."""
        try:
            found = await obstore.get_async(
                self._store, _data(file.file_id), options={"range": (start, end)}
            )
        except (NotFoundError, FileNotFoundError):
            raise _not_found(file.file_id) from None
        except BaseError as error:
            raise _unavailable(error) from error
        return self._chunks(found)

    async def remove(self, file_id: str) -> None:
        """Removes a file; it is no error when it is gone."""
        await self._give_back(file_id)
        for path in (_meta(file_id), _data(file_id)):
            try:
                await obstore.delete_async(self._store, path)
            except (NotFoundError, FileNotFoundError):
                continue
            except BaseError as error:
                raise _unavailable(error) from error

    async def _give_back(self, file_id: str) -> None:
        if self._room is None:
            return
        try:
            file = await self.find(file_id)
        except ProblemError:
            return
        uploader = Uploader(file.tenant_id, file.key_id)
        await self._room.give_back(uploader, file.size_bytes, _day(file_id))

    async def days(self) -> list[date]:
        """The days that have files."""
        listed = await obstore.list_with_delimiter_async(self._store)
        found = [prefix for prefix in listed["common_prefixes"] if prefix.rstrip("/") != COVERS]
        return sorted(date.fromisoformat(prefix) for prefix in found)

    async def remove_day(self, day: date) -> int:
        """Removes all files of a day. Returns how many objects that were."""
        count = 0
        async for page in obstore.list(self._store, prefix=day.isoformat(), chunk_size=500):
            paths = [entry["path"] for entry in page]
            await obstore.delete_async(self._store, paths)
            count += len(paths)
        if isinstance(self._store, LocalStore) and self._store.prefix is not None:
            # What a killed process had half written is not listed; here it lies in the day's directory.
            folder = Path(self._store.prefix) / day.isoformat()
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        return count

    async def _chunks(self, found: "obstore.GetResult") -> AsyncIterator[bytes]:
        async for chunk in found.stream(min_chunk_size=READ_BYTES):
            self._meters.sent_bytes.inc(len(chunk))
            yield bytes(chunk)

    async def _put(self, path: str, intake: "_Intake") -> None:
        try:
            await obstore.put_async(
                self._store,
                path,
                intake.chunks(),
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_IN_FLIGHT,
                use_multipart=True,
            )
        except asyncio.CancelledError:
            intake.broken = True  # the store's own task goes on until the stream ends: let it fail
            raise
        except BaseError as error:
            raise _unavailable(error) from error


class _Intake:
    """A body on its way in: counted, hashed, and cut off at the limit."""

    def __init__(
        self,
        upload: Upload,
        body: AsyncIterator[bytes],
        max_bytes: int,
        meters: FileMeters,
        held: HeldRoom,
    ) -> None:
        self._received = meters.received_bytes
        self._name = safe_name(upload.name)
        self._body = body
        self._held = held
        self._max_bytes = max_bytes
        self._waiting: list[bytes] = []
        self.digest = hashlib.sha256()
        self.size = 0
        self.broken = False

    async def read_head(self) -> bytes:
        """The first bytes, which are stored later with the rest."""
        head = b""
        while len(head) < HEAD_BYTES:
            chunk = await anext(self._body, None)
            if chunk is None:
                break
            self._take(chunk)
            await self._held.cover(self.size)
            head += chunk[:HEAD_BYTES]
        return head

    async def chunks(self) -> AsyncIterator[bytes]:
        """Everything, in order."""
        while self._waiting:
            yield self._waiting.pop(0)
        async for chunk in self._body:
            self._take(chunk)
            await self._held.cover(self.size)
            yield self._waiting.pop()
            if self.broken:
                raise asyncio.CancelledError

    def _take(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._received.inc(len(chunk))
        if self.size > self._max_bytes:
            raise ProblemError.of(
                Code.FILE_TOO_LARGE,
                f"File {self._name!r} is larger than {self._max_bytes} bytes.",
                max_bytes=self._max_bytes,
            )
        self.digest.update(chunk)
        self._waiting.append(chunk)


def open_store(location: str, options: dict[str, Any] | None = None) -> ObjectStore:
    """A store from a directory's path or an address such as s3://bucket/prefix."""
    if "://" in location:
        return from_url(location, **(options or {}))
    folder = Path(location)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return LocalStore(folder, automatic_cleanup=True)


def _day(file_id: str) -> str:
    """The day in an id: its first 48 of 128 bits are milliseconds."""
    value = 0
    for char in file_id[:10]:
        value = value << 5 | _ALPHABET.get(char, 0)
    try:
        return datetime.fromtimestamp((value & (1 << 48) - 1) / 1000, UTC).date().isoformat()
    except (ValueError, OverflowError):
        return "9999-12-31"  # an id that was not made here: nothing is found


def _data(file_id: str) -> str:
    return f"{_day(file_id)}/{file_id}.data"


def _meta(file_id: str) -> str:
    return f"{_day(file_id)}/{file_id}.json"


def _not_found(file_id: str) -> ProblemError:
    return ProblemError.of(Code.FILE_NOT_FOUND, f"There is no file {file_id!r}.")


def _unavailable(error: Exception) -> UnavailableError:
    return UnavailableError(f"the file store failed: {type(error).__name__}")
