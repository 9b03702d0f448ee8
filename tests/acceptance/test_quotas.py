"""Limits with two gateways before one registry and scheduler: they hold together, whichever gateway is used."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.support.api import Api, api, refusal
from tests.support.eventually import eventually
from tests.support.platform import Platform, running_platform

MINUTE_S = 60
# A gateway asks again who a caller is after this.
KNOWN_S = 4.5


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """Two gateways."""
    with running_platform(gateways=2) as running:
        yield running


@dataclass
class Tenant:
    """A tenant with one space that queues, and a key of its own at each gateway."""

    admin: Api
    tenant_id: str
    space_id: str
    gateways: list[Api]

    async def limit(self, **limits: int | None) -> dict[str, Any]:
        answer = await self.admin.http.patch(f"/api/tenants/{self.tenant_id}/quotas", json=limits)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    async def burst(self, count: int) -> list[httpx2.Response]:
        """So many submits at once, over the gateways in turn."""
        return await asyncio.gather(
            *[
                self.gateways[number % 2].try_submit(self.space_id, prompt=str(number))
                for number in range(count)
            ]
        )


@asynccontextmanager
async def tenant(platform: Platform, admin: Api, name: str, **limits: int) -> AsyncIterator[Tenant]:
    tenant_id = (await admin.make("/api/tenants", name=name))["tenant_id"]
    secret = (await admin.make("/api/keys", name=name, tenant_id=tenant_id))["secret"]
    space = await admin.make(
        "/api/spaces", name=name, tenant_id=tenant_id, policy={"when_offline": "queue"}
    )
    async with AsyncExitStack() as stack:
        gateways = [
            await stack.enter_async_context(api(url, secret)) for url in platform.gateway_urls
        ]
        made = Tenant(admin, tenant_id, space["space_id"], gateways)
        await made.limit(**limits)
        yield made


async def test_two_gateways_let_one_limit_in(platform: Platform, admin: Api) -> None:
    async with tenant(platform, admin, "minute", requests_per_minute=40) as one:
        first_minute = time.time() // MINUTE_S
        answers: list[httpx2.Response] = []
        for _ in range(6):
            answers += await one.burst(20)
        minutes = time.time() // MINUTE_S - first_minute + 1
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) == {202, 429}
        # What one gateway holds in advance may be lost to the other.
        assert 36 <= statuses[202] <= 40 * minutes
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refusal(refused)[1] == "rate_limited"
        assert 0 < int(refused.headers["retry-after"]) <= MINUTE_S
        usage = (await one.gateways[1].http.get(f"/api/tenants/{one.tenant_id}/quotas")).json()
        assert usage["effective"]["requests_per_minute"] == 40
        assert usage["usage"]["concurrent"] == statuses[202]
        assert usage["usage"]["queued"] == statuses[202]


async def test_a_changed_limit_counts_at_every_gateway(platform: Platform, admin: Api) -> None:
    async with tenant(platform, admin, "changed", requests_per_minute=0) as one:
        assert {answer.status_code for answer in await one.burst(4)} == {429}
        await one.limit(requests_per_minute=None)

        async def all_in() -> bool:
            return {answer.status_code for answer in await one.burst(4)} == {202}

        await eventually(all_in)


async def test_what_waits_is_limited_over_gateways_and_room_comes_back(
    platform: Platform, admin: Api
) -> None:
    async with tenant(platform, admin, "waiting", queued=6) as one:
        answers = await one.burst(24)
        accepted = [answer.json()["request_id"] for answer in answers if answer.status_code == 202]
        # While one's first half is on its way, the other may give out all.
        assert 6 <= len(accepted) <= 6 + 3
        refused = [answer for answer in answers if answer.status_code != 202]
        assert {refusal(answer)[:2] for answer in refused} == {(429, "quota_exceeded")}
        assert refused[0].json()["facts"]["which"] == "queued"
        for request_id in accepted[: len(accepted) - 3]:
            await one.gateways[0].cancel(request_id)

        async def let_in() -> bool:
            return (await one.burst(1))[0].status_code == 202

        await eventually(let_in)


async def test_files_fill_one_room_and_a_file_of_unknown_size_is_counted_too(
    platform: Platform, admin: Api
) -> None:
    async with tenant(platform, admin, "files", stored_bytes=1000) as one:
        typed = {"content-type": "text/plain"}

        async def upload(at: int, size: int) -> httpx2.Response:
            content = b"x" * size
            return await one.gateways[at].http.post("/api/files", content=content, headers=typed)

        assert (await upload(0, 600)).status_code == 201
        assert refusal(await upload(1, 600))[:2] == (507, "storage_full")
        form = {"file": ("a.txt", b"x" * 400, "text/plain")}
        assert (await one.gateways[1].http.post("/api/files", files=form)).status_code == 201
        assert refusal(await upload(0, 1))[:2] == (507, "storage_full")
        usage = await one.limit()
        assert usage["usage"]["stored_bytes"] == 1000


async def test_a_key_may_be_made_with_limits_of_its_own(platform: Platform, admin: Api) -> None:
    async with tenant(platform, admin, "keys") as one:
        made = await admin.make(
            "/api/keys", name="small", tenant_id=one.tenant_id, requests_per_minute=2, queued=9
        )
        async with api(platform.gateway_url, made["secret"]) as small:
            statuses = [
                (await small.try_submit(one.space_id, prompt="p")).status_code for _ in range(3)
            ]
        assert statuses[:2] == [202, 202]
        assert {answer.status_code for answer in await one.burst(4)} == {202}
        quotas = (await one.gateways[0].http.get(f"/api/tenants/{one.tenant_id}/quotas")).json()
        (key,) = quotas["keys"]
        assert key["limits"]["requests_per_minute"] == 2


async def test_a_key_may_have_room_for_fewer_files_than_its_tenant(
    platform: Platform, admin: Api
) -> None:
    async with tenant(platform, admin, "roomy", stored_bytes=1000) as one:
        made = await admin.make(
            "/api/keys", name="small", tenant_id=one.tenant_id, stored_bytes=500
        )
        typed = {"content-type": "text/plain"}
        async with api(platform.gateway_url, made["secret"]) as small:
            statuses = [
                (await small.http.post("/api/files", content=b"x" * 300, headers=typed)).status_code
                for _ in range(2)
            ]
        assert statuses == [201, 507]
        usage = await one.limit()
        assert usage["usage"]["stored_bytes"] == 300


async def test_a_member_cannot_change_limits_or_see_anothers(
    platform: Platform, admin: Api
) -> None:
    async with tenant(platform, admin, "mine") as one, tenant(platform, admin, "theirs") as other:
        http = one.gateways[0].http
        answer = await http.patch(f"/api/tenants/{one.tenant_id}/quotas", json={"queued": None})
        assert refusal(answer)[:2] == (403, "forbidden")
        answer = await http.get(f"/api/tenants/{other.tenant_id}/quotas")
        assert refusal(answer)[:2] == (404, "tenant_not_found")
        answer = await admin.http.patch(
            f"/api/tenants/{one.tenant_id}/quotas", json={"queued": -1, "other": 1}
        )
        assert refusal(answer)[:2] == (422, "invalid_request")


async def test_without_the_registry_a_known_caller_goes_on_with_what_was_leased(
    platform: Platform, admin: Api
) -> None:
    for name in ("alone", "alone again", "alone once more"):
        async with tenant(platform, admin, name, requests_per_minute=1000) as one:
            began = time.monotonic()
            assert {answer.status_code for answer in await one.burst(2)} == {202}
            await asyncio.to_thread(platform.kill, "registry")
            try:
                answers = await one.burst(20)
            finally:
                known_s = time.monotonic() - began
                await asyncio.to_thread(platform.revive, "registry")
        if known_s < KNOWN_S:
            assert {answer.status_code for answer in answers} == {202}
            return
    pytest.fail(f"the machine is too slow: {known_s:.1f} s for 22 submits and a kill")
