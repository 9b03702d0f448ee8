"""What an actor may do."""

from typing import Any

import pytest

from spaces_chassis.errors import ProblemError
from spaces_contracts.access import Permission, Principal, PrincipalKind, Role
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_registry import actors

ADMIN, API_KEY, TOKEN = PrincipalKind.ADMIN, PrincipalKind.API_KEY, PrincipalKind.WORKER_TOKEN
OURS, THEIRS = "a" * 20, "b" * 20
SPACE, OTHER = "s" * 20, "t" * 20


def actor(kind: PrincipalKind, tenant_id: str | None = OURS) -> Principal:
    return Principal(
        principal_id="p" * 20,
        kind=kind,
        tenant_id=None if kind is ADMIN else tenant_id,
        space_ids=[SPACE] if kind is TOKEN else [],
    )


@pytest.mark.parametrize(
    ("kind", "tenant_id", "sees"),
    [
        (ADMIN, OURS, True),
        (ADMIN, THEIRS, True),
        (ADMIN, None, True),
        (API_KEY, OURS, True),
        (API_KEY, THEIRS, False),
        (API_KEY, None, False),
    ],
)
def test_who_sees_a_tenant(kind: PrincipalKind, tenant_id: str | None, sees: bool) -> None:
    assert actors.sees_tenant(actor(kind), tenant_id) is sees


def test_who_belongs_nowhere_sees_nothing() -> None:
    nobody = actor(API_KEY, tenant_id=None)
    assert not actors.sees_tenant(nobody, None)
    assert actors.tenant_filter(nobody) == ""


@pytest.mark.parametrize(
    ("kind", "tenant_id", "space_id", "sees"),
    [
        (ADMIN, THEIRS, OTHER, True),
        (API_KEY, OURS, OTHER, True),
        (API_KEY, THEIRS, SPACE, False),
        (TOKEN, THEIRS, SPACE, True),
        (TOKEN, OURS, OTHER, False),
    ],
)
def test_who_sees_a_space(kind: PrincipalKind, tenant_id: str, space_id: str, sees: bool) -> None:
    assert actors.sees_space(actor(kind), space_id, tenant_id, None) is sees


@pytest.mark.parametrize(
    ("kind", "issued", "may"),
    [
        (ADMIN, ADMIN, True),
        (ADMIN, API_KEY, True),
        (ADMIN, TOKEN, True),
        (API_KEY, ADMIN, False),
        (API_KEY, API_KEY, True),
        (API_KEY, TOKEN, True),
        (TOKEN, ADMIN, False),
        (TOKEN, API_KEY, False),
        (TOKEN, TOKEN, False),
    ],
)
def test_who_issues_what(kind: PrincipalKind, issued: PrincipalKind, may: bool) -> None:
    if may:
        actors.require_issuer(actor(kind), issued)
    else:
        with pytest.raises(ProblemError) as error:
            actors.require_issuer(actor(kind), issued)
        assert error.value.problem.code is Code.FORBIDDEN


def test_logins_are_nobodys_to_issue() -> None:
    with pytest.raises(ProblemError):
        actors.require_issuer(actor(ADMIN), PrincipalKind.USER)


def person(role: Role, **fields: Any) -> Principal:
    return Principal(
        principal_id=new_id(), kind=PrincipalKind.USER, role=role, user_id=new_id(), **fields
    )


def key_of(maker: Principal, **fields: Any) -> Principal:
    return Principal(
        principal_id=new_id(), kind=API_KEY, tenant_id=OURS, user_id=maker.user_id, **fields
    )


def test_a_member_sees_the_keys_they_made_and_an_owner_all_of_the_tenant() -> None:
    member, owner = person(Role.MEMBER, tenant_id=OURS), person(Role.OWNER, tenant_id=OURS)
    own, other = key_of(member), key_of(owner)
    assert actors.sees_credential(member, own)
    assert not actors.sees_credential(member, other)
    assert actors.sees_credential(owner, own)
    assert not actors.sees_credential(person(Role.OWNER, tenant_id=THEIRS), own)


def test_the_key_of_a_person_sees_no_more_keys_than_the_persons_own() -> None:
    owner = person(Role.OWNER, tenant_id=OURS)
    key = key_of(owner, scopes=[Permission.KEYS_MANAGE])
    assert actors.sees_credential(key, key_of(owner))
    assert not actors.sees_credential(key, key_of(person(Role.MEMBER, tenant_id=OURS)))


def test_nobody_hands_on_what_they_do_not_have() -> None:
    member = person(Role.MEMBER, tenant_id=OURS)
    assert actors.handed_on(member, [Permission.REQUESTS_READ]) == [Permission.REQUESTS_READ]
    with pytest.raises(ProblemError) as error:
        actors.handed_on(member, [Permission.SPACES_WRITE])
    assert error.value.problem.code is Code.FORBIDDEN


def test_a_key_without_scopes_comes_only_from_who_has_none() -> None:
    assert actors.handed_on(actor(API_KEY), None) is None
    assert actors.handed_on(
        key_of(person(Role.OWNER), scopes=[Permission.REQUESTS_READ]), None
    ) == [Permission.REQUESTS_READ]
    assert Permission.ACCOUNT not in (actors.handed_on(person(Role.MEMBER), None) or [])


def test_new_things_go_where_their_maker_belongs() -> None:
    assert actors.chosen_tenant(actor(API_KEY), None) == OURS
    assert actors.chosen_tenant(actor(API_KEY), OURS) == OURS
    assert actors.chosen_tenant(actor(ADMIN), None) == actors.DEFAULT_TENANT_ID
    assert actors.chosen_tenant(actor(ADMIN), THEIRS) == THEIRS
    with pytest.raises(ProblemError) as error:
        actors.chosen_tenant(actor(API_KEY), THEIRS)
    assert error.value.problem.code is Code.TENANT_NOT_FOUND


def test_lists_are_limited_to_ones_own() -> None:
    assert actors.tenant_filter(actor(ADMIN)) is None
    assert actors.tenant_filter(actor(API_KEY)) == OURS
