"""A disk whose power can be cut: ext4 on a loop file, ended by the kernel's own shutdown call.

EXT4_IOC_SHUTDOWN with NOLOGFLUSH stops the file system at once: what was flushed to the device stays, everything
else is gone, as when the power fails. The file behind the loop device is in the page cache of the host, which
survives: only what the small file system had not yet flushed is lost.

Everything is mounted in a mount namespace of our own and the loop device clears itself, so that nothing is left
behind, however this process ends.
"""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_PRIVATE = "SPACES_POWER_CUT_NAMESPACE"
_BUSY_S = 15.0
_FLUSHED = b"flushed\n"
_PROBE_BYTES = 256 * 1024


class NoDiskError(Exception):
    """This machine cannot make such a disk; the message says why."""


def why_not() -> str | None:
    """What is missing here; None when power can be cut."""
    if os.geteuid() != 0:
        return "needs root: mounts a loop device and shuts its file system down"
    for program in ("mkfs.ext4", "mount", "umount", "unshare", "sync"):
        if shutil.which(program) is None:
            return f"needs the program {program}"
    if not Path("/dev/loop-control").exists():
        return "needs loop devices: /dev/loop-control is missing"
    return None


def enter_namespace(module: str, arguments: Sequence[str]) -> None:
    """Starts this command again in a mount namespace of its own, unless it is in one already."""
    if os.environ.get(_PRIVATE) == str(os.getpid()):
        return
    unshare = ["unshare", "--mount", "--propagation", "private"]
    os.execvpe(  # the process stays the same, so its id is the mark
        unshare[0],
        [*unshare, sys.executable, "-m", module, *arguments],
        os.environ | {_PRIVATE: str(os.getpid())},
    )


class CutDisk:
    """One file system on one file."""

    def __init__(self, image: Path, at: Path) -> None:
        self._image = image
        self.at = at
        self._mounted = False

    def make(self, size_mib: int) -> None:
        """Makes and mounts it. Raises NoDiskError."""
        with self._image.open("wb") as file:
            file.truncate(size_mib * 1024 * 1024)
        self.at.mkdir(mode=0o755)
        lazily = "lazy_itable_init=1,lazy_journal_init=1"
        _run("mkfs.ext4", "-q", "-F", "-E", lazily, str(self._image))
        self._mount()

    def sync(self) -> None:
        """Flushes everything: what was installed long before the power failed."""
        _run("sync", "--file-system", str(self.at))

    def cut(self) -> None:
        """The power fails now.

        What is written last before it, into a block that exists, is what a lazy disk would keep first. Nothing
        comes between: a flush of PostgreSQL's commits the journal, and with it what others wrote before.
        """
        flushed = os.open(self.at / "probe-flushed", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        folder = os.open(self.at, os.O_RDONLY | os.O_DIRECTORY)
        no_log_flush = struct.pack("I", _NO_LOG_FLUSH)
        try:
            os.write(flushed, _FLUSHED)
            os.fsync(flushed)
            (self.at / "probe-cached").write_bytes(os.urandom(_PROBE_BYTES))
            os.write(flushed, b"in the cache only\n")
            fcntl.ioctl(folder, _SHUTDOWN, no_log_flush)
        finally:
            os.close(folder)
            os.close(flushed)

    def restore(self) -> bool:
        """The power comes back. Whether the disk kept what was flushed and lost what was not."""
        self._unmount()
        self._mount()
        flushed, cached = self.at / "probe-flushed", self.at / "probe-cached"
        kept = flushed.read_bytes() if flushed.exists() else b""
        kept_cached = cached.stat().st_size if cached.exists() else 0
        true_cut = kept == _FLUSHED and kept_cached == 0
        if not true_cut:
            print(f"  no true cut: {kept!r} and {kept_cached} bytes were kept", flush=True)
        flushed.unlink(missing_ok=True)
        cached.unlink(missing_ok=True)
        self.sync()
        return true_cut

    def kill_users(self) -> int:
        """kill -9 of every process that has something open here; how many there were.

        The mount is private: only this command's descendants can be among them.
        """
        users = self._users()
        for pid in users:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return len(users)

    def close(self) -> None:
        """Unmounts it and removes its file."""
        if self._mounted:
            self.kill_users()
            self._unmount()
        self._image.unlink(missing_ok=True)

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.at))
        self._mounted = True

    def _unmount(self) -> None:
        until = time.monotonic() + _BUSY_S
        while True:
            try:
                _run("umount", str(self.at))
            except NoDiskError:
                if time.monotonic() > until:
                    raise
                self.kill_users()
                time.sleep(0.02)  # a killed process leaves its files a moment later
            else:
                self._mounted = False
                return

    def _users(self) -> list[int]:
        here = self.at.stat().st_dev
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and int(entry.name) != os.getpid() and _uses(entry, here)
        ]


def _uses(process: Path, device: int) -> bool:
    try:
        links = [process / "cwd", process / "exe", *(process / "fd").iterdir()]
    except OSError:
        return False  # ended meanwhile
    return any(_device(link) == device for link in links)


def _device(link: Path) -> int | None:
    try:
        return link.stat().st_dev
    except OSError:
        return None


@contextmanager
def cut_disk(folder: Path, size_mib: int = 3072) -> Iterator[CutDisk]:
    """A disk at `folder/disk`; gone at the end."""
    disk = CutDisk(folder / "disk.ext4", folder / "disk")
    try:
        disk.make(size_mib)
        yield disk
    finally:
        disk.close()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoDiskError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
