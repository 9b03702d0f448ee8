"""Every command with an actor is let through by the table of permissions, and noted in the audit log."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from spaces_chassis.bus import Route, serve
from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Act, Principal
from spaces_contracts.message import Command, Reply
from spaces_contracts.permissions import COMMAND_RULES, Rule
from spaces_contracts.problems import Code
from spaces_registry.audit import Audit

C = TypeVar("C", bound=Command[Any])
A = TypeVar("A", bound=Act[Any])


def authorised(
    audit: Audit, command_type: type[A], handler: Callable[[A], Awaitable[Reply]], *, queue: str
) -> Route:
    """Like `serve`, for commands that say who acts. Raises KeyError for a command without a row in the table."""
    rule = COMMAND_RULES[command_type.__name__]

    async def checked(command: A) -> Reply:
        require(command.actor, rule)
        return await handler(command)

    async def noted(command: A) -> Reply:
        return await audit.noted(command, command.actor, checked)

    return serve(command_type, noted, queue=queue)


def open_to_all(
    audit: Audit, command_type: type[C], handler: Callable[[C], Awaitable[Reply]], *, queue: str
) -> Route:
    """Like `serve`, for what somebody does who is not known yet; noted all the same."""

    async def noted(command: C) -> Reply:
        return await audit.noted(command, None, handler)

    return serve(command_type, noted, queue=queue)


def require(actor: Principal, rule: Rule) -> None:
    """Raises `forbidden` when the row does not let the actor do it."""
    if not rule.permits(actor):
        needed = " or ".join(repr(permission.value) for permission in rule.needs)
        raise ProblemError.of(Code.FORBIDDEN, f"To {rule.what} takes {needed}")
