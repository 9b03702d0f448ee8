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
# How a file of a type must begin, for types whose readers are much alike but for this.
_BEGINS = {
    rb"\x89PNG\r\n\x1a\n": ("image/png", "image/apng", "image/x-png"),
    rb"\xff\xd8\xff": ("image/jpeg", "image/jpg", "image/pjpeg", "image/mpo"),
    rb"GIF8[79]a": ("image/gif",),
    rb"RIFF....WEBP": ("image/webp",),
    rb"BM": ("image/bmp", "image/x-ms-bmp"),
    rb"II[*+]\x00|MM\x00[*+]": ("image/tiff",),
    rb"fLaC|ID3": ("audio/flac", "audio/x-flac"),
    rb"(RIFF|RF64|BW64)....WAVE": ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"),
    rb".{0,1019}%PDF-": ("application/pdf",),
    rb"PK(\x03\x04|\x05\x06|\x07\x08)": (
        "application/zip",
        "application/x-zip-compressed",
        "application/java-archive",
        "application/epub+zip",
        "application/vnd.android.package-archive",
    ),
    rb"\x1f\x8b": ("application/gzip", "application/x-gzip"),
    rb"BZh[1-9]": ("application/x-bzip2", "application/bzip2"),
    rb"\xfd7zXZ\x00": ("application/x-xz",),
    rb"\x28\xb5\x2f\xfd": ("application/zstd", "application/x-zstd"),
    rb"7z\xbc\xaf\x27\x1c": ("application/x-7z-compressed",),
    rb"Rar!\x1a\x07": ("application/vnd.rar", "application/x-rar-compressed"),
    # Word opens rich text and, by an old habit, calls it its own.
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1|\{\\rtf": ("application/msword",),
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("application/vnd.ms-powerpoint",),
    rb"\{\\rtf": ("application/rtf", "text/rtf"),
    rb"\x00asm": ("application/wasm",),
}
_MUST_BEGIN = {
    media_type: re.compile(begin, re.DOTALL)
    for begin, types in _BEGINS.items()
    for media_type in types
}
# What begins so is no other picture, sound or video. TIFF and ID3 are not among them: other formats build on those.
_OWN = [
    (re.compile(begin, re.DOTALL), types)
    for begin, types in _BEGINS.items()
    if not {"image/tiff", "image/bmp", "audio/flac", "application/pdf"} & set(types)
]
# A zip, or with a password the container that came before.
_OFFICE = re.compile(rb"PK(\x03\x04|\x05\x06|\x07\x08)|\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_ZIPPED = re.compile(r"application/vnd\.(openxmlformats-officedocument|oasis\.opendocument)\.")
_TEXT = re.compile(
    r"text/|application/(json|xml|javascript|yaml|toml|x-ndjson|jsonl|sql|[a-z0-9.-]+\+(json|xml))$"
)
_WIDE_TEXT = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


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

    A declared image, audio or video must look like one. A file declared as something else must not be one, and
    must begin as files of its type do. Without a declaration the content decides.
    """
    media_type = plain_media_type(declared)
    matches = _matches(head)
    if not _fits(media_type, head):
        raise _mismatch(name, media_type, matches)
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


def _fits(media_type: str, head: bytes) -> bool:
    begin = _MUST_BEGIN.get(media_type)
    if begin is None and _ZIPPED.match(media_type):
        begin = _OFFICE
    if begin is not None:
        return begin.match(head) is not None
    if media_type.split("/")[0] in _MEDIA:
        return not any(own.match(head) for own, types in _OWN if media_type not in types)
    # Programs and the like have zeros; text has none, unless each of its characters takes two bytes.
    return not (_TEXT.match(media_type) and b"\0" in head and not head.startswith(_WIDE_TEXT))


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
