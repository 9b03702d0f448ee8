"""Covers of spaces: small pictures in the file store, for as long as their space shows them.

Each upload is an object of its own under its space, so that what replaces it is never what is removed.
"""

import hashlib

import obstore
import structlog
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import ObjectStore

from spaces_chassis.errors import ProblemError, UnavailableError
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_contracts.spaces import CoverPicture
from spaces_gateway.files import content
from spaces_gateway.files.limits import UnpackLimits
from spaces_gateway.files.pixels import image_size
from spaces_gateway.files.store import COVERS

MAX_COVER_BYTES = 512 * 1024
# A card is small: what is larger would only cost those who look at it.
LIMITS = UnpackLimits(image_pixels=16_777_216)
MEDIA_TYPES = frozenset({"image/png", "image/jpeg", "image/webp"})
_HEAD_BYTES = 65_536

log = structlog.get_logger(__name__)


class CoverStore:
    """Keeps covers.

    Raises ProblemError: file_not_found, file_too_large, file_type_mismatch, file_unsafe, unavailable.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def save(self, space_id: str, data: bytes) -> CoverPicture:
        """Stores a picture that nobody shows yet."""
        cover = await judge(data)
        try:
            await obstore.put_async(self._store, _path(space_id, cover.cover_id), data)
        except BaseError as error:
            raise _unavailable(error) from error
        return cover

    async def read(self, space_id: str, cover: CoverPicture) -> bytes:
        """Its bytes."""
        try:
            found = await obstore.get_async(self._store, _path(space_id, cover.cover_id))
            return bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError):
            raise no_cover() from None
        except BaseError as error:
            raise _unavailable(error) from error

    async def remove(self, space_id: str, cover: CoverPicture | None) -> None:
        """Of what is shown no more. Never raises: what is left behind is small, and nobody sees it."""
        if cover is None:
            return
        try:
            await obstore.delete_async(self._store, _path(space_id, cover.cover_id))
        except (NotFoundError, FileNotFoundError):
            return
        except BaseError as error:
            log.warning("cover_not_removed", space_id=space_id, error=type(error).__name__)


async def judge(data: bytes) -> CoverPicture:
    """What a picture is, by its content alone."""
    if len(data) > MAX_COVER_BYTES:
        raise too_large()

    async def read(start: int, end: int) -> bytes:
        return data[start:end]

    head = data[:_HEAD_BYTES]
    media_type = content.judge(head, None, "cover").media_type
    size = await image_size(head, read) if media_type in MEDIA_TYPES else None
    if size is None:
        raise ProblemError.of(
            Code.FILE_TYPE_MISMATCH, "A cover is a picture: PNG, JPEG or WebP. This is none."
        )
    LIMITS.check_pixels(*size)
    return CoverPicture(
        cover_id=new_id(),
        sha256=hashlib.sha256(data).hexdigest(),
        media_type=media_type,
        size_bytes=len(data),
    )


def too_large() -> ProblemError:
    """For a picture over the limit."""
    return ProblemError.of(
        Code.FILE_TOO_LARGE,
        f"A cover has at most {MAX_COVER_BYTES // 1024} KiB.",
        max_bytes=MAX_COVER_BYTES,
    )


def no_cover() -> ProblemError:
    """For a space without a picture."""
    return ProblemError.of(Code.FILE_NOT_FOUND, "This space has no cover.")


def _path(space_id: str, cover_id: str) -> str:
    return f"{COVERS}/{space_id}/{cover_id}"


def _unavailable(error: Exception) -> UnavailableError:
    return UnavailableError(f"the file store failed: {type(error).__name__}")
