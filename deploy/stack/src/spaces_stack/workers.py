"""Worker agents as programs of the stack: for the demo and for tests."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spaces_stack.child import Program
from spaces_stack.platform import command


@dataclass(frozen=True)
class Worker:
    """One agent: which spaces it serves, with what, through which gateway."""

    name: str
    spaces: Sequence[str]
    handler: str  # module.py or module.py:name
    gateway_url: str
    token_file: Path
    spool_dir: Path
    slots: int = 1
    arguments: Sequence[str] = ()
    prefix: Sequence[str] = ()  # a command to run it under, such as ip netns exec
    environ: Mapping[str, str] = field(default_factory=dict)

    def program(self, connected: Callable[[], bool]) -> Program:
        """How to run it; it is ready when the gateway's users see it connected."""
        # The agent runs on somebody's host: nothing of the services' settings may reach it.
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("SPACES_")
        }
        return Program(
            name=self.name,
            argv=(
                *self.prefix,
                command("spaces-worker"),
                "run",
                self.handler,
                *("--space", ",".join(self.spaces)),
                *("--gateway", self.gateway_url),
                *("--token-file", str(self.token_file)),
                *("--spool-dir", str(self.spool_dir)),
                *("--slots", str(self.slots)),
                *self.arguments,
            ),
            environ={"PYTHONUNBUFFERED": "1"} | inherited | dict(self.environ),
            ready=lambda _: connected(),
        )
