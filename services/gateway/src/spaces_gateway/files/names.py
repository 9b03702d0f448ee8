"""Names of uploaded files: what leads elsewhere is refused, the rest is cut down to one plain component. Pure."""

import re
from urllib.parse import unquote

from spaces_chassis.errors import ProblemError
from spaces_contracts.problems import Code

MAX_NAME_BYTES = 200
# Control characters, and those that turn the direction of text and so hide an ending.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_ABSOLUTE = re.compile(r"[/\\~]|[A-Za-z]:[/\\]")
# A name that was escaped more often than it is unescaped may become another one at the next reader.
_UNESCAPES = 3


def check_name(name: str | None) -> None:
    """Refuses a name that was made to be read as a path elsewhere. Problem: file_name_unsafe."""
    text = name or ""
    for _ in range(_UNESCAPES):
        if _CONTROL.search(text):
            raise _unsafe(name, "has control characters")
        if _ABSOLUTE.match(text):
            raise _unsafe(name, "is an absolute path")
        if ".." in (part.strip() for part in re.split(r"[/\\]", text)):
            raise _unsafe(name, "leads to a directory above")
        text = unquote(text)


def safe_name(name: str | None) -> str:
    """A name that is one path component, has no control characters, and is not too long."""
    last = re.split(r"[/\\]", name or "")[-1]
    last = _CONTROL.sub("", last).strip().lstrip(".") or "file"
    stem, dot, ending = last.rpartition(".")
    if not dot or len(ending.encode()) > 20:
        stem, dot, ending = last, "", ""
    room = MAX_NAME_BYTES - len(ending.encode()) - len(dot)
    return stem.encode()[:room].decode(errors="ignore") + dot + ending


def _unsafe(name: str | None, why: str) -> ProblemError:
    return ProblemError.of(Code.FILE_NAME_UNSAFE, f"The file's name {(name or '')[:100]!r} {why}.")
