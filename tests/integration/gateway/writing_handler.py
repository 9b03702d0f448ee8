"""A handler that returns a file, for the tests of results over HTTP."""

import tempfile
from pathlib import Path

from spaces_worker_agent import OutputFile, Request


def handler(request: Request) -> object:
    """The prompt and every input, joined in one output file."""
    path = Path(tempfile.mkdtemp()) / "joined.bin"
    path.write_bytes(
        (request.prompt or "").encode() + b"".join(file.path.read_bytes() for file in request.files)
    )
    return {"files": OutputFile(path, media_type="application/octet-stream")}
