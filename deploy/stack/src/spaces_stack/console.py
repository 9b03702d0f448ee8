"""What a person sees: each line with the program it comes from."""

import os
import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

_COLOURS = (36, 33, 32, 35, 34, 31)
_NAME_WIDTH = 12
ADMIN = "admin@spaces.internal"


class Console:
    """Writes whole lines, whichever thread they come from. Colours on a terminal only; NO_COLOR is honoured."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._colours: dict[str, int] | None = (
            {} if self._stream.isatty() and not os.environ.get("NO_COLOR") else None
        )

    def line(self, name: str, text: str) -> None:
        """One line of one program."""
        label = f"{name:<{_NAME_WIDTH}}"
        with self._lock:
            if self._colours is not None:
                colour = self._colours.setdefault(
                    name, _COLOURS[len(self._colours) % len(_COLOURS)]
                )
                label = f"\x1b[{colour}m{label}\x1b[0m"
            print(f"{label} {text}", file=self._stream, flush=True)

    def say(self, text: str) -> None:
        """One line of the stack itself."""
        self.line("stack", text)

    @property
    def is_watched(self) -> bool:
        """Whether a person reads it, and no file keeps it."""
        return self._stream.isatty()

    def ready(
        self, gateway_urls: Sequence[str], *, password: str | None = None, first_steps: str = ""
    ) -> None:
        """Where to go now, and how to get in there."""
        command = _own_command()
        self.say(f"ready: {', '.join(gateway_urls)}   API: {gateway_urls[0]}/docs")
        self.say(f"sign in as {ADMIN}, password: {password or f'{command} admin-password'}")
        if first_steps:
            self.say(first_steps)
        self.say(f"admin key: {command} admin-key   stop: Ctrl-C")


def _own_command() -> str:
    """As it can be typed here: make runs it from a folder that is not on the path."""
    if shutil.which("spaces-stack"):
        return "spaces-stack"
    own = Path(sys.argv[0])
    return os.path.relpath(own) if own.is_relative_to(Path.cwd()) else str(own)
