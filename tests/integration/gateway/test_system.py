"""The platform's health, its history and its queues, over HTTP."""

from spaces_contracts.connections import (
    AgentInfo,
    Connection,
    ConnectionState,
)
from spaces_contracts.identifiers import new_id
from spaces_contracts.problems import Code, Problem
from spaces_contracts.system import GetSystem, ListBusyQueues
from tests.integration.gateway.backends import NOW
from tests.integration.gateway.conftest import ADMIN, Running


async def test_an_admin_sees_every_part(running: Running) -> None:
    system = (await running.get("/api/system", headers=ADMIN)).json()
    assert system["gateway_id"] == running.gateway.services.gateway_id
    assert [one["service"] for one in system["replicas"]] == ["scheduler"]
    assert system["database"]["version"] == "18"
    assert system["nats"]["connected"]
    assert system["nats"]["answer_ms"] >= 0
    assert system["events"]["name"] == "EVT"
    assert system["problem"] is None


async def test_what_is_away_is_named_and_the_rest_is_told(running: Running) -> None:
    running.backends.refusals[GetSystem] = Problem(code=Code.UNAVAILABLE, message="no database")
    answer = await running.get("/api/system", headers=ADMIN)
    assert answer.status_code == 200
    system = answer.json()
    assert system["problem"] == {"code": "unavailable", "message": "no database"}
    assert (system["replicas"], system["database"]) == ([], None)
    assert system["nats"]["connected"]


async def test_the_platform_is_no_tenants_business(running: Running) -> None:
    for path in ("/api/system", "/api/system/history"):
        assert (await running.get(path)).json()["code"] == "forbidden"


async def test_the_history_is_asked_for_by_the_hour(running: Running) -> None:
    history = (await running.get("/api/system/history?hours=24", headers=ADMIN)).json()
    assert history["points"][0]["accepted"] == 3
    assert (await running.get("/api/system/history?hours=999", headers=ADMIN)).status_code == 422


async def test_queues_are_those_of_ones_tenant_with_their_names(running: Running) -> None:
    running.backends.add_space("poems")
    running.backends.add_space("secrets", tenant_id=new_id())
    mine = (await running.get("/api/queues")).json()
    assert [(one["space_name"], one["queue_size"]) for one in mine["queues"]] == [("poems", 2)]
    every = (await running.get("/api/queues", headers=ADMIN)).json()
    assert (every["queued"], every["running"]) == (4, 2)
    asked = [one for one in running.backends.asked if isinstance(one, ListBusyQueues)]
    assert [one.tenant_id for one in asked] == [running.backends.tenant_id, None]


async def test_workers_are_listed_with_names_and_what_they_work_on(running: Running) -> None:
    space = running.backends.add_space("poems")
    worker = Connection(
        connection_id=new_id(), space_id=space.space_id, state=ConnectionState.LIVE, seat=0,
        epoch=1, slots=2, instance_id=new_id(), agent=AgentInfo(version="1", hostname="gpu-1"),
        since=NOW, heard_at=NOW,
    )  # fmt: skip
    running.backends.lookups.connections = [worker]
    (row,) = (await running.get("/api/connections")).json()["connections"]
    assert (row["space_name"], row["agent"]["hostname"], row["slots"]) == ("poems", "gpu-1", 2)
    assert (row["in_flight"], len(row["request_ids"])) == (1, 1)
    assert row["heard_at"] is not None
