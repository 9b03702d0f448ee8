"""What a file really is, judged by its first bytes against what it says it is. Pure."""

import mimetypes
import re
from dataclasses import dataclass

import puremagic

from spaces_chassis.errors import ProblemError
from spaces_contracts.files import InputKind
from spaces_contracts.problems import Code

# Enough for every signature that puremagic knows at the start of a file.
HEAD_BYTES = 8192
# A signature of two or three bytes also begins ordinary text: alone it decides nothing.
SURE = 0.3
ALIKE = 0.2

_MEDIA = {"image": InputKind.IMAGE, "audio": InputKind.AUDIO, "video": InputKind.VIDEO}
# What programs send when they do not know; curl's --data-binary says it sends a form.
_UNDECLARED = frozenset(
    {"", "application/octet-stream", "application/x-www-form-urlencoded", "binary/octet-stream"}
)
# Containers whose first bytes do not tell whether there is a picture beside the sound.
_CONTAINERS = re.compile(r"mp4|ogg|webm|matroska|quicktime|3gpp|ms-asf|x-ms-w[mv]")
_MEDIA_TYPE = re.compile(r"^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,127}$")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
MAX_NAME_BYTES = 200


@dataclass(frozen=True)
class Content:
    """What a file is taken for."""

    kind: InputKind
    media_type: str


@dataclass(frozen=True)
class _Match:
    kind: InputKind | None
    media_type: str
    confidence: float


def judge(head: bytes, declared: str | None, name: str) -> Content:
    """The kind and type of a file that starts with `head`. Problem: file_type_mismatch.

    A declared image, audio or video must look like one. A file declared as something else must not be one.
    Without a declaration the content decides.
    """
    media_type = plain_media_type(declared)
    matches = _matches(head)
    kind = _MEDIA.get(media_type.split("/")[0])
    if kind is not None:
        if kind in _possible(matches):
            return Content(kind, media_type)
        raise _mismatch(name, media_type, matches)
    best = matches[0] if matches and matches[0].confidence >= SURE else None
    if media_type in _UNDECLARED:
        if best is not None and best.kind is not None:
            return Content(best.kind, best.media_type)
        return Content(InputKind.FILE, _by_name(name))
    if best is not None and best.kind is not None and not _CONTAINERS.search(media_type):
        raise _mismatch(name, media_type, matches)
    return Content(InputKind.FILE, media_type)


def plain_media_type(declared: str | None) -> str:
    """A media type without parameters, in lower case; empty when there is none."""
    media_type = (declared or "").split(";")[0].strip().lower()
    return media_type if _MEDIA_TYPE.match(media_type) else ""


def safe_name(name: str | None) -> str:
    """A name that is one path component, has no control characters, and is not too long."""
    last = re.split(r"[/\\]", name or "")[-1]
    last = _UNSAFE.sub("", last).strip().lstrip(".") or "file"
    stem, dot, ending = last.rpartition(".")
    if not dot or len(ending.encode()) > 20:
        stem, dot, ending = last, "", ""
    room = MAX_NAME_BYTES - len(ending.encode()) - len(dot)
    return stem.encode()[:room].decode(errors="ignore") + dot + ending


def _matches(head: bytes) -> list[_Match]:
    if not head:
        return []
    try:
        found = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return []
    matches = []
    for match in found:
        media_type = match.mime_type or mimetypes.guess_type("x" + match.extension)[0] or ""
        kind = _MEDIA.get(media_type.split("/")[0])
        if media_type:
            matches.append(_Match(kind, media_type, match.confidence))
    best = max((match.confidence for match in matches), default=0.0)
    # Two formats may begin alike; a much shorter signature that fits too says nothing.
    alike = [match for match in matches if match.confidence > best - ALIKE]
    return sorted(alike, key=lambda match: -match.confidence)


def _possible(matches: list[_Match]) -> set[InputKind]:
    kinds = {match.kind for match in matches if match.kind is not None}
    if any(_CONTAINERS.search(match.media_type) for match in matches):
        kinds |= {InputKind.AUDIO, InputKind.VIDEO}
    return kinds


def _mismatch(name: str, declared: str, matches: list[_Match]) -> ProblemError:
    looks = matches[0].media_type if matches else "nothing known"
    return ProblemError.of(
        Code.FILE_TYPE_MISMATCH,
        f"File {name!r} says it is {declared}, but its content looks like {looks}.",
        declared=declared,
        looks_like=looks,
    )


def _by_name(name: str) -> str:
    guess = mimetypes.guess_type(name)[0] or ""
    known = guess and guess.split("/")[0] not in _MEDIA
    return guess if known else "application/octet-stream"
