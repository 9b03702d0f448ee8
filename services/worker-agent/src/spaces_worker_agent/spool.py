"""The agent's directory: its identity, its lock, and the journal of results that nobody has confirmed yet.

A result is written before it is sent, which survives the death of the agent. What is not confirmed soon after that is
also brought to the disk by a thread, which survives the death of the host. Waiting for it would cost every request a
disk flush, and the usual answer comes sooner.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from spaces_contracts.identifiers import is_id, new_id
from spaces_worker_agent.attempts import Key, Result
from spaces_worker_agent.finished import REMEMBER_S, FinishedMemory, Why
from spaces_worker_agent.journal import over_line, read_journal, result_line

log = structlog.get_logger()

# macOS has no fdatasync.
SYNC = getattr(os, "fdatasync", os.fsync)
COMPACT_BYTES = 16 * 1_048_576
SYNC_AFTER_S = 0.02


class SpoolLocked(Exception):
    """Another agent uses this directory."""


class SpoolUnusable(Exception):
    """The directory cannot be made, read or written."""


@dataclass(frozen=True)
class Identity:
    """Who this agent is over restarts; the secret proves it."""

    instance_id: str
    secret: str


def default_spool_dir(gateway: str, spaces: Sequence[str], environ: Mapping[str, str]) -> Path:
    """A directory per gateway and set of spaces under the user's state directory."""
    state = environ.get("STATE_DIRECTORY") or environ.get("XDG_STATE_HOME")
    root = Path(state) if state else Path.home() / ".local" / "state"
    digest = hashlib.sha256("\n".join([gateway, *sorted(spaces)]).encode()).hexdigest()[:12]
    label = re.sub(r"[^A-Za-z0-9_-]+", "-", spaces[0])[:32].strip("-") or "space"
    return root / "spaces-worker" / f"{label}-{digest}"


