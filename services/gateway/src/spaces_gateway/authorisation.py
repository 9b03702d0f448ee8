"""Whether a caller may do what they ask for, by the one table of who may do what."""

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Principal
from spaces_contracts.permissions import Rule
from spaces_contracts.problems import Code, Problem


def permitted(rule: Rule, principal: Principal) -> Principal:
    """The principal. Problem: forbidden, naming what they lack."""
    if not rule.permits(principal):
        raise ProblemError(forbidden(rule))
    return principal


def forbidden(rule: Rule) -> Problem:
    """What somebody hears whom a row of the table does not let."""
    needed = " or ".join(rule.needs)
    return Problem(
        code=Code.FORBIDDEN,
        message=f"This credential may not {rule.what}: that needs {needed}.",
        facts={"needs": list(rule.needs)},
    )
