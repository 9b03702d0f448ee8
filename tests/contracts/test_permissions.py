"""Everything that can be asked for has exactly one row in the table of who may do what."""

from collections import Counter
from typing import get_args

from spaces_contracts import client_socket, worker_socket
from spaces_contracts.access import Permission, Principal, PrincipalKind, Role
from spaces_contracts.catalog import CATALOG
from spaces_contracts.identifiers import new_id
from spaces_contracts.message import Command
from spaces_contracts.permissions import (
    COMMAND_RULES,
    KEY_SCOPES,
    RULES,
    Whose,
    allows,
    permissions_of,
)

COMMANDS = {
    entry.message.__name__: entry.message for entry in CATALOG if issubclass(entry.message, Command)
}


def test_every_command_has_one_row() -> None:
    listed = Counter(name for rule in RULES for name in rule.commands)
    assert {name for name, count in listed.items() if count > 1} == set()
    assert set(listed) == set(COMMANDS)


def test_every_frame_that_a_client_or_worker_sends_has_one_row() -> None:
    sent = {
        frame.model_fields["type"].default
        for union in (client_socket.FromClient, worker_socket.FromWorker)
        for frame in get_args(get_args(union)[0])
    }
    listed = Counter(name for rule in RULES for name in rule.frames)
    assert {name for name, count in listed.items() if count > 1} == set()
    assert set(listed) == sent


def test_what_somebody_does_names_them_unless_nobody_is_asked() -> None:
    for name, command in COMMANDS.items():
        rule = COMMAND_RULES[name]
        if "actor" in command.model_fields:
            assert rule.whose not in (Whose.ANYBODY, Whose.SERVICE, Whose.LINK), name


def test_a_key_does_what_its_scopes_say_and_never_what_only_people_may() -> None:
    key = Principal(
        principal_id=new_id(),
        kind=PrincipalKind.API_KEY,
        tenant_id=new_id(),
        scopes=[Permission.REQUESTS_READ, Permission.TENANTS_MANAGE, Permission.ACCOUNT],
    )
    assert permissions_of(key) == {Permission.REQUESTS_READ}
    assert [one for one in Permission if allows(key, one)] == [Permission.REQUESTS_READ]


def test_nobody_has_more_rights_than_who_is_above_them() -> None:
    def may(role: Role) -> frozenset[Permission]:
        return permissions_of(Principal(principal_id=new_id(), kind=PrincipalKind.USER, role=role))

    assert may(Role.MEMBER) < may(Role.OWNER) < may(Role.ADMIN)
    assert may(Role.OWNER) > KEY_SCOPES


def test_a_worker_token_only_serves() -> None:
    token = Principal(principal_id=new_id(), kind=PrincipalKind.WORKER_TOKEN)
    assert permissions_of(token) == {Permission.WORKERS_SERVE}


def test_a_user_without_a_role_may_nothing() -> None:
    assert permissions_of(Principal(principal_id=new_id(), kind=PrincipalKind.USER)) == frozenset()
