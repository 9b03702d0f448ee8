"""What is remembered about callers and spaces, and for how long."""

import asyncio

import pytest

from spaces_chassis.bus import serve
from spaces_chassis.errors import ProblemError
from spaces_chassis.testing import ManualClock, MemoryBus
from spaces_contracts.access import (
    AccessChanged,
    Authenticate,
    Principal,
    PrincipalKind,
    PrincipalReply,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code
from spaces_gateway.access import Access, sha256_hex
from spaces_gateway.memory import REMEMBER_S, Memory
from tests.support.keys import key_called

KEY = key_called("somebody")


async def test_an_answer_is_remembered_for_its_time() -> None:
    clock = ManualClock()
    memory: Memory[str, int] = Memory(clock, 5)
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        return asked

    assert [await memory.recall("a", ask), await memory.recall("a", ask)] == [1, 1]
    clock.forward(5)
    assert await memory.recall("a", ask) == 2


async def test_what_was_asked_before_a_change_and_answered_after_is_not_remembered() -> None:
    memory: Memory[str, str] = Memory(ManualClock())
    gate = asyncio.Event()

    async def ask_slowly() -> str:
        await gate.wait()
        return "old"

    async def ask() -> str:
        return "new"

    slow = asyncio.create_task(memory.recall("a", ask_slowly))
    await asyncio.sleep(0)
    memory.forget(lambda _: True)
    gate.set()
    assert await slow == "old"
    assert await memory.recall("a", ask) == "new"


async def test_many_who_want_the_same_answer_ask_once_and_one_that_gives_up_spoils_nothing() -> (
    None
):
    memory: Memory[str, int] = Memory(ManualClock())
    gate = asyncio.Event()
    asked = 0

    async def ask() -> int:
        nonlocal asked
        asked += 1
        await gate.wait()
        return asked

    first, *others = [asyncio.create_task(memory.recall("a", ask)) for _ in range(4)]
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await asyncio.gather(*others) == [1, 1, 1]
    with pytest.raises(asyncio.CancelledError):
        await first
    assert asked == 1


async def test_who_asks_after_a_change_does_not_wait_for_an_older_question() -> None:
    memory: Memory[str, str] = Memory(ManualClock())
    gate = asyncio.Event()

    async def ask_slowly() -> str:
        await gate.wait()
        return "old"

    async def ask() -> str:
        return "new"

    slow = asyncio.create_task(memory.recall("a", ask_slowly))
    await asyncio.sleep(0)
    memory.forget(lambda _: False)
    assert await memory.recall("a", ask) == "new"
    gate.set()
    assert await slow == "old"
    assert memory.known("a") == "new"


async def test_a_refusal_reaches_all_who_wait_for_the_answer() -> None:
    memory: Memory[str, int] = Memory(ManualClock())

    async def refuse() -> int:
        raise ProblemError.of(Code.UNAUTHENTICATED)

    answers = await asyncio.gather(
        *(memory.recall("a", refuse) for _ in range(3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [ProblemError] * 3


async def test_a_refusal_is_not_remembered() -> None:
    memory: Memory[str, int] = Memory(ManualClock())

    async def refuse() -> int:
        raise ProblemError.of(Code.UNAUTHENTICATED)

    async def ask() -> int:
        return 1

    with pytest.raises(ProblemError):
        await memory.recall("a", refuse)
    assert await memory.recall("a", ask) == 1


async def test_a_revoked_key_is_forgotten_when_told_and_after_five_seconds_at_the_latest() -> None:
    clock, bus = ManualClock(), MemoryBus()
    principal = Principal(principal_id=new_id(), kind=PrincipalKind.API_KEY, tenant_id=new_id())
    known = {sha256_hex(KEY): principal}

    async def authenticate(command: Authenticate) -> PrincipalReply:
        if command.secret_sha256 not in known:
            raise ProblemError.of(Code.TOKEN_REVOKED)
        return PrincipalReply(principal=known[command.secret_sha256])

    bus.add_routes([serve(Authenticate, authenticate, queue="q")])
    await bus.start()
    access = Access(bus, clock)
    assert await access.principal(KEY) == principal
    del known[sha256_hex(KEY)]
    assert await access.principal(KEY) == principal
    access.forget(AccessChanged(what="space", changed_id=principal.principal_id))
    assert await access.principal(KEY) == principal
    access.forget(AccessChanged(what="principal", changed_id=principal.principal_id))
    with pytest.raises(ProblemError):
        await access.principal(KEY)
    known[sha256_hex(KEY)] = principal
    await access.principal(KEY)
    del known[sha256_hex(KEY)]
    clock.forward(REMEMBER_S)
    with pytest.raises(ProblemError):
        await access.principal(KEY)
    await bus.stop()


@pytest.mark.parametrize(
    ("kind", "passes"),
    [
        (PrincipalKind.ADMIN, True),
        # Its spaces may lie in several tenants; they are all that it sees.
        (PrincipalKind.WORKER_TOKEN, True),
        (PrincipalKind.API_KEY, False),
        (PrincipalKind.USER, False),
    ],
)
async def test_who_belongs_to_no_tenant_is_nobody_unless_they_see_all_or_only_their_spaces(
    kind: PrincipalKind, passes: bool
) -> None:
    bus = MemoryBus()

    async def authenticate(_command: Authenticate) -> PrincipalReply:
        return PrincipalReply(principal=Principal(principal_id=new_id(), kind=kind))

    bus.add_routes([serve(Authenticate, authenticate, queue="q")])
    await bus.start()
    access = Access(bus, ManualClock())
    if passes:
        assert (await access.principal(KEY)).kind is kind
    else:
        with pytest.raises(ProblemError) as refused:
            await access.principal(KEY)
        assert refused.value.problem.code is Code.FORBIDDEN
    await bus.stop()
