"""What answers mean: which problems are final, which spaces stay served, what doctor says."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from spaces_contracts.problems import KINDS, Code, Problem
from spaces_contracts.worker_socket import Registered, RegisterError
from spaces_worker_agent.doctor import Check, judge, report
from spaces_worker_agent.exits import FINAL, MEANING, Exit, Leave, exit_for, worth_a_retry
from spaces_worker_agent.membership import REJOIN_S, Membership, Retry
from spaces_worker_agent.settings import AgentSettings
from spaces_worker_agent.worker_check import CheckAnswer, read_answer

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def served(space: str) -> Registered:
    return Registered(
        space=space,
        connection_id=space[0] * 26,
        space_id=space[0] * 26,
        name=space,
        epoch=1,
        heartbeat_s=1,
    )


def refused(space: str | None, code: Code, **more: object) -> RegisterError:
    return RegisterError.model_validate({"space": space, "code": code, "message": "So."} | more)


def test_only_what_may_heal_is_tried_again() -> None:
    assert not worth_a_retry(Code.TOKEN_INVALID, retry=False)
    assert worth_a_retry(Code.UNAVAILABLE, retry=False)
    assert worth_a_retry(Code.SPACE_DISABLED, retry=True)
    assert not worth_a_retry(Code.ALREADY_CONNECTED, retry=False, holder="live")
    assert worth_a_retry(Code.ALREADY_CONNECTED, retry=False, holder="suspect")


@pytest.mark.parametrize("code", list(Code))
def test_every_problem_has_an_exit_code_and_advice(code: Code) -> None:
    left = Leave.because(Problem(code=code, message="It is so."), "x")
    assert left.exit_code is exit_for(code)
    assert KINDS[code].what_to_do in str(left)
    assert str(left).startswith("space 'x': It is so. ")


def test_every_exit_code_has_its_meaning() -> None:
    assert set(MEANING) == set(Exit)
    assert Exit.OK not in FINAL


def test_the_unit_does_not_restart_what_is_final() -> None:
    unit = (ROOT / "deploy/systemd/spaces-worker.service").read_text()
    (line,) = [row for row in unit.splitlines() if row.startswith("RestartPreventExitStatus=")]
    assert sorted(int(code) for code in line.partition("=")[2].split()) == sorted(FINAL)


def test_the_documentation_lists_every_exit_code() -> None:
    page = (ROOT / "docs/worker.md").read_text()
    for code in Exit:
        final = "no" if code in FINAL or code is Exit.OK else "yes"
        assert f"| {int(code)} | {code.name.lower()} | {MEANING[code]} | {final} |" in page


def test_one_space_that_is_refused_for_good_ends_the_agent() -> None:
    members = Membership(("a",))
    with pytest.raises(Leave) as left:
        members.refused(refused("a", Code.SPACE_NOT_FOUND))
    assert left.value.exit_code is Exit.SPACE_NOT_FOUND


def test_after_a_good_start_one_of_several_may_go() -> None:
    members = Membership(("a", "b"))
    assert members.joined(served("a")) is None
    assert members.joined(served("b")) is None
    members.begin()
    members.joined(served("a"))
    assert members.refused(refused("b", Code.SPACE_NOT_FOUND)) is None
    assert members.wanted == ["a"]
    members.begin()
    with pytest.raises(Leave):
        members.refused(refused(None, Code.TOKEN_REVOKED))


def test_a_space_that_waits_is_asked_for_again_without_haste() -> None:
    members = Membership(("a", "b"))
    facts = {"holder": "suspect", "retry_after_s": 0.5}
    assert members.refused(refused("b", Code.ALREADY_CONNECTED, **facts)) is None
    assert members.joined(served("a")) == Retry("So.", REJOIN_S)
    alone = Membership(("a",))
    assert alone.refused(refused("a", Code.UNAVAILABLE, retry_after_s=3)) == Retry("So.", 3)


def test_a_kick_of_an_unknown_connection_ends_the_agent() -> None:
    members = Membership(("a", "b"))
    members.joined(served("a"))
    with pytest.raises(Leave):
        members.ended("z" * 26, Problem(code=Code.KICKED), retry=False)


def test_all_spaces_must_be_drained_before_the_agent_leaves() -> None:
    members = Membership(("a", "b"))
    members.joined(served("a"))
    members.joined(served("b"))
    assert not members.drained("a" * 26)
    assert members.drained("b" * 26)


def named(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def answer(**more: object) -> CheckAnswer:
    document: dict[str, object] = {
        "protocol": "spaces.v1.json",
        "version": "1",
        "now": NOW.isoformat(),
        "token": {"problem": None},
        "spaces": [{"ref": "a", "space_id": "a" * 26, "name": "a", "problem": None}],
    }
    return read_answer(document | more)


def test_doctor_finds_nothing_wrong() -> None:
    checks = named(judge(AgentSettings(space=("a",)), answer(), NOW))
    assert {check.level for check in checks.values()} == {"ok"}
    assert set(checks) == {"clock", "protocol", "token", "space a"}


def test_doctor_names_each_problem_with_advice() -> None:
    settings = AgentSettings(space=("a",))
    late = named(judge(settings, answer(), NOW + timedelta(seconds=60)))["clock"]
    assert (late.level, "60.0 s ahead" in late.text) == ("warn", True)
    newer = named(judge(settings, answer(protocol="spaces.v2.json"), NOW))["protocol"]
    assert newer.level == "fail"
    token = {"problem": {"code": "token_revoked", "message": "Revoked."}}
    revoked = named(judge(settings, answer(token=token), NOW))
    assert revoked["token"].level == "fail"
    assert revoked["token"].advice == KINDS[Code.TOKEN_REVOKED].what_to_do
    assert "space a" not in revoked
    space = {"ref": "a", "problem": {"code": "space_not_found", "message": "No space 'a'."}}
    unknown = named(judge(settings, answer(spaces=[space]), NOW))["space a"]
    assert (unknown.level, unknown.text) == ("fail", "No space 'a'. (space_not_found)")
    busy: dict[str, object] = {"ref": "a", "problem": {"code": "already_connected"}}
    busy["connections"] = 1
    taken = named(judge(settings, answer(spaces=[busy]), NOW))["space a"]
    assert (taken.level, "1 of at most 1 workers" in taken.text) == ("warn", True)
    over = AgentSettings(space=("a",), takeover=True)
    assert named(judge(over, answer(spaces=[busy]), NOW))["space a"].level == "ok"
    assert named(judge(settings, CheckAnswer(found=False), NOW))["token"].level == "warn"
    strange = {"ref": "a", "problem": {"code": "from_the_future", "message": "?"}}
    assert named(judge(settings, answer(spaces=[strange]), NOW))["space a"].level == "fail"
    assert named(judge(AgentSettings(), answer(spaces=[]), NOW))["space"].level == "fail"


def test_the_report_has_colour_only_when_asked() -> None:
    checks = [Check("dns", "fail", "no such host", "Check it."), Check("tcp", "ok", "open")]
    assert report(checks, colour=False).splitlines() == [
        "fail  dns  no such host",
        "           -> Check it.",
        "ok    tcp  open",
    ]
    assert "\x1b[31mfail" in report(checks, colour=True)
