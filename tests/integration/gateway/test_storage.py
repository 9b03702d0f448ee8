"""Room for files is taken before they are stored and given back when they are not."""

from collections.abc import AsyncIterator
from datetime import date, timedelta

import httpx2

from spaces_contracts.problems import Code, Problem
from spaces_contracts.quotas import ForgetStorage, TakeStorage
from spaces_gateway.files.retention import RetentionSweep
from spaces_gateway.files.room import FIRST_STEP, Room
from tests.integration.gateway.conftest import ADMIN, Running


def taken(running: Running) -> list[int]:
    return [one.ask.size_bytes for one in running.backends.asked if isinstance(one, TakeStorage)]


def full_above(running: Running, size_bytes: int) -> None:
    """Room for so much more."""

    def refuse(command: TakeStorage) -> Problem | None:
        too_much = sum(taken(running)) > size_bytes and command.ask.size_bytes > 0
        if too_much:
            running.backends.asked.remove(command)
        return Problem(code=Code.STORAGE_FULL, message="full") if too_much else None

    running.backends.refusals[TakeStorage] = refuse


async def upload(
    running: Running, content: bytes, headers: dict[str, str] | None = None
) -> httpx2.Response:
    typed = {"content-type": "text/plain", "x-file-name": "a.txt"}
    return await running.post("/api/files", content=content, headers=typed | (headers or {}))


async def in_pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 50_000


async def test_a_file_of_known_size_takes_its_size(running: Running) -> None:
    assert (await upload(running, b"x" * 1000)).status_code == 201
    assert taken(running) == [1000]


async def test_a_file_of_unknown_size_gives_back_what_it_did_not_need(running: Running) -> None:
    answer = await running.post("/api/files", files={"file": ("a.txt", b"x" * 1000, "text/plain")})
    assert answer.status_code == 201
    assert taken(running) == [FIRST_STEP, 1000 - FIRST_STEP]


async def test_what_does_not_fit_is_refused_and_leaves_nothing(running: Running) -> None:
    full_above(running, 400_000)
    assert (await upload(running, b"x" * 300_000)).status_code == 201
    answer = await upload(running, b"x" * 200_000)
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
    assert "retry-after" not in answer.headers
    assert sum(taken(running)) == 300_000


async def test_a_stream_is_cut_off_where_the_room_ends(running: Running) -> None:
    full_above(running, 300_000)
    answer = await running.client.post(
        "/api/files", content=in_pieces(19), headers={"content-type": "text/plain"}
    )
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
    assert sum(taken(running)) == 0
    folder = running.gateway.services.settings.files_dir
    assert not [path for path in folder.rglob("*") if path.is_file()]


async def test_the_last_bytes_of_the_room_can_be_used(running: Running) -> None:
    full_above(running, 1000)
    answer = await running.post("/api/files", files={"file": ("a.txt", b"x" * 1000, "text/plain")})
    assert answer.status_code == 201
    assert sum(taken(running)) == 1000


async def test_a_file_that_is_refused_gives_all_back(running: Running) -> None:
    answer = await upload(running, b"x" * 1000, {"content-type": "image/png"})
    assert answer.json()["code"] == "file_type_mismatch"
    assert taken(running) == [1000, -1000]


async def test_the_files_of_a_form_that_fails_give_their_room_back(running: Running) -> None:
    running.backends.add_space("poems", enabled=False)
    answer = await running.post(
        "/api/spaces/poems/requests", files={"file": ("a.txt", b"x" * 1000, "text/plain")}
    )
    assert answer.json()["code"] == "space_disabled"
    assert sum(taken(running)) == 0


async def test_an_admins_file_is_nobodys(running: Running) -> None:
    assert (await upload(running, b"x", ADMIN)).status_code == 201
    assert taken(running) == []


async def test_the_sweep_gives_back_what_is_too_old(running: Running) -> None:
    services = running.gateway.services
    sweep = RetentionSweep(services.files, services.clock, 7, Room(services.bus))
    running.backends.asked.clear()
    await sweep.step()
    forgot, *_ = [one for one in running.backends.asked if isinstance(one, ForgetStorage)]
    assert date.fromisoformat(forgot.day) == services.clock.now().date() - timedelta(days=8)


async def test_a_sweep_that_nobody_hears_is_no_failure(running: Running) -> None:
    away = Problem(code=Code.UNAVAILABLE, message="away")
    running.backends.refusals[ForgetStorage] = away
    services = running.gateway.services
    assert await RetentionSweep(services.files, services.clock, 7, Room(services.bus)).step() == 0
