"""Lists of files as the JSON bytes that the tables keep."""

from collections.abc import Sequence

from pydantic import TypeAdapter

from spaces_contracts.files import FileRef

_FILES = TypeAdapter(list[FileRef])


def encode_files(files: Sequence[FileRef]) -> bytes | None:
    """None for no files."""
    return _FILES.dump_json(list(files)) if files else None


def decode_files(body: bytes | None) -> list[FileRef]:
    """What encode_files was given."""
    return _FILES.validate_json(body) if body else []