class Spool:
    """One agent's directory, opened once. What is noted goes to the file together, in `write`."""

    def __init__(self, directory: Path, lock_fd: int, identity: Identity) -> None:
        self.directory = directory
        self.identity = identity
        self.problem: str | None = None  # why nothing can be written now
        self._lock_fd = lock_fd
        self._path = directory / "journal"
        self._fd = -1
        self._size = 0
        self._compact_at = COMPACT_BYTES
        self._live: dict[Key, Result] = {}
        self._lines: list[bytes] = []  # noted, not written
        self.has_results = False  # among them; what else there is may wait
        self._unsynced: set[Key] = set()  # results that are not on the disk for certain
        self._dirty = asyncio.Event()

    @classmethod
    def open(cls, directory: Path) -> "Spool":
        """Locks the directory, makes or reads the identity. Raises SpoolLocked or SpoolUnusable."""
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock_fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SpoolUnusable(
                f"The spool directory {directory} cannot be used: {error}"
            ) from None
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(lock_fd, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(lock_fd)
            raise SpoolLocked(
                f"Another agent (process {holder}) uses the spool directory {directory}."
            ) from None
        try:
            os.ftruncate(lock_fd, 0)
            os.pwrite(lock_fd, str(os.getpid()).encode(), 0)
            return cls(directory, lock_fd, _identity(directory / "identity.json"))
        except OSError as error:
            os.close(lock_fd)
            raise SpoolUnusable(
                f"The spool directory {directory} cannot be used: {error}"
            ) from None

    @classmethod
    def open_default(cls, directory: Path) -> "Spool":
        """Like open, but a second agent for the same spaces gets a directory of its own beside the first."""
        for number in range(1, 65):
            name = directory.name if number == 1 else f"{directory.name}.{number}"
            with contextlib.suppress(SpoolLocked):
                return cls.open(directory.with_name(name))
        raise SpoolLocked(f"64 agents already use {directory} and its neighbours.")

    def load(self, finished: FinishedMemory, monotonic: float) -> list[Result]:
        """Reads the journal, then writes it anew without what is over. Raises SpoolUnusable."""
        try:
            content = self._path.read_bytes() if self._path.exists() else b""
        except OSError as error:
            raise SpoolUnusable(f"{self._path} cannot be read: {error}") from None
        journal = read_journal(content)
        if journal.bad_lines:
            aside = self._path.with_name(f"journal.damaged-{time.time_ns()}")
            self._path.rename(aside)
            log.warning("spool_damaged", lines=journal.bad_lines, kept_as=str(aside))
        wall = time.time()
        for key, (at, why) in sorted(journal.over.items(), key=lambda item: item[1][0]):
            age = max(0.0, wall - at)
            if age <= REMEMBER_S:
                finished.restore(key, monotonic - age, why)
        self._live = journal.results
        try:
            self._rewrite(finished, monotonic)
        except OSError as error:
            raise SpoolUnusable(f"{self._path} cannot be written: {error}") from None
        return list(self._live.values())

    def keep(self, result: Result) -> None:
        """Notes a result."""
        self._live[result.key] = result
        self._lines.append(result_line(result))
        self._unsynced.add(result.key)
        self.has_results = True

    def settle(self, fresh: list[tuple[Key, Why]]) -> None:
        """Notes attempts that are over; their results are not needed any more."""
        if not fresh:
            return
        at = time.time()
        for key, why in fresh:
            if why == "settled":
                self._live.pop(key, None)
                self._unsynced.discard(key)
            self._lines.append(over_line(key, at, why))
        fresh.clear()

    def write(self) -> None:
        """Writes what was noted. On a full disk results stay in memory and `problem` says so."""
        if not self._lines:
            return
        lines = b"".join(self._lines)
        self._lines.clear()
        self.has_results = False
        try:
            written = os.write(self._fd, lines)
            if written < len(lines):
                os.ftruncate(self._fd, self._size)  # half a line helps nobody
                raise OSError(28, "No space left on device")
        except OSError as error:
            self._fail(error)
            return
        self._size += written
        if self._unsynced:
            self._dirty.set()

    def retry(self, finished: FinishedMemory, monotonic: float) -> None:
        """Tries a disk that was full again, and starts a new journal when this one has grown."""
        if self.problem is None and self._size < self._compact_at:
            return
        try:
            self._rewrite(finished, monotonic)
        except OSError as error:
            self.problem = str(error)
            return
        if self.problem is not None:
            log.info("spool_writable_again", directory=str(self.directory))
            self.problem = None

    async def flush_forever(self) -> None:
        """Brings results to the disk that are not confirmed within a moment."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            late = self._unsynced.copy()
            await asyncio.sleep(SYNC_AFTER_S)
            if late.isdisjoint(self._unsynced):
                if self._unsynced:
                    self._dirty.set()
                continue
            self.write()
            synced = self._unsynced.copy()
            try:
                # A copy: the journal may be replaced, and its descriptor closed, while the disk is busy.
                await asyncio.to_thread(_sync, os.dup(self._fd))
            except OSError as error:
                self._fail(error)
            else:
                self._unsynced -= synced

    def close(self) -> None:
        """Writes, syncs and unlocks."""
        if self._fd >= 0:
            self.write()
            with contextlib.suppress(OSError):
                os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _fail(self, error: OSError) -> None:
        if self.problem is None:
            log.error(
                "spool_not_writable",
                directory=str(self.directory),
                error=str(error),
                what_to_do="Free space on this disk. New jobs are refused until it can be written.",
            )
        self.problem = str(error)

    def _rewrite(self, finished: FinishedMemory, monotonic: float) -> None:
        wall = time.time()
        lines = [
            over_line(key, wall - (monotonic - known.at), known.why)
            for key, known in finished.newest()
        ]
        lines += [result_line(result) for result in self._live.values()]
        fresh = self._path.with_name("journal.new")
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            body = b"".join(lines)
            if os.write(fd, body) < len(body):
                raise OSError(28, "No space left on device")
            os.fsync(fd)
            fresh.replace(self._path)
        except OSError:
            os.close(fd)
            raise
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size = fd, len(body)
        self._compact_at = max(COMPACT_BYTES, 2 * len(body))
        self._lines.clear()
        self.has_results = False
        self._unsynced.clear()


def _identity(path: Path) -> Identity:
    try:
        known = json.loads(path.read_text())
        identity = Identity(str(known["instance_id"]), str(known["secret"]))
        if is_id(identity.instance_id) and len(identity.secret) >= 32:
            return identity
        raise ValueError("not an identity")
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError):
        aside = path.with_name(f"identity.damaged-{time.time_ns()}")
        path.rename(aside)
        log.warning("identity_damaged", kept_as=str(aside))
    identity = Identity(new_id(), secrets.token_urlsafe(32))
    fresh = path.with_name("identity.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump({"instance_id": identity.instance_id, "secret": identity.secret}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return identity


def _sync(fd: int) -> None:
    try:
        SYNC(fd)
    finally:
        os.close(fd)
