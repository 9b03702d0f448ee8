"""A handler that does what the prompt says, a line at a time, so that a test in a browser can direct it."""

import os
import struct
import wave
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

from spaces_worker_agent import OutputFile, Request

LOOK_S = 0.02


def handler(request: Request) -> Generator[Any, None, Any]:
    """Lines: `say TEXT`, `progress N MESSAGE`, `hold NAME` (until that file is in GATES), `fail TEXT`, `files`."""
    files: list[OutputFile] = []
    said: list[str] = []
    for line in (request.prompt or "").splitlines() or ["files in"]:
        verb, _, rest = line.partition(" ")
        if verb == "say":
            said.append(rest + "\n")
            yield said[-1]
        elif verb == "progress":
            percent, _, message = rest.partition(" ")
            request.progress(float(percent), message)
        elif verb == "hold":
            gate = Path(os.environ["GATES"]) / rest
            while not gate.exists():
                request.wait_cancelled(LOOK_S)
                request.check_cancelled()
        elif verb == "fail":
            raise ValueError(rest)
        elif verb == "files":
            files = [_picture(request.work_dir), _sound(request.work_dir), _text(request.work_dir)]
        else:
            said.append(line)
            yield line
    came = [{"name": file.name, "kind": file.kind} for file in request.files]
    result: dict[str, Any] = {"text": "".join(said)}
    if came:
        result["came"] = came
    if files:
        result["files"] = files
    return result


def _picture(folder: Path) -> OutputFile:
    rows = b"".join(b"\0" + bytes([40 + 3 * y, 90, 180] * 64) for y in range(48))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    content += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path = folder / "drawn picture.png"
    path.write_bytes(content)
    return OutputFile(path, media_type="image/png")


def _sound(folder: Path) -> OutputFile:
    path = folder / "spoken.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * 800)
    return OutputFile(path, media_type="audio/wav")


def _text(folder: Path) -> OutputFile:
    path = folder / "报告 1.txt"
    path.write_text("roses are read\n", encoding="utf-8")
    return OutputFile(path, media_type="text/plain")
