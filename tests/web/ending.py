"""Programs that do not outlive the tests, however these end: the kernel sees to it."""

import os
import sys
from signal import Signals

from spaces_stack import launch


def ending_with_us(signal: Signals, *command: str) -> list[str]:
    """The command, which gets the signal when this process is gone. Its program is an absolute path."""
    assert launch.__file__ is not None
    bound = (
        sys.executable,
        "-I",
        "-S",
        launch.__file__,
        str(int(signal)),
        str(os.getpid()),
        "-1",
        "-1",
    )
    return [*bound, *command]
