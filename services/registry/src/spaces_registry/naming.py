"""Which space somebody means: an id, `tenant/name`, or a bare name. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from spaces_contracts.identifiers import is_id
from spaces_contracts.problems import Code, Problem


@dataclass(frozen=True)
class Reference:
    """What somebody typed, taken apart. A bare word may be an id or a name."""

    text: str
    name: str
    tenant: str | None = None

    @property
    def possible_id(self) -> str | None:
        """The text, when it could be a space's id."""
        return self.text if self.tenant is None and is_id(self.text) else None


@dataclass(frozen=True)
class Candidate:
    """A space that fits a reference. `in_scope` is false for one that the credential may not serve."""

    space_id: str
    tenant_name: str
    name: str
    in_scope: bool = True

    @property
    def full_name(self) -> str:
        """The name that is unambiguous among people."""
        return f"{self.tenant_name}/{self.name}"


def parse_reference(text: str) -> Reference:
    """Takes a reference apart at its first slash; names hold none."""
    tenant, slash, name = text.partition("/")
    return Reference(text=text, name=name, tenant=tenant) if slash else Reference(text, name=text)


def choose(reference: Reference, candidates: Sequence[Candidate]) -> Candidate | Problem:
    """The one space that is meant, or the problem to answer with.

    An exact id wins over a space that happens to be called so. What a credential may serve hides what it
    may only see, so a token for one of two spaces of a name is never asked which one it means.
    """
    by_id = [space for space in candidates if space.space_id == reference.possible_id]
    fitting = by_id or [space for space in candidates if _fits(reference, space)]
    usable = [space for space in fitting if space.in_scope]
    if len(usable) == 1:
        return usable[0]
    if usable:
        return _several(reference, usable)
    if fitting:
        return Problem(
            code=Code.TOKEN_SCOPE,
            message=f"The token does not cover space {fitting[0].full_name!r}",
            facts={"ref": reference.text},
        )
    return space_not_found(reference.text)


def space_not_found(text: str) -> Problem:
    """Also the answer for a space of another tenant: who may not see it learns nothing."""
    return Problem(
        code=Code.SPACE_NOT_FOUND, message=f"No space {text!r} found", facts={"ref": text}
    )


def _fits(reference: Reference, space: Candidate) -> bool:
    return space.name == reference.name and reference.tenant in (None, space.tenant_name)


def _several(reference: Reference, spaces: Sequence[Candidate]) -> Problem:
    listed = sorted(spaces, key=lambda space: (space.full_name, space.space_id))
    names = ", ".join(space.full_name for space in listed)
    return Problem(
        code=Code.MULTIPLE_SPACES,
        message=f"Multiple spaces with name {reference.name!r} found: {names}."
        " Say tenant/name, or the space's id.",
        facts={
            "ref": reference.text,
            "candidates": [
                {"space_id": space.space_id, "tenant": space.tenant_name, "name": space.name}
                for space in listed
            ],
        },
    )
