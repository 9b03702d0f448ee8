"""Whoever can speak as the gateway gets for each actor what that actor may do, and nothing else."""

import pytest

from tests.security import matrix_commands
from tests.support.platform import Platform


def test_every_command_that_says_who_acts_is_tried() -> None:
    assert {case.command for case in matrix_commands.CASES} == set(matrix_commands.ACTS)


@pytest.mark.timeout(600)
async def test_the_registry_holds_each_actor_to_the_table(platform: Platform) -> None:
    # A seventh of all pairs, in turn: every command and every actor is in it.
    found = await matrix_commands.run(platform, every=7)
    assert found.wrongly_allowed == []
    assert found.wrongly_refused == []
    assert found.errors == []
    assert found.attempts >= 120
