"""What a file is taken for, and what its name becomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces_chassis.errors import ProblemError
from spaces_contracts.files import InputKind
from spaces_contracts.problems import Code
from spaces_gateway.files.content import judge, plain_media_type
from spaces_gateway.files.names import MAX_NAME_BYTES, safe_name

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01" + bytes(50)
GIF = b"GIF89a" + bytes(20)
WEBP = b"RIFF\x24\0\0\0WEBPVP8 " + bytes(20)
BMP = b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0" + bytes(40)
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"></svg>'
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(20)
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(20)
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(20)
MP3 = b"ID3\x04\0\0\0\0\0\0" + bytes(30)
MP3_BARE = b"\xff\xfb\x90\x44" + bytes(100)
OGG = b"OggS\0\x02" + bytes(22) + b"\x01\x1eOpusHead" + bytes(30)
FLAC = b"fLaC\0\0\0\x22" + bytes(30)
MP4 = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(20)
M4A = b"\0\0\0\x18ftypM4A \0\0\2\0isomiso2" + bytes(20)
MOV = b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(10)
WEBM = (
    b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm"
    + bytes(20)
)
AVI = b"RIFF\x24\0\0\0AVI LIST" + bytes(20)
PDF = b"%PDF-1.4\n%\xe2\xe3"
ZIP = b"PK\x03\x04" + bytes(40)
TEXT = b"BMW is a car; GIFT is a word.\n"

IMAGE, AUDIO, VIDEO, FILE = InputKind.IMAGE, InputKind.AUDIO, InputKind.VIDEO, InputKind.FILE


@pytest.mark.parametrize(
    ("declared", "head", "kind"),
    [
        ("image/png", PNG, IMAGE),
        ("IMAGE/PNG; charset=x", PNG, IMAGE),
        ("image/jpeg", JPEG, IMAGE),
        ("image/gif", GIF, IMAGE),
        ("image/webp", WEBP, IMAGE),
        ("image/bmp", BMP, IMAGE),
        ("image/svg+xml", SVG, IMAGE),
        ("image/heic", HEIC, IMAGE),
        ("image/avif", AVIF, IMAGE),
        ("audio/wav", WAV, AUDIO),
        ("audio/mpeg", MP3, AUDIO),
        ("audio/mpeg", MP3_BARE, AUDIO),
        ("audio/ogg", OGG, AUDIO),
        ("video/ogg", OGG, VIDEO),
        ("application/ogg", OGG, FILE),
        ("audio/flac", FLAC, AUDIO),
        ("audio/mp4", M4A, AUDIO),
        ("audio/mp4", MP4, AUDIO),
        ("video/mp4", MP4, VIDEO),
        ("video/quicktime", MOV, VIDEO),
        ("audio/webm", WEBM, AUDIO),
        ("video/webm", WEBM, VIDEO),
        ("video/x-msvideo", AVI, VIDEO),
        ("application/pdf", PDF, FILE),
        ("application/zip", ZIP, FILE),
        ("text/plain", TEXT, FILE),
        ("text/plain", b"", FILE),
    ],
)
def test_a_declared_type_that_fits_is_kept(declared: str, head: bytes, kind: InputKind) -> None:
    content = judge(head, declared, "name")
    assert content.kind is kind
    assert content.media_type == plain_media_type(declared)


@pytest.mark.parametrize(
    ("head", "kind", "media_type"),
    [
        (PNG, IMAGE, "image/png"),
        (WAV, AUDIO, "audio/wave"),
        (MP4, VIDEO, "video/mp4"),
        (PDF, FILE, "application/pdf"),
        (TEXT, FILE, "text/plain"),
        (b"", FILE, "text/plain"),
        (bytes(100), FILE, "text/plain"),
    ],
)
@pytest.mark.parametrize("declared", [None, "", "application/octet-stream", "nonsense"])
def test_without_a_declaration_content_then_name_decide(
    declared: str | None, head: bytes, kind: InputKind, media_type: str
) -> None:
    content = judge(head, declared, "a.pdf" if head == PDF else "a.txt")
    assert (content.kind, content.media_type) == (kind, media_type)


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("image/png", b"hello"),
        ("image/png", b""),
        ("image/png", WAV),
        ("audio/mpeg", PNG),
        ("video/mp4", PNG),
        ("video/mp4", PDF),
        ("image/jpeg", b"<html><script>"),
        ("application/pdf", PNG),
        ("text/plain", GIF),
    ],
)
def test_a_type_that_the_content_belies_is_refused(declared: str, head: bytes) -> None:
    with pytest.raises(ProblemError) as raised:
        judge(head, declared, "a.bin")
    problem = raised.value.problem
    assert problem.code is Code.FILE_TYPE_MISMATCH
    assert f"says it is {declared}" in problem.message


@given(st.binary(max_size=200), st.text(max_size=40), st.text(max_size=40))
def test_any_bytes_get_a_kind_or_a_problem(head: bytes, declared: str, name: str) -> None:
    code = Code.FILE_TYPE_MISMATCH
    try:
        assert judge(head, declared, safe_name(name)).media_type
    except ProblemError as error:
        code = error.problem.code
    assert code is Code.FILE_TYPE_MISMATCH


@given(st.text(max_size=400))
def test_a_safe_name_is_one_printable_path_component(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert "/" not in safe
    assert "\\" not in safe
    assert not safe.startswith(".")
    assert len(safe.encode(errors="surrogatepass")) <= MAX_NAME_BYTES
    assert all(ord(char) > 31 for char in safe)
    assert safe_name(safe) == safe


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a b.png", "a b.png"),
        (".bashrc", "bashrc"),
        ("", "file"),
        (None, "file"),
        ("...", "file"),
        ("a\r\nb.txt", "ab.txt"),
        ("\u202egnp.exe", "gnp.exe"),
        ("ü" * 200 + ".jpeg", "ü" * 97 + ".jpeg"),
    ],
)
def test_names_that_people_send(name: str | None, safe: str) -> None:
    assert safe_name(name) == safe


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("image/png", JPEG),
        ("image/jpeg", PNG),
        ("image/webp", WAV),
        ("image/heic", PNG),
        ("image/svg+xml", GIF),
        ("audio/mpeg", WAV),
        ("audio/ogg", ZIP),
        ("video/mp4", ZIP),
        ("application/pdf", b"\x7fELF" + bytes(60)),
        ("application/zip", PDF),
        ("application/gzip", ZIP),
        ("application/msword", ZIP),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", PDF),
        ("text/plain", b"\x7fELF" + bytes(60)),
        ("text/csv", b"MZ\0\0" + bytes(60)),
        ("application/json", b"{}\0"),
    ],
)
def test_a_file_that_begins_like_another_type_is_refused(declared: str, head: bytes) -> None:
    with pytest.raises(ProblemError) as refused:
        judge(head, declared, "name")
    assert refused.value.problem.code is Code.FILE_TYPE_MISMATCH


@pytest.mark.parametrize(
    ("declared", "head"),
    [
        ("image/jpg", JPEG),
        ("image/x-adobe-dng", b"II*\0\x08\0\0\0" + bytes(30)),
        ("audio/mpeg", MP3),
        ("application/vnd.oasis.opendocument.text", ZIP),
        ("text/plain", "naïve".encode("utf-16")),
        ("text/html", b"<!DOCTYPE html>"),
        ("application/x-nobody-knows", b"\x7fELF" + bytes(60)),
    ],
)
def test_kin_of_a_type_is_taken(declared: str, head: bytes) -> None:
    assert judge(head, declared, "name").media_type == declared
