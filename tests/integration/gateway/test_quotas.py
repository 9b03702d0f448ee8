"""Limits as a client of one gateway meets them."""

import asyncio
from typing import Any

import httpx2

from spaces_contracts.limits import Limits
from spaces_contracts.problems import Code, Problem
from spaces_contracts.quotas import CountOpenRequests, QuotaChanged, SetQuotas, TakeAllowance
from tests.integration.gateway.conftest import ADMIN, Running
from tests.support.eventually import eventually


async def submit(running: Running, **options: Any) -> httpx2.Response:
    return await running.post("/api/spaces/poems/requests", json={"prompt": "hi"}, **options)


def limited(running: Running, **limits: int) -> None:
    running.backends.add_space("poems")
    running.backends.limits[running.backends.tenant_id] = Limits.model_validate(limits)


async def test_a_minute_lets_in_what_its_limit_says_and_the_refusal_says_when_to_come_back(
    running: Running,
) -> None:
    limited(running, requests_per_minute=5)
    answers = [await submit(running) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [202] * 5 + [429] * 2
    refused = answers[-1]
    assert refused.json()["code"] == "rate_limited"
    assert refused.json()["facts"] == {"limited": "tenant", "limit": 5, "window_s": 60}
    wait_s = int(refused.headers["retry-after"])
    assert 0 < wait_s <= 31
    assert refused.headers["ratelimit-policy"] == '"tenant";q=5;w=60'
    assert refused.headers["ratelimit"] == f'"tenant";r=0;t={wait_s}'
    assert len(running.backends.requests) == 5


async def test_an_answer_says_what_is_left(running: Running) -> None:
    limited(running, requests_per_minute=5)
    answers = [await submit(running) for _ in range(3)]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == [
        "r=4",
        "r=3",
        "r=2",
    ]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"tenant";q=5;w=60'}


async def test_who_has_no_limit_hears_of_none(running: Running) -> None:
    running.backends.add_space("poems")
    answer = await submit(running)
    assert answer.status_code == 202
    assert not [name for name in answer.headers if name.startswith("ratelimit")]


async def test_many_requests_of_a_known_tenant_ask_the_registry_seldom(running: Running) -> None:
    limited(running, requests_per_minute=1000)
    for _ in range(120):
        assert (await submit(running)).status_code == 202
    asked = [command for command in running.backends.asked if isinstance(command, TakeAllowance)]
    assert 2 <= len(asked) <= 5


async def test_refusals_do_not_reach_the_registry(running: Running) -> None:
    limited(running, requests_per_minute=1)
    for _ in range(20):
        await submit(running)
    asked = [command for command in running.backends.asked if isinstance(command, TakeAllowance)]
    assert len(asked) == 2


async def test_the_limit_of_a_key_stands_beside_that_of_its_tenant(running: Running) -> None:
    limited(running, requests_per_minute=100)
    running.backends.limits[running.backends.user.principal_id] = Limits(requests_per_minute=2)
    answers = [await submit(running) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[0].headers["ratelimit-policy"] == '"tenant";q=100;w=60, "key";q=2;w=60'
    assert answers[2].json()["facts"]["limited"] == "key"


async def test_an_admin_is_not_limited(running: Running) -> None:
    limited(running, requests_per_minute=0)
    assert (await submit(running)).status_code == 429
    assert (await submit(running, headers=ADMIN)).status_code == 202


async def test_a_raised_limit_counts_at_once(running: Running) -> None:
    limited(running, requests_per_minute=1)
    assert [(await submit(running)).status_code for _ in range(2)] == [202, 429]
    tenant_id = running.backends.tenant_id
    running.backends.limits[tenant_id] = Limits(requests_per_minute=100)
    await running.backends.bus.publish(QuotaChanged(changed_id=tenant_id))

    async def let_in() -> bool:
        return (await submit(running)).status_code == 202

    await eventually(let_in)


async def test_requests_that_have_not_ended_are_limited(running: Running) -> None:
    limited(running, concurrent=3)
    running.backends.open = 2
    assert (await submit(running)).status_code == 202
    running.backends.open = 3

    async def refused() -> httpx2.Response | None:
        answer = await submit(running)
        return answer if answer.status_code == 429 else None

    answer = await eventually(refused)
    assert answer is not None
    assert answer.json()["code"] == "quota_exceeded"
    assert answer.json()["facts"] == {
        "limited": "tenant", "which": "concurrent", "limit": 3, "used": 3
    }  # fmt: skip
    assert answer.headers["retry-after"] == "1"
    running.backends.open = 0

    async def let_in() -> bool:
        return (await submit(running)).status_code == 202

    await eventually(let_in)


async def test_requests_that_wait_are_limited(running: Running) -> None:
    limited(running, queued=2)
    running.backends.open = 2
    answer = await submit(running)
    assert answer.json()["facts"]["which"] == "queued"


async def test_a_form_is_refused_before_its_files_are_read(running: Running) -> None:
    limited(running, requests_per_minute=1)
    assert (await submit(running)).status_code == 202
    assert (await submit(running)).status_code == 429
    answer = await running.post(
        "/api/spaces/poems/requests", files={"file": ("a.txt", b"text", "text/plain")}
    )
    assert answer.json()["code"] == "rate_limited"
    assert not list(running.gateway.services.settings.files_dir.rglob("*.json"))


async def test_a_registry_that_fails_refuses_strangers_and_is_asked_again(running: Running) -> None:
    limited(running, requests_per_minute=100)
    broken = Problem(code=Code.INTERNAL_ERROR, message="Something is wrong on the server.")
    running.backends.refusals[TakeAllowance] = broken
    answer = await submit(running)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    del running.backends.refusals[TakeAllowance]
    assert (await submit(running)).status_code == 202


async def test_requests_at_once_of_a_stranger_ask_once_and_all_get_in(running: Running) -> None:
    limited(running, requests_per_minute=1000, concurrent=1000)
    answers = await asyncio.gather(*[submit(running) for _ in range(50)])
    assert {answer.status_code for answer in answers} == {202}
    asked = [command for command in running.backends.asked if isinstance(command, TakeAllowance)]
    assert len(asked) <= 4


async def test_a_lease_survives_an_outage_of_the_registry_for_who_is_known(
    running: Running,
) -> None:
    limited(running, requests_per_minute=100)
    assert (await submit(running)).status_code == 202
    running.backends.refusals[TakeAllowance] = Problem(code=Code.UNAVAILABLE, message="away")
    statuses = [(await submit(running)).status_code for _ in range(20)]
    assert set(statuses[:9]) == {202}
    assert statuses[-1] == 503


async def test_quotas_are_read_and_set_with_what_the_scheduler_counts(running: Running) -> None:
    running.backends.open = 4
    path = f"/api/tenants/{running.backends.tenant_id}/quotas"
    document = (await running.get(path)).json()
    assert (document["usage"]["concurrent"], document["usage"]["queued"]) == (4, 4)
    answer = await running.client.patch(
        path, json={"queued": 5, "stored_bytes": None}, headers=ADMIN
    )
    assert answer.status_code == 200
    (command,) = [one for one in running.backends.asked if isinstance(one, SetQuotas)]
    assert sorted(command.changed) == ["queued", "stored_bytes"]
    assert command.limits == Limits(queued=5)
    wrong: list[Any] = [{"queued": -1}, {"quued": 1}, {"queued": "x"}, []]
    for body in wrong:
        answer = await running.client.patch(path, json=body, headers=ADMIN)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_quotas_are_read_while_the_scheduler_is_away(running: Running) -> None:
    away = Problem(code=Code.UNAVAILABLE, message="away")
    running.backends.refusals[CountOpenRequests] = away
    answer = await running.get(f"/api/tenants/{running.backends.tenant_id}/quotas")
    assert answer.json()["usage"].get("concurrent") is None
