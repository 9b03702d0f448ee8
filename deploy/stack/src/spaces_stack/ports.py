"""Free loopback ports, and who listens on one."""

import contextlib
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_LOWEST = 10_000
_LISTENS = "0A"  # the state of a socket in /proc/net/tcp


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now. All are held until all are found, so they differ.

    They lie below the range from which outgoing connections take theirs: a program that is started again
    must find its port free.
    """
    with contextlib.ExitStack() as held:
        return [_hold_one(held) for _ in range(count)]


def _hold_one(held: contextlib.ExitStack) -> int:
    candidates = random.sample(range(_LOWEST, _first_outgoing()), k=100)
    for candidate in [*candidates, 0]:  # 0: whatever the kernel has
        one = held.enter_context(socket.socket())
        with contextlib.suppress(OSError):
            one.bind((LOOPBACK, candidate))
            port: int = one.getsockname()[1]
            return port
    raise OSError("no free port")


def _first_outgoing() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first = 32_768
    return max(first, _LOWEST + 1_000)


def preferred_port(port: int) -> int:
    """This port when it is free, else another: a stable address is kinder, a taken one is no reason to fail."""
    with socket.socket() as probe:
        # As servers do; without it a port that was just given back counts as taken for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return free_ports(1)[0]
    return port


def accepts(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((LOOPBACK, port)) == 0


def listens(pid: int, port: int) -> bool:
    """Whether this very process listens on the port: another one there may answer just as well."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False
    return any(_target(one) in wanted for one in descriptors)


def _listening_inodes(port: int) -> list[str]:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        row[9] for row in rows if row[3] == _LISTENS and int(row[1].partition(":")[2], 16) == port
    ]


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""  # closed meanwhile
