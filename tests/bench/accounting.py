"""Who used how much CPU and memory: processes by name, each with its children."""

from collections.abc import Mapping
from dataclasses import dataclass

import psutil

_MIB = 1_048_576


@dataclass(frozen=True)
class Spent:
    """CPU seconds since the process began, by name."""

    cpu_s: dict[str, float]

    def since(self, earlier: "Spent") -> dict[str, float]:
        """CPU seconds between two readings."""
        return {
            name: max(0.0, seconds - earlier.cpu_s.get(name, 0.0))
            for name, seconds in self.cpu_s.items()
        }


def spent(processes: Mapping[str, int]) -> Spent:
    """Reads the CPU time of each process and of its living descendants."""
    return Spent(
        {name: sum(_cpu_s(one) for one in _family(pid)) for name, pid in processes.items()}
    )


def machine_busy_s() -> float:
    """CPU seconds that all processes of the machine have used since it started."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Guests' time is part of the user's.
    counted = ("user", "nice", "system", "irq", "softirq", "steal", "idle", "iowait")
    return float(sum(getattr(times, name, 0.0) for name in counted)) - idle


def memory_mib(processes: Mapping[str, int]) -> dict[str, float]:
    """Resident memory by name, in MiB; what processes share is counted once (proportional set size)."""
    return {
        name: round(sum(_resident(one) for one in _family(pid)) / _MIB, 1)
        for name, pid in processes.items()
    }


@dataclass(frozen=True)
class Memory:
    """What one process holds, in MiB: all that is resident, and what nobody shares with it."""

    rss_mib: float
    uss_mib: float

    def kib_more_than(self, earlier: "Memory", count: int) -> dict[str, float]:
        """Growth for each of so many, in KiB."""
        return {
            "rss_kib": round((self.rss_mib - earlier.rss_mib) * 1024 / count, 1),
            "uss_kib": round((self.uss_mib - earlier.uss_mib) * 1024 / count, 1),
        }


def memory_of(pid: int) -> Memory:
    """Of this process alone."""
    full = psutil.Process(pid).memory_full_info()
    return Memory(round(full.rss / _MIB, 1), round(full.uss / _MIB, 1))


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0
    except psutil.AccessDenied:  # another user's process, and we are not root
        return int(process.memory_info().rss)
