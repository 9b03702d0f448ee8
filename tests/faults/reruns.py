"""Whether work was done again only where it had to be. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.history import Execution, Inflicted, Ownership

LEASE_LOST = "lease_lost"
# A killed agent comes back as itself and takes its own place; what it ran had died with it.
_BACK_AGAIN = frozenset({"superseded", "left"})


@dataclass
class Reruns:
    """Executions beyond the first of each request."""

    count: int = 0
    violations: list[str] = field(default_factory=list)


def judge(
    executions: Sequence[Execution], owners: Sequence[Ownership], inflicted: Inflicted
) -> Reruns:
    """Each attempt runs once; an earlier attempt that ran must have lost its worker."""
    found = Reruns()
    owner = {(one.request_id, one.attempt): one for one in owners}
    kills_left = Counter(inflicted.worker_kills)
    newest: dict[str, int] = {}
    for (request_id, attempt), runs in Counter(
        (one.request_id, one.attempt) for one in executions
    ).items():
        if runs > 1:
            found.violations.append(f"{request_id}: attempt {attempt} ran {runs} times")
            found.count += runs - 1
        newest[request_id] = max(attempt, newest.get(request_id, 0))
    for request_id, attempt in dict.fromkeys((one.request_id, one.attempt) for one in executions):
        if attempt < newest[request_id]:
            found.count += 1
            why_not = _unexplained(owner.get((request_id, attempt)), kills_left)
            if why_not is not None:
                found.violations.append(
                    f"{request_id}: ran again after attempt {attempt}, {why_not}"
                )
    return found


def _unexplained(owner: Ownership | None, kills_left: Counter[str]) -> str | None:
    if owner is None:
        return "which nobody was given"
    if owner.ended == LEASE_LOST:
        return None
    if owner.ended in _BACK_AGAIN and kills_left[owner.space] > 0:
        kills_left[owner.space] -= 1
        return None
    return f"whose connection ended as {owner.ended}"
