"""How the agent ends: every exit code, what it means and whether a restart can help. docs/worker.md lists them."""

from enum import IntEnum

from spaces_contracts.problems import KINDS, Code, Problem


class Exit(IntEnum):
    """Exit codes of `spaces-worker`. 64 and up avoid those of shells and Python."""

    OK = 0
    FAILED = 1  # a bug: please report
    USAGE = 2
    CHECK_FAILED = 3  # doctor found something
    SETTINGS = 64
    HANDLER_NOT_FOUND = 65
    HANDLER_LOAD_FAILED = 66
    SPOOL_LOCKED = 67
    SPOOL_UNUSABLE = 68
    TLS_FAILED = 69
    NOT_A_GATEWAY = 70
    TOKEN_INVALID = 71
    TOKEN_REVOKED = 72
    TOKEN_SCOPE = 73
    SPACE_NOT_FOUND = 74
    MULTIPLE_SPACES = 75
    SPACE_DISABLED = 76
    ALREADY_CONNECTED = 77
    UNSUPPORTED_PROTOCOL = 78
    SUPERSEDED = 79
    KICKED = 80
    DRAINED = 81
    REFUSED = 82  # the gateway refused for good, for another reason
    JOIN_TOKEN = 83
    STOPPED = 130  # a second signal: what ran was given up


# A supervisor (systemd's RestartPreventExitStatus) must not start the agent again after these: a person has to act.
# Those left out may heal: a handler that found no free GPU, a disk, a certificate, a space that is enabled again.
FINAL = frozenset(
    {
        Exit.USAGE,
        Exit.SETTINGS,
        Exit.HANDLER_NOT_FOUND,
        Exit.SPOOL_LOCKED,
        Exit.TOKEN_INVALID,
        Exit.TOKEN_REVOKED,
        Exit.TOKEN_SCOPE,
        Exit.SPACE_NOT_FOUND,
        Exit.MULTIPLE_SPACES,
        Exit.ALREADY_CONNECTED,
        Exit.UNSUPPORTED_PROTOCOL,
        Exit.SUPERSEDED,
        Exit.KICKED,
        Exit.DRAINED,
        Exit.REFUSED,
        Exit.JOIN_TOKEN,
    }
)

MEANING: dict[Exit, str] = {
    Exit.OK: "Stopped as asked; nothing is left undone.",
    Exit.FAILED: "A bug in the agent; the log has a traceback.",
    Exit.USAGE: "The command line is wrong; `--help` shows examples.",
    Exit.CHECK_FAILED: "`doctor` found something that would keep the agent from working.",
    Exit.SETTINGS: "A setting is missing or wrong; the message names it.",
    Exit.HANDLER_NOT_FOUND: "The handler's module, file or name does not exist.",
    Exit.HANDLER_LOAD_FAILED: "The handler's module or its load() raised an error.",
    Exit.SPOOL_LOCKED: "Another agent uses this --spool-dir.",
    Exit.SPOOL_UNUSABLE: "The spool directory cannot be read or written.",
    Exit.TLS_FAILED: "The gateway's certificate is not trusted; see --ca-file.",
    Exit.NOT_A_GATEWAY: "What answers at --gateway is not a gateway.",
    Exit.TOKEN_INVALID: "The worker token is not known; make a new one.",
    Exit.TOKEN_REVOKED: "The worker token was revoked; ask for a new one.",
    Exit.TOKEN_SCOPE: "The worker token does not cover this space.",
    Exit.SPACE_NOT_FOUND: "No space has this name; check --space.",
    Exit.MULTIPLE_SPACES: "Several spaces have this name; say tenant/name or the id.",
    Exit.SPACE_DISABLED: "The space is disabled; enable it.",
    Exit.ALREADY_CONNECTED: "The space has its workers; stop the other or use --takeover.",
    Exit.UNSUPPORTED_PROTOCOL: "Agent and gateway speak different versions; install the one that fits.",
    Exit.SUPERSEDED: "Another worker took this place with --takeover.",
    Exit.KICKED: "An operator ended this connection.",
    Exit.DRAINED: "An operator drained this connection; all work was finished.",
    Exit.REFUSED: "The gateway refused for good; the message says why.",
    Exit.JOIN_TOKEN: "The join token was used, expired or taken back; make a new one.",
    Exit.STOPPED: "A second signal, or the end of --drain-timeout: what ran was given up.",
}

_BY_CODE: dict[Code, Exit] = {
    Code.UNAUTHENTICATED: Exit.TOKEN_INVALID,
    Code.TOKEN_INVALID: Exit.TOKEN_INVALID,
    Code.TOKEN_REVOKED: Exit.TOKEN_REVOKED,
    Code.TOKEN_SCOPE: Exit.TOKEN_SCOPE,
    Code.SPACE_NOT_FOUND: Exit.SPACE_NOT_FOUND,
    Code.MULTIPLE_SPACES: Exit.MULTIPLE_SPACES,
    Code.SPACE_DISABLED: Exit.SPACE_DISABLED,
    Code.ALREADY_CONNECTED: Exit.ALREADY_CONNECTED,
    Code.UNSUPPORTED_PROTOCOL: Exit.UNSUPPORTED_PROTOCOL,
    Code.SUPERSEDED: Exit.SUPERSEDED,
    Code.KICKED: Exit.KICKED,
    Code.JOIN_TOKEN_INVALID: Exit.JOIN_TOKEN,
    Code.JOIN_TOKEN_USED: Exit.JOIN_TOKEN,
}


def exit_for(code: Code) -> Exit:
    """The exit code for a problem that ends the agent."""
    return _BY_CODE.get(code, Exit.REFUSED)


def worth_a_retry(code: Code, *, retry: bool, holder: str | None = None) -> bool:
    """Whether coming back can help. A seat whose holder is only suspected to live may be free soon."""
    if code is Code.ALREADY_CONNECTED:
        return holder == "suspect" or retry
    return retry or KINDS[code].retry


class Leave(Exception):
    """The agent ends, with this exit code; the text says why and what to do."""

    def __init__(self, exit_code: Exit, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    @classmethod
    def because(cls, problem: Problem, space: str | None = None) -> "Leave":
        """A problem that no retry can help, with what to do about it."""
        kind = KINDS[problem.code]
        where = f"space {space!r}: " if space else ""
        what = problem.message or kind.title
        text = f"{where}{what.rstrip('.')}. {kind.what_to_do} ({problem.code})"
        return cls(exit_for(problem.code), text)
