"""The version of the installed agent."""

from importlib.metadata import PackageNotFoundError, version


def _read() -> str:
    try:
        return version("spaces-worker-agent")
    except PackageNotFoundError:  # run from a source tree that nobody installed
        return "0"


VERSION = _read()
