"""Exit codes: a script can tell what went wrong without reading text. They are listed in docs/client.md."""

from enum import IntEnum

from spaces_client.errors import (
    ConfigError,
    NotFinished,
    Refused,
    RequestFailed,
    SpacesError,
    Unreachable,
)
from spaces_contracts.requests import RequestState


class Exit(IntEnum):
    """What a command's exit code says."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    CONFIG = 3
    UNREACHABLE = 4
    NOT_ALLOWED = 5
    NOT_FOUND = 6
    REFUSED = 7
    NOT_NOW = 8
    FAILED = 10
    CANCELLED = 11
    EXPIRED = 12
    NOT_FINISHED = 13
    INTERRUPTED = 130


_BY_STATE = {
    RequestState.SUCCEEDED: Exit.OK,
    RequestState.FAILED: Exit.FAILED,
    RequestState.CANCELLED: Exit.CANCELLED,
    RequestState.EXPIRED: Exit.EXPIRED,
}


def exit_of_state(state: RequestState) -> Exit:
    """The code for how a request ended; OK for one that goes on."""
    return _BY_STATE.get(state, Exit.OK)


def exit_of_error(error: SpacesError) -> Exit:
    """The code for an error."""
    if isinstance(error, ConfigError):
        return Exit.CONFIG
    if isinstance(error, Unreachable):
        return Exit.UNREACHABLE
    if isinstance(error, NotFinished):
        return Exit.NOT_FINISHED
    if isinstance(error, RequestFailed):
        return exit_of_state(error.request.state)
    if isinstance(error, Refused):
        return _exit_of_refusal(error)
    return Exit.USAGE


def _exit_of_refusal(error: Refused) -> Exit:
    if error.retry:
        return Exit.NOT_NOW
    if error.status in (401, 403):
        return Exit.NOT_ALLOWED
    if error.status == 404:
        return Exit.NOT_FOUND
    return Exit.REFUSED
