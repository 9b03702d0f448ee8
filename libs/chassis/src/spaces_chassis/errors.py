"""What can go wrong between processes. Each error carries the problem that a client may be shown."""

from typing import Any

from spaces_contracts.problems import Code, Problem


class ProblemError(Exception):
    """Something was refused or failed for a reason that clients may know."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(f"{problem.code}: {problem.message}")
        self.problem = problem

    @classmethod
    def of(cls, code: Code, message: str = "", **facts: Any) -> "ProblemError":
        """The error for a code, a text for people and extra facts."""
        return ProblemError(Problem(code=code, message=message, facts=facts))


class UnavailableError(ProblemError):
    """A part of the service cannot be reached now; nothing is known to be wrong with the request."""

    def __init__(self, message: str) -> None:
        super().__init__(Problem(code=Code.UNAVAILABLE, message=message))


class BusTimeout(UnavailableError):
    """No answer came in time. Whether the command was carried out is unknown."""


class NoResponders(UnavailableError):
    """Nobody listens on the subject: the command was certainly not carried out."""


class BusUnavailable(UnavailableError):
    """The bus is not connected, or the connection went away while an answer was awaited."""


class DatabaseUnavailable(UnavailableError):
    """The database is down, was just restarted, or is too busy; the transaction did not happen."""
