"""Spaces, tenants, keys, tokens, tickets, workers over HTTP."""

import pytest

from spaces_contracts.access import CreateCredential, CreateTicket, PrincipalKind
from spaces_contracts.connections import ControlConnection
from spaces_contracts.identifiers import new_id
from spaces_gateway.access import sha256_hex
from tests.integration.gateway.conftest import ADMIN, Running
from tests.support.keys import bearer, key_called

WORKER = bearer("worker", PrincipalKind.WORKER_TOKEN)


async def test_a_space_is_made_read_changed_listed_and_removed(running: Running) -> None:
    made = await running.post(
        "/api/spaces", json={"name": "poems", "policy": {"when_offline": "queue", "max_queue": 5}}
    )
    assert made.status_code == 201, made.text
    space = made.json()
    assert (space["name"], space["policy"]["max_queue"], space["inputs"]) == (
        "poems",
        5,
        ["prompt"],
    )
    for ref in (space["space_id"], "poems", "default%2Fpoems"):
        assert (await running.get(f"/api/spaces/{ref}")).json()["space_id"] == space["space_id"]
    listed = (await running.get("/api/spaces")).json()
    assert [one["name"] for one in listed["spaces"]] == ["poems"]
    assert (await running.client.delete("/api/spaces/poems")).status_code == 204


async def test_changing_one_rule_of_a_policy_leaves_the_others(running: Running) -> None:
    await running.post(
        "/api/spaces", json={"name": "poems", "policy": {"max_queue": 5, "max_attempts": 9}}
    )
    answer = await running.client.patch("/api/spaces/poems", json={"policy": {"max_queue": 6}})
    policy = answer.json()["policy"]
    assert (policy["max_queue"], policy["max_attempts"]) == (6, 9)
    answer = await running.client.patch("/api/spaces/poems", json={"enabled": False})
    assert answer.json()["enabled"] is False
    assert answer.json()["policy"] == policy


async def test_a_space_is_not_remembered_after_it_changed(running: Running) -> None:
    space = running.backends.add_space("poems")
    path = "/api/spaces/poems/requests"
    assert (await running.post(path, json={"prompt": "hi"})).status_code == 202
    running.backends.spaces[space.space_id] = space.model_copy(update={"enabled": False})
    await running.backends.changed("space", space.space_id)
    assert (await running.post(path, json={"prompt": "hi"})).json()["code"] == "space_disabled"


async def test_a_queue_is_read(running: Running) -> None:
    space = running.backends.add_space("poems")
    queue = (await running.get("/api/spaces/poems/queue")).json()
    assert (queue["space_id"], queue["queue_size"]) == (space.space_id, 2)


@pytest.mark.parametrize(("path", "kind"), [("keys", "api_key"), ("worker-tokens", "worker_token")])
async def test_a_secret_is_shown_once_and_only_its_hash_travels(
    running: Running, path: str, kind: str
) -> None:
    body = {"name": "n"} | ({"spaces": ["poems"]} if path == "worker-tokens" else {})
    made = (await running.post(f"/api/{path}", json=body, headers=ADMIN)).json()
    secret, credential = made["secret"], made["credential"]
    assert secret.startswith(credential["prefix"])
    assert credential["principal"]["kind"] == kind
    (command,) = [one for one in running.backends.asked if isinstance(one, CreateCredential)]
    assert command.secret_sha256 == sha256_hex(secret)
    assert secret not in command.model_dump_json()
    me = await running.get("/api/me", headers={"authorization": f"Bearer {secret}"})
    assert me.json()["principal_id"] == credential["principal"]["principal_id"]
    gone = await running.client.delete(f"/api/{path}/{me.json()['principal_id']}", headers=ADMIN)
    assert gone.json()["revoked_at"] is not None


async def test_a_ticket_is_made_from_a_hash(running: Running) -> None:
    answer = await running.post("/api/ws-ticket")
    assert (answer.status_code, answer.json()["expires_in_s"]) == (201, 30)
    (command,) = [one for one in running.backends.asked if isinstance(one, CreateTicket)]
    assert command.ticket_sha256 == sha256_hex(answer.json()["ticket"])


async def test_tenants_are_made_and_listed(running: Running) -> None:
    made = await running.post("/api/tenants", json={"name": "acme"}, headers=ADMIN)
    assert (made.status_code, made.json()["name"]) == (201, "acme")
    listed = (await running.get("/api/tenants", headers=ADMIN)).json()
    assert [tenant["name"] for tenant in listed["tenants"]] == ["default"]


@pytest.mark.parametrize("action", ["drain", "kick"])
async def test_an_operator_ends_a_connection(running: Running, action: str) -> None:
    connection_id = new_id()
    answer = await running.post(f"/api/connections/{connection_id}/{action}")
    assert (answer.status_code, answer.content) == (204, b"")
    (command,) = [one for one in running.backends.asked if isinstance(one, ControlConnection)]
    assert (command.connection_id, command.action) == (connection_id, action)


async def test_a_workers_check_says_what_is_wrong_with_each_space(running: Running) -> None:
    backends = running.backends
    backends.add_principal("worker", PrincipalKind.WORKER_TOKEN)
    free = backends.add_space("free")
    backends.add_space("off", enabled=False)
    backends.add_space("taken", connections=1)
    names = ["free", "off", "taken", "none"]
    answer = await running.get("/api/worker/check", params={"space": names}, headers=WORKER)
    body = answer.json()
    assert (body["protocol"], body["token"]) == ("spaces.v1.json", {"problem": None})
    found = {one["ref"]: one for one in body["spaces"]}
    assert found["free"] == {
        "ref": "free",
        "space_id": free.space_id,
        "name": "free",
        "problem": None,
        "connections": 0,
        "max_connections": 1,
    }
    codes = {ref: (one["problem"] or {}).get("code") for ref, one in found.items()}
    assert codes == {
        "free": None,
        "off": "space_disabled",
        "taken": "already_connected",
        "none": "space_not_found",
    }
    assert "date" in answer.headers


async def test_a_workers_check_understands_a_bad_token(running: Running) -> None:
    answer = await running.get(
        "/api/worker/check?space=x", headers={"authorization": "Bearer wrong"}
    )
    assert answer.status_code == 200
    assert answer.json()["token"]["problem"]["code"] == "token_invalid"
    assert answer.json()["spaces"] == []


async def test_a_worker_token_reads_itself_and_its_space_and_nothing_else(running: Running) -> None:
    running.backends.add_principal("worker", PrincipalKind.WORKER_TOKEN)
    running.backends.add_space("poems")
    assert (await running.get("/api/me", headers=WORKER)).status_code == 200
    assert (await running.get("/api/spaces/poems", headers=WORKER)).status_code == 200
    for path in ("/api/spaces", "/api/requests", "/api/keys", f"/api/files/{new_id()}"):
        answer = await running.get(path, headers=WORKER)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_a_credential_in_the_address_is_no_credential(running: Running) -> None:
    answer = await running.get(f"/api/me?key={key_called('user')}", headers={"authorization": ""})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
