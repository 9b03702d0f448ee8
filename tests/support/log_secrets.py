"""No process that the suite starts may log a secret. What secrets are is known by their form, or from who made them.

A plugin of pytest (tests/conftest.py): it hears what HTTP clients of the tests are given and send, reads what is
captured of each test and each process, and the logs of platforms and servers before they are removed.
"""

import functools
import json
import re
import subprocess
from asyncio.subprocess import Process
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest

from spaces_contracts.keys import is_join_token, kind_of

# What a checksum or a signature makes a secret by itself.
_KEY = re.compile(r"sp[akwsj]_[0-9A-Za-z]{49}")
_FORMS = {
    "a signed token": re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{16,}\.[\w-]{40,}"),
    "a file's signature": re.compile(r"[?&]sig=[\w-]{40,}"),
    "a password in an address": re.compile(r"\b[a-z]+://[^\s:/@'\"]+:(?!\*|%2A|xxx)[^\s/@'\"]{8,}@"),
    "a NATS seed": re.compile(r"\bS[UAOCNX][A-Z2-7]{56}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\"d\": ?\"[\w-]{40,}\""),
    "a password's hash": re.compile(r"\$argon2id?\$"),
}  # fmt: skip
_WORD = re.compile(r"[\w.~+/-]{12,}")
# Names of members, fields and cookies whose value is a secret.
_GIVEN = frozenset({"secret", "ticket", "access_token", "refresh_token"})
_MAY_GIVE = re.compile(rb'"(?:secret|ticket|\w+_token)"')
_SENT = frozenset({"password", "current_password", "new_password"})
_SHORTEST = 12  # what is shorter may stand in a log by chance


class LogSecrets:
    """What is secret, and what was found of it."""

    def __init__(self) -> None:
        self._words: set[str] = set()
        self._phrases: set[str] = set()  # with spaces and other signs in them

    def keep(self, secret: object) -> None:
        """This is one."""
        if not isinstance(secret, str) or len(secret) < _SHORTEST:
            return
        (self._words if _WORD.fullmatch(secret) else self._phrases).add(secret)

    def hear_answer(self, answer: httpx2.Response) -> None:
        """What a call was given."""
        for cookie in answer.headers.get_list("set-cookie"):
            self.keep(cookie.partition(";")[0].partition("=")[2])
        if answer.is_stream_consumed and answer.headers.get("content-type") == "application/json":
            document = _json(answer.content) if _MAY_GIVE.search(answer.content) else None
            if isinstance(document, dict):
                for name in _GIVEN & document.keys():
                    self.keep(document[name])

    def hear_question(self, request: httpx2.Request) -> None:
        """What a call sends: a password is nobody's to log."""
        if request.url.path.startswith(("/auth/", "/login")) and isinstance(
            request.stream, httpx2.ByteStream
        ):
            for name, value in _fields(request.read()):
                if name in _SENT:
                    self.keep(value)

    def keep_files(self, folder: Path) -> None:
        """One-line secrets."""
        for path in folder.rglob("*") if folder.is_dir() else [folder]:
            if path.is_file() and path.stat().st_size < 4096:
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
                if len(lines) == 1:
                    self.keep(lines[0].strip())

    def found_in(self, text: str) -> list[str]:
        """Lines with a secret, and what it is."""
        if not text:
            return []
        return [
            f"{what}: {line[:300]}"
            for line in text.splitlines()
            for what in self._found_in_line(line)
        ]

    def _found_in_line(self, line: str) -> Iterator[str]:
        for found in _KEY.findall(line):
            if kind_of(found) is not None or is_join_token(found):
                yield f"a key ({found[:4]})"
        for what, form in _FORMS.items():
            if form.search(line):
                yield what
        for word in _WORD.findall(line):
            if word in self._words or word.strip(".") in self._words:
                yield "a secret that a test was given"
        for phrase in self._phrases:
            if phrase in line:
                yield "a password that a test made"

    def require_none(self, logs: Iterable[Path]) -> None:
        """Raises AssertionError that shows the lines."""
        for path in logs:
            if path.is_file():
                found = self.found_in(path.read_text(encoding="utf-8", errors="replace"))
                assert not found, f"{path.name} holds secrets:\n" + "\n".join(found[:10])


