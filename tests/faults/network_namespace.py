"""A network namespace with one pair of interfaces: a host of its own for a worker. Needs root, ip and nft."""

import os
import shutil
import subprocess
from collections.abc import Sequence

_RULES = """
table inet faults {
  chain input { type filter hook input priority 0; policy accept; }
  chain output { type filter hook output priority 0; policy accept; }
}
"""


def no_namespaces() -> str | None:
    """Why there can be none here; None when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "nft", "tc") if not shutil.which(name)]
    return f"not installed: {', '.join(missing)}" if missing else None


class NetworkNamespace:
    """Made at once; `close` removes it with all that was changed in it."""

    def __init__(self) -> None:
        self.name = f"faults-{os.getpid()}"
        self._outside, self._inside = f"fo{os.getpid()}", f"fi{os.getpid()}"
        network = f"10.213.{100 + os.getpid() % 100}"  # several campaigns may run side by side
        self.address = f"{network}.1"  # where the worker finds the rest of the world
        self._inside_address = f"{network}.2"
        _run("ip", "netns", "add", self.name)
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    @property
    def prefix(self) -> Sequence[str]:
        """Put before a command, it runs inside."""
        return ("ip", "netns", "exec", self.name)

    def close(self) -> None:
        """Removes it, and the interfaces with it."""
        _run("ip", "netns", "del", self.name)

    def lose(self, percent: int) -> None:
        """So many of a hundred packets are dropped, in and out."""
        for chain in ("input", "output"):
            self._rule(chain, f"numgen random mod 100 < {percent} drop")

    def drop(self, chain: str) -> None:
        """Nothing comes in (`input`), or nothing goes out (`output`)."""
        self._rule(chain, "drop")

    def link_down(self) -> None:
        """The cable is pulled."""
        _run("ip", "link", "set", self._outside, "down")

    def bandwidth(self, kbit: int) -> None:
        """A slow line, both ways."""
        limit = ("rate", f"{kbit}kbit", "burst", "4kb", "latency", "400ms")
        _run("tc", "qdisc", "replace", "dev", self._outside, "root", "tbf", *limit)
        _run(*self.prefix, "tc", "qdisc", "replace", "dev", self._inside, "root", "tbf", *limit)

    def heal(self) -> None:
        """As it was made."""
        _run(*self.prefix, "nft", "flush", "table", "inet", "faults")
        _run("ip", "link", "set", self._outside, "up")
        _run("tc", "qdisc", "del", "dev", self._outside, "root", check=False)
        _run(*self.prefix, "tc", "qdisc", "del", "dev", self._inside, "root", check=False)

    def _rule(self, chain: str, rule: str) -> None:
        # The loopback inside stays whole: the agent and its handlers are one host.
        where = "iif" if chain == "input" else "oif"
        _run(
            *(*self.prefix, "nft", "-f", "-"),
            text=f'add rule inet faults {chain} {where} != "lo" {rule}\n',
        )

    def _connect(self) -> None:
        peer = ("type", "veth", "peer", "name", self._inside)
        _run("ip", "link", "add", self._outside, *peer)
        _run("ip", "link", "set", self._inside, "netns", self.name)
        _run("ip", "addr", "add", f"{self.address}/30", "dev", self._outside)
        _run("ip", "link", "set", self._outside, "up")
        _run(*self.prefix, "ip", "addr", "add", f"{self._inside_address}/30", "dev", self._inside)
        _run(*self.prefix, "ip", "link", "set", self._inside, "up")
        _run(*self.prefix, "ip", "link", "set", "lo", "up")
        _run(*self.prefix, "nft", "-f", "-", text=_RULES)


def _run(*command: str, text: str | None = None, check: bool = True) -> None:
    done = subprocess.run(command, check=False, input=text, text=True, capture_output=True)
    if check and done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
