"""Files on their way down: in pieces, checked by their SHA-256, and under their name only when whole."""

import asyncio
import hashlib
from contextlib import aclosing
from itertools import count
from pathlib import Path
from urllib.parse import quote

from spaces_client.errors import SpacesError
from spaces_client.http_api import HttpApi
from spaces_contracts.files import FileRef


async def save_download(http: HttpApi, file: FileRef, folder: Path) -> Path:
    """Saves the file in the folder under its name, or that name with a number if it is taken."""
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    partial = folder / f".{file.file_id}.part"
    digest = hashlib.sha256()
    try:
        with partial.open("wb") as target:
            async with aclosing(http.read(f"/api/files/{quote(file.file_id)}")) as pieces:
                async for piece in pieces:
                    digest.update(piece)
                    await asyncio.to_thread(target.write, piece)
        if digest.hexdigest() != file.sha256:
            raise SpacesError(
                "file_damaged",
                f"{file.name} did not arrive as it was stored.",
                what_to_do="Fetch it again.",
                retry=True,
            )
        return _keep(partial, folder, file.name)
    finally:
        partial.unlink(missing_ok=True)


def _keep(partial: Path, folder: Path, name: str) -> Path:
    # The name comes from a worker: only its last part counts, so that it cannot leave the folder.
    plain = Path(Path(name.replace("\\", "/")).name or "file")
    for number in count(1):
        tail = "" if number == 1 else f"-{number}"
        target = folder / f"{plain.stem}{tail}{plain.suffix}"
        try:
            target.open("x").close()  # takes the name
        except FileExistsError:
            continue
        return partial.replace(target)
    raise AssertionError("count() does not end")