WATCH = LogSecrets()


def require_no_secrets(logs: Path, *secrets: Path) -> None:
    """Before a folder of logs is removed; `secrets` are files and folders of what may stand in none of them."""
    for one in secrets:
        WATCH.keep_files(one)
    WATCH.require_none(sorted(logs.glob("*.log")))


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _fields(body: bytes) -> list[tuple[str, str]]:
    document = _json(body)
    if isinstance(document, dict):
        return [(name, value) for name, value in document.items() if isinstance(value, str)]
    return parse_qsl(body.decode("utf-8", errors="replace"))


# The plugin


def pytest_configure(config: pytest.Config) -> None:
    """Listens from now on."""
    if getattr(httpx2.Client.send, "hears", False):
        return
    httpx2.Client.send = _hearing(httpx2.Client.send)  # type: ignore[method-assign]  # for every client of every test
    httpx2.AsyncClient.send = _hearing_async(httpx2.AsyncClient.send)  # type: ignore[method-assign]  # as above
    subprocess.Popen.communicate = _reading(subprocess.Popen.communicate)  # type: ignore[method-assign]  # as above
    Process.communicate = _reading_async(Process.communicate)  # type: ignore[method-assign]  # as above


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """A test that logged a secret in its own process fails."""
    report = yield
    # Sections grow from phase to phase: each is read once.
    said = [text for title, text in report.sections if title.endswith(report.when)]
    found = WATCH.found_in("\n".join(said))
    if found and report.outcome == "passed":
        report.outcome = "failed"
        report.longrepr = f"{item.name} logged secrets:\n" + "\n".join(found[:10])
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Logs that tests wrote into their own folders."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    folder = getattr(factory, "_basetemp", None)
    if folder is None:
        return
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".log", ".err") and path.is_file() and not path.is_symlink():
            found = WATCH.found_in(path.read_text(encoding="utf-8", errors="replace"))
            if found:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
                print(f"\n{path.parent.name}/{path.name} holds secrets:", *found[:10], sep="\n  ")


def _hearing(send: Callable[..., httpx2.Response]) -> Callable[..., httpx2.Response]:
    @functools.wraps(send)
    def hear(client: Any, request: httpx2.Request, **more: Any) -> httpx2.Response:
        WATCH.hear_question(request)
        answer = send(client, request, **more)
        WATCH.hear_answer(answer)
        return answer

    hear.hears = True  # type: ignore[attr-defined]  # so that it is done once
    return hear


def _hearing_async(send: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send)
    async def hear(client: Any, request: httpx2.Request, **more: Any) -> httpx2.Response:
        WATCH.hear_question(request)
        answer: httpx2.Response = await send(client, request, **more)
        WATCH.hear_answer(answer)
        return answer

    return hear


def _reading(communicate: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(communicate)
    def read(process: Any, *arguments: Any, **more: Any) -> Any:
        said = communicate(process, *arguments, **more)
        _require_none(said[1])
        return said

    return read


def _reading_async(communicate: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(communicate)
    async def read(process: Any, *arguments: Any, **more: Any) -> Any:
        said = await communicate(process, *arguments, **more)
        _require_none(said[1])
        return said

    return read


def _require_none(stderr: str | bytes | None) -> None:
    """Standard output is for what was asked for, which may be a secret; logs go to the other one."""
    if stderr:
        text = stderr.decode(errors="replace") if isinstance(stderr, bytes) else stderr
        found = WATCH.found_in(text)
        assert not found, "a process logged secrets:\n" + "\n".join(found[:10])
