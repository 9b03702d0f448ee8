"""Says why a process died in words that help."""

import re
import signal
from pathlib import Path

_HINTS = {
    signal.SIGSEGV: "a memory fault in native code",
    signal.SIGBUS: "a memory fault in native code",
    signal.SIGILL: "an instruction that this processor does not know",
    signal.SIGABRT: "native code gave up",
    signal.SIGFPE: "an arithmetic fault in native code",
    signal.SIGKILL: "killed from outside; often the kernel, because memory ran out",
    signal.SIGTERM: "ended from outside",
    signal.SIGXCPU: "its limit of processor time",
}


def describe_death(status: int | None, *, out_of_memory: bool) -> str:
    """`died of SIGSEGV (…)`, to be put after the name of the process."""
    if status is None:
        return "vanished"
    if status >= 0:
        return f"exited with status {status}"
    if out_of_memory and -status == signal.SIGKILL:
        return "ran out of memory (the kernel killed it)"
    try:
        number = signal.Signals(-status)
    except ValueError:
        return f"died of signal {-status}"
    hint = _HINTS.get(number)
    return f"died of {number.name} ({hint})" if hint else f"died of {number.name}"


def out_of_memory_kills() -> int:
    """How often the kernel has killed in this control group for want of memory; 0 where unknown."""
    for events in _event_files():
        try:
            found = re.search(r"^oom_kill (\d+)$", events.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found.group(1))
    return 0


def _event_files() -> list[Path]:
    files = [Path("/sys/fs/cgroup/memory.events")]
    try:
        groups = Path("/proc/self/cgroup").read_text()
    except OSError:
        return files
    for line in groups.splitlines():
        if line.startswith("0::/"):
            files.insert(0, Path("/sys/fs/cgroup") / line[4:] / "memory.events")
    return files
