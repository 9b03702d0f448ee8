"""Who gets a seat in a space when a worker attaches. Pure.

A space has seats 0 .. max_connections - 1 and each live connection holds one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest

from spaces_contracts.problems import Code, Problem


@dataclass(frozen=True)
class Seated:
    """A live connection of the space."""

    connection_id: str
    seat: int
    epoch: int
    instance_id: str
    instance_secret_sha256: str
    # Whether its end is near enough that another worker should try again: suspect, or draining.
    leaving: bool = False


@dataclass(frozen=True)
class Claim:
    """Who wants a seat. The secret proves that the instance is who it says it is."""

    connection_id: str
    instance_id: str
    instance_secret_sha256: str
    takeover: bool = False


@dataclass(frozen=True)
class Place:
    """The seat to take, and the connections that must end for it in the same transaction."""

    seat: int
    supersedes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repeat:
    """The connection already holds this seat: its attach was sent twice."""

    seat: int
    epoch: int


@dataclass(frozen=True)
class Refusal:
    """No seat. `holder` is `live` (final) or `suspect` (worth another try)."""

    problem: Problem
    holder: str | None = None


def choose_seat(
    claim: Claim, seated: Sequence[Seated], max_connections: int
) -> Place | Repeat | Refusal:
    """Decides one attach against what holds seats now."""
    mine = [other for other in seated if other.instance_id == claim.instance_id]
    if any(not _same_secret(claim, other) for other in mine):
        return _other_instance()
    for other in seated:
        if other.connection_id == claim.connection_id:
            # An id is made by its holder: another instance's is not taken over by naming it.
            return Repeat(other.seat, other.epoch) if other in mine else _other_instance()
    if mine:
        # Its own ghost: the old socket may look alive for seconds after the agent came back.
        return Place(min(other.seat for other in mine), _ids(mine))
    free = set(range(max_connections)) - {other.seat for other in seated}
    if free:
        return Place(min(free))
    in_range = [other for other in seated if other.seat < max_connections]
    if claim.takeover and in_range:
        # The one whose end costs least: on its way out, else the oldest.
        loser = min(in_range, key=lambda other: (not other.leaving, other.epoch))
        return Place(loser.seat, (loser.connection_id,))
    return _full(seated, max_connections)


def _same_secret(claim: Claim, other: Seated) -> bool:
    return compare_digest(claim.instance_secret_sha256, other.instance_secret_sha256)


def _ids(connections: Sequence[Seated]) -> tuple[str, ...]:
    return tuple(sorted(other.connection_id for other in connections))


def _other_instance() -> Refusal:
    return Refusal(
        Problem(
            code=Code.FORBIDDEN,
            message="This instance id belongs to another worker; remove the copied spool directory",
        )
    )


def _full(seated: Sequence[Seated], max_connections: int) -> Refusal:
    holder = "suspect" if any(other.leaving for other in seated) else "live"
    workers = "a worker" if max_connections == 1 else f"{max_connections} workers"
    return Refusal(
        Problem(
            code=Code.ALREADY_CONNECTED,
            message=f"The space already has {workers} connected",
            retry_after_s=3.0 if holder == "suspect" else None,
            facts={"holder": holder, "max_connections": max_connections},
        ),
        holder,
    )
