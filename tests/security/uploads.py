"""500 hostile uploads over raw sockets: 0 may be accepted, stored or traced back.

Files that lie about their type, bombs, names that lead elsewhere, forms that break off, bodies that contradict their
headers, and compressed bodies. Each goes to the address of single files and many to the forms of submits.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from tests.security import payloads
from tests.security.campaign import Campaign
from tests.support.platform import Platform

ENVIRON = payloads.ENVIRON
SPACE = "attacked"
FILES = "/api/files"
SUBMIT = f"/api/spaces/{SPACE}/requests"
BOUNDARY = "spaces-security-boundary"
NAMES = [
    "../x.png", "..\\x.png", "../../../../etc/passwd", "/etc/passwd", "/x.png", "\\\\host\\share\\x", "C:\\x.png",
    "c:/windows/x", "a/../../x", "a\\..\\x", "..", "a/..", "~/.ssh/authorized_keys", "x\0.png", "x.png\0.exe",
    "x\r\nSet-Cookie: a=b", "x\nX: y", "\x1b[2Jx", "x\u202egnp.exe", "x\u2066y", "%2e%2e%2fx", "%2e%2e/x",
    "..%2fx", "..%5cx", "%252e%252e%252fx", "%2fetc%2fpasswd", "%00x", "a%0d%0aX: y", "....//../x", " .. /x",
]  # fmt: skip


class Case(NamedTuple):
    """One upload: what it is, and the bytes of its request."""

    what: str
    request: bytes
    cut: bool = False  # the sender hangs up behind it


def cases(key: str, host: str) -> Iterator[Case]:
    """All of them, in kinds."""
    made = _Requests(key, host)
    yield from made.typed(payloads.lies())
    yield from made.typed(payloads.bombs())
    yield from made.named()
    yield from made.broken_forms()
    yield from made.contradictions()


async def run(platform: Platform, most: int | None = None) -> Campaign:
    """Sends them to the first gateway of a platform started with ENVIRON; `most` for a small form."""
    found = Campaign("uploads")
    if SPACE not in _spaces:
        platform.create_space(
            SPACE,
            inputs=["prompt", "image", "audio", "video", "file"],
            policy={"when_offline": "queue"},
        )
        _spaces.add(SPACE)
    host = urlsplit(platform.gateway_url).netloc
    log, folder = _places(platform)
    logged, stored = log.stat().st_size, _stored(folder)
    every = list(cases(platform.admin_key, host))
    for case in every[:: 1 if most is None else max(1, len(every) // most)]:
        found.attempts += 1
        status = await _send(host, case)
        if 200 <= status < 300:
            found.wrongly_allowed.append(f"{case.what}: {status}")
        elif status >= 500:
            found.errors.append(f"{case.what}: {status}")
    left = _stored(folder) - stored
    if left:
        found.wrongly_allowed.append(f"{len(left)} files were left in the store")
    for what, media_type, content in payloads.honest():
        found.attempts += 1
        headers = {"Content-Type": media_type, "X-File-Name": "a.bin"}
        request = _Requests(platform.admin_key, host).request(FILES, content, headers)
        status = await _send(host, Case(what, request))
        if status != 201:
            found.wrongly_refused.append(f"{what}: {status}")
    found.errors += _accidents(log, logged)
    return found


_spaces: set[str] = set()


class _Requests:
    def __init__(self, key: str, host: str) -> None:
        self._key = key
        self._host = host

    def request(
        self,
        path: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        length: int | None = None,
    ) -> bytes:
        """A POST; `length` when it is not that of the body, -1 for none."""
        given = {"Host": self._host, "Authorization": f"Bearer {self._key}", "Connection": "close"}
        given |= headers or {}
        if length != -1:
            given["Content-Length"] = str(len(body) if length is None else length)
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def form(self, body: bytes, path: str = FILES, **more: str) -> bytes:
        """A POST of a form."""
        return self.request(
            path, body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"} | more
        )

    def typed(
        self, files: Iterator[tuple[str, str, bytes]] | tuple[tuple[str, str, bytes], ...]
    ) -> Iterator[Case]:
        """Raw, and as parts of a form that submits."""
        for number, (what, media_type, content) in enumerate(files):
            if number % 3:
                headers = {"Content-Type": media_type} if media_type else {}
                yield Case(what, self.request(FILES, content, headers))
            else:
                path = SUBMIT if number % 2 else FILES
                yield Case(
                    f"{what}, in a form", self.form(_whole(_part(content, media_type)), path)
                )

    def named(self) -> Iterator[Case]:
        """In the header, in a form, and in a form that submits."""
        content = payloads.png()
        for name in NAMES:
            escaped = quote(name.encode(), safe="")
            yield Case(f"header {name!r}", self.request(FILES, content, {"X-File-Name": escaped}))
            parameter = f"filename*=UTF-8''{escaped}"
            yield Case(f"form {name!r}", self.form(_whole(_part(content, "image/png", parameter))))
            if name.isprintable():
                plain = 'filename="' + name.replace("\\", "\\\\") + '"'
                part = _part(content, "image/png", plain)
                yield Case(f"submit {name!r}", self.form(_whole(part), SUBMIT))

    def broken_forms(self) -> Iterator[Case]:
        """Cut off at any place, and made wrong."""
        whole = _whole(_part(payloads.png(), "image/png"))
        for number, at in enumerate(range(1, len(whole) - 4, max(1, len(whole) // 60))):
            path = SUBMIT if number % 2 else FILES
            yield Case(f"form of {at} bytes", self.form(whole[:at], path))
            sent = self.request(
                path, whole, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            )
            yield Case(f"hung up after {at} bytes", sent[: len(sent) - len(whole) + at], cut=True)
        head = self.form(whole)[: -len(whole)]
        for at in range(20, len(head), max(1, len(head) // 12)):
            yield Case(f"hung up after {at} bytes of its head", head[:at], cut=True)
        usual = f"multipart/form-data; boundary={BOUNDARY}"
        field = b'Content-Disposition: form-data; name="prompt"\r\n\r\n'
        coded = (b"Content-Transfer-Encoding: base64\r\n", b"Content-Encoding: gzip\r\n")
        wrong = {
            "no boundary": ("multipart/form-data", whole),
            "another boundary": ("multipart/form-data; boundary=other", whole),
            "an empty boundary": ("multipart/form-data; boundary=", whole),
            "a long boundary": (f"multipart/form-data; boundary={'b' * 300}", whole),
            "nothing": (usual, b""),
            "no file": (usual, _whole(field + b"x")),
            "no name": (usual, _whole(b"Content-Disposition: form-data\r\n\r\nx")),
            "no disposition": (usual, _whole(b"A: b\r\n\r\nx")),
            "bare line ends": (usual, whole.replace(b"\r\n", b"\n")),
            "two files": (usual, _whole(_part(b"a", ""), _part(b"b", ""))),
            "200 parts": (usual, _whole(*[field + b"x"] * 200)),
            "a base64 part": (usual, _whole(_part(b"YQ==", "text/plain", more=coded[0]))),
            "a gzip part": (usual, _whole(_part(b"YQ==", "text/plain", more=coded[1]))),
            "a huge field": (usual, _whole(field + b"x" * 2_000_000)),
        }
        for what, (content_type, body) in wrong.items():
            for path in (FILES, SUBMIT):
                if what in ("two files", "no file", "no name") and path == SUBMIT:
                    continue  # a submit may have many files, or none
                yield Case(
                    f"form with {what}", self.request(path, body, {"Content-Type": content_type})
                )

    def contradictions(self) -> Iterator[Case]:
        """Headers against the body and each other, and compressed bodies."""
        content = payloads.png()
        for encoding in (
            "gzip",
            "deflate",
            "br",
            "zstd",
            "compress",
            "gzip, gzip",
            "identity, gzip",
            "GZIP",
        ):
            for path in (FILES, SUBMIT):
                yield Case(
                    f"encoded {encoding}",
                    self.request(path, content, {"Content-Encoding": encoding}),
                )
        too_large = 9 * payloads.MIB
        yield Case(
            "length over the limit", self.request(FILES, content, length=too_large), cut=True
        )
        yield Case("body over the limit", self.request(FILES, bytes(too_large)))
        yield Case(
            "longer than it is", self.request(FILES, content, length=len(content) + 10), cut=True
        )
        chunked = {"Transfer-Encoding": "chunked"}
        for what, body in {
            "chunks without an end": b"5\r\nhello\r\n",
            "a chunk that breaks off": b"ff\r\nhello",
            "a chunk of no size": b"zz\r\nhello\r\n0\r\n\r\n",
            "a chunk of minus one": b"-1\r\nhello\r\n0\r\n\r\n",
            "a chunk of 2^64": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        }.items():
            yield Case(what, self.request(FILES, body, chunked, length=-1), cut=True)
        both = self.request(FILES, b"5\r\nhello\r\n0\r\n\r\n", chunked, length=3)
        yield Case("length and chunks", both, cut=True)
        for length in ("-1", "+5", "0x5", "5 5", "5, 6", "", "9" * 40):
            sent = self.request(FILES, b"hello", {"Content-Length": length}, length=-1)
            yield Case(f"length {length!r}", sent, cut=True)
        sent = self.request(FILES, b"hello")
        twice = sent.replace(b"Content-Length: 5", b"Content-Length: 5\r\nContent-Length: 6")
        yield Case("two lengths", twice, cut=True)


def _part(
    content: bytes, media_type: str, name: str = 'filename="a.bin"', more: bytes = b""
) -> bytes:
    kind = f"Content-Type: {media_type}\r\n".encode() if media_type else b""
    head = f'Content-Disposition: form-data; name="file"; {name}\r\n'.encode()
    return head + kind + more + b"\r\n" + content


def _whole(*parts: bytes) -> bytes:
    edge = b"--" + BOUNDARY.encode()
    return b"".join(edge + b"\r\n" + part + b"\r\n" for part in parts) + edge + b"--\r\n"


async def _send(host: str, case: Case) -> int:
    """The status of the answer; 0 when the gateway hung up without one."""
    name, _, port = host.rpartition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    try:
        async with asyncio.timeout(30):
            writer.write(case.request)
            if case.cut:
                writer.write_eof()
            line = await reader.readline()
            status = line.split(b" ")[1] if line.count(b" ") else b"0"
            while await reader.read(65_536):
                continue
            return int(status)
    except (OSError, EOFError):
        return 0
    except TimeoutError:
        return 599
    finally:
        writer.close()


def _places(platform: Platform) -> tuple[Path, Path]:
    """The gateway's log and its files."""
    return platform.folder / "logs" / "gateway.log", platform.folder / "files"


def _stored(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def _accidents(log: Path, start: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    signs = ("Traceback", "http_failed", '"level": "error"', "Exception")
    return [line[:300] for line in lines if any(sign in line for sign in signs)]
