"""Lists of requests, their stories, and what is done to all that a filter names, over HTTP."""

from typing import Any

import pytest

from spaces_contracts.identifiers import new_id
from spaces_contracts.names import GetNames
from spaces_contracts.problems import Code, Problem
from spaces_contracts.request_lists import CancelRequests, ListRequests, NoteRetries
from spaces_contracts.requests import RequestState
from tests.integration.gateway.conftest import ADMIN, Running
from tests.integration.gateway.lookups import WORKER_ID


async def submitted(running: Running, prompt: str = "hello") -> str:
    answer = await running.post("/api/spaces/poems/requests", json={"prompt": prompt})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["request_id"])


@pytest.fixture
async def poems(running: Running) -> Running:
    running.backends.add_space("poems")
    return running


def asked(running: Running, command: type[Any]) -> Any:
    return [one for one in running.backends.asked if isinstance(one, command)][-1]


async def test_a_row_says_what_it_belongs_to(poems: Running) -> None:
    request_id = await submitted(poems)
    (row,) = (await poems.get("/api/requests")).json()["requests"]
    assert (row["request_id"], row["space_name"], row["tenant_name"]) == (
        request_id,
        "poems",
        "default",
    )
    user = poems.backends.user
    assert row["made_by"] == {
        "principal_id": user.principal_id,
        "kind": "api_key",
        "name": "user",
        "user_id": None,
    }


async def test_a_list_without_names_is_still_a_list(poems: Running) -> None:
    request_id = await submitted(poems)
    poems.backends.refusals[GetNames] = Problem(code=Code.UNAVAILABLE)
    (row,) = (await poems.get("/api/requests")).json()["requests"]
    assert (row["request_id"], row["space_name"]) == (request_id, None)


async def test_every_word_of_the_filter_reaches_the_scheduler(poems: Running) -> None:
    who = poems.backends.user.principal_id
    query = {
        "space": "poems",
        "state": ["failed", "expired"],
        "user": who,
        "since": "2026-11-21T10:00:00Z",
        "until": "2026-11-21T12:00:00+01:00",
        "id": "01jd",
        "limit": 7,
    }
    assert (await poems.get("/api/requests", params=query)).status_code == 200
    command = asked(poems, ListRequests)
    assert command.tenant_id == poems.backends.tenant_id
    assert command.states == [RequestState.FAILED, RequestState.EXPIRED]
    assert command.principal_ids == [who]
    assert (command.since.isoformat(), command.until.hour) == ("2026-11-21T10:00:00+00:00", 12)
    assert (command.id_prefix, command.limit) == ("01jd", 7)


@pytest.mark.parametrize(
    ("name", "value"), [("since", "yesterday"), ("since", "2026-11-21T10:00:00"), ("id", "A%")]
)
async def test_a_filter_that_says_nothing_is_refused(poems: Running, name: str, value: str) -> None:
    answer = await poems.get("/api/requests", params={name: value})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_somebody_unknown_made_nothing(poems: Running) -> None:
    await submitted(poems)
    answer = await poems.get("/api/requests", params={"user": new_id()})
    assert answer.json()["requests"] == []


async def test_a_story_holds_what_was_asked_and_who_worked_on_it(poems: Running) -> None:
    request_id = await submitted(poems, "a story")
    story = (await poems.get(f"/api/requests/{request_id}/details")).json()
    assert story["input"] == {"prompt": "a story", "parameters": {}}
    (attempt,) = story["attempts"]
    assert (attempt["connection_id"], attempt["worker"]) == (WORKER_ID, "gpu-1")
    assert (story["space_name"], story["retry_of"], story["retried_as"]) == ("poems", None, [])
    assert (await poems.get(f"/api/requests/{new_id()}/details")).json()["code"] == (
        "request_not_found"
    )


