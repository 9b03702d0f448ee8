"""A registry's answers about limits that never give anything out."""

from spaces_contracts.quotas import Allowance, Allowances, TakeAllowance


def allowances(command: TakeAllowance, limit: int | None) -> Allowances:
    """Nothing of this limit is left; None: there is no limit."""
    return Allowances(
        allowances=[
            Allowance(
                holder=ask.holder,
                holder_id=ask.holder_id,
                ahead=ask.ahead,
                limit=limit,
                ends_in_s=60,
            )
            for ask in command.asks
        ]
    )
