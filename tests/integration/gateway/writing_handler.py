"""A handler that returns a file, for the tests of results over HTTP."""

from pathlib import Path

from spaces_worker_agent import OutputFile, Request


def handler(request: Request) -> object:
    """The prompt and every input, joined in one output file."""
    path = Path(f"joined-{request.request_id}.txt")
    path.write_bytes(
        (request.prompt or "").encode() + b"".join(file.path.read_bytes() for file in request.files)
    )
    return {"files": OutputFile(path.absolute(), name="joined.txt", media_type="text/plain")}