async def test_a_retry_asks_for_the_same_again_and_says_what_it_repeats(poems: Running) -> None:
    body = {"prompt": "again", "parameters": {"n": 1}, "priority": 3}
    answer = await poems.post("/api/spaces/poems/requests", json=body)
    old = answer.json()["request_id"]
    await poems.backends.finish(old, state=RequestState.FAILED)
    answer = await poems.post(f"/api/requests/{old}/retry")
    assert answer.status_code == 202, answer.text
    new = answer.json()["request_id"]
    assert (answer.json()["retry_of"], answer.headers["location"]) == (old, f"/api/requests/{new}")
    first, second = poems.backends.requests[old], poems.backends.requests[new]
    same = {"payload", "priority", "space_id", "inputs", "tenant_id"}
    assert second.model_dump(include=same) == first.model_dump(include=same)
    assert asked(poems, NoteRetries).retries[0].retry_of == old
    assert (await poems.get(f"/api/requests/{old}/details")).json()["retried_as"] == [new]


async def test_a_retry_that_is_refused_says_why(poems: Running) -> None:
    old = await submitted(poems)
    poems.backends.verdict = Problem(code=Code.QUEUE_FULL, message="full")
    answer = await poems.post(f"/api/requests/{old}/retry")
    assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
    assert (await poems.post(f"/api/requests/{new_id()}/retry")).status_code == 404


async def test_all_that_failed_is_retried_once_and_the_answer_counts(poems: Running) -> None:
    bad = [await submitted(poems, f"bad {nth}") for nth in range(70)]
    for one in bad:
        await poems.backends.finish(one, state=RequestState.FAILED)
    await submitted(poems)  # waits
    outcome = (await poems.post("/api/requests/retry", json={"space": "poems"})).json()
    assert (outcome["matched"], outcome["done"], outcome["more"]) == (70, 70, False)
    assert len(set(outcome["request_ids"])) == 70
    prompts = {poems.backends.requests[one].payload for one in outcome["request_ids"]}
    assert prompts == {poems.backends.requests[one].payload for one in bad}
    again = (await poems.post("/api/requests/retry", json={"space": "poems"})).json()
    assert (again["matched"], again["done"]) == (0, 0)


async def test_retries_that_are_refused_are_counted_by_their_reason(poems: Running) -> None:
    for nth in range(3):
        await poems.backends.finish(await submitted(poems, f"{nth}"), state=RequestState.EXPIRED)

    poems.backends.verdict = Problem(code=Code.QUEUE_FULL, message="full")
    outcome = (await poems.post("/api/requests/retry", json={})).json()
    assert (outcome["matched"], outcome["done"]) == (3, 0)
    assert outcome["refused"] == {"queue_full": 3}


async def test_what_has_not_ended_is_not_retried_by_the_dozen(poems: Running) -> None:
    await submitted(poems)
    outcome = (await poems.post("/api/requests/retry", json={"states": ["queued"]})).json()
    assert (outcome["matched"], outcome["done"]) == (0, 0)


async def test_all_that_waits_is_cancelled_some_at_a_time(poems: Running) -> None:
    waiting = [await submitted(poems) for _ in range(5)]
    body = {"space": "poems", "limit": 3}
    first = (await poems.post("/api/requests/cancel", json=body)).json()
    assert (first["matched"], first["done"], first["more"]) == (3, 3, True)
    second = (await poems.post("/api/requests/cancel", json=body)).json()
    assert (second["matched"], second["more"]) == (2, False)
    states = {poems.backends.views[one].state for one in waiting}
    assert states == {RequestState.CANCELLED}


async def test_a_mass_change_is_of_ones_own_tenant_and_an_admins_of_all(poems: Running) -> None:
    await poems.post("/api/requests/cancel", json={})
    assert asked(poems, CancelRequests).tenant_id == poems.backends.tenant_id
    await poems.post("/api/requests/cancel", json={}, headers=ADMIN)
    assert asked(poems, CancelRequests).tenant_id is None


async def test_a_selection_with_a_word_that_is_not_known_changes_nothing(poems: Running) -> None:
    await submitted(poems)
    answer = await poems.post("/api/requests/cancel", json={"sapce": "poems"})
    assert answer.status_code == 422
    assert not any(isinstance(one, CancelRequests) for one in poems.backends.asked)
