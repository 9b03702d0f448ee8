"""What a person sees: each line with the program it comes from."""

import os
import sys
import threading
from collections.abc import Sequence
from typing import TextIO

_COLOURS = (36, 33, 32, 35, 34, 31)
_NAME_WIDTH = 12


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

    def ready(self, gateway_urls: Sequence[str]) -> None:
        """Where to go now."""
        self.say(f"ready: {', '.join(gateway_urls)}   API: {gateway_urls[0]}/docs")
        self.say("sign in as admin@spaces.internal, password: spaces-stack admin-password")
        self.say("admin key: spaces-stack admin-key   stop: Ctrl-C")
