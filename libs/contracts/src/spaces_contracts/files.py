"""Files travel by reference: bytes never pass through NATS or PostgreSQL."""

from enum import StrEnum

from spaces_contracts.identifiers import FileId
from spaces_contracts.message import Contract


class InputKind(StrEnum):
    """What a space may take."""

    PROMPT = "prompt"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    FILE = "file"


class FileRef(Contract):
    """One stored file. `url` is a path on the gateway's origin, signed and short-lived.

    That of a job's file, as its `upload_url`, serves the job's worker only: the call carries
    `Authorization: Bearer TOKEN`, `Spaces-Instance` (the agent's instance_id) and `Spaces-Attempt`.
    """

    file_id: FileId
    name: str
    kind: InputKind
    media_type: str
    size_bytes: int
    sha256: str
    url: str | None = None
