"""What a direct worker can and cannot reach: the accounts of deploy/nats/server.conf, against a real server."""

import asyncio
import base64
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import nats
import nkeys
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js.errors import NotFoundError

from spaces_contracts.identifiers import new_id
from tests.support.eventually import eventually
from tests.support.observed_nats import OBSERVER
from tests.support.servers import RunningNats

SPACE, CONNECTION, REQUEST = new_id(), new_id(), new_id()


async def connect(server: RunningNats, user: str) -> Client:
    return await nats.connect(server.url, user=user, password=server.password(user))


def signed(seed: str, claims: dict[str, object]) -> str:
    key = nkeys.from_seed(bytearray(seed.encode()))
    claims = {**claims, "iss": key.public_key.decode(), "iat": int(time.time())}
    digest = hashlib.sha256(json.dumps(claims).encode()).digest()
    claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
    parts = [encoded({"typ": "JWT", "alg": "ed25519-nkey"}), encoded(claims)]
    signature = base64.urlsafe_b64encode(key.sign(".".join(parts).encode())).decode().rstrip("=")
    return ".".join([*parts, signature])


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def opened(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    loaded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return loaded


@pytest.fixture
async def callout(nats_server: RunningNats) -> AsyncIterator[None]:
    """Lets every worker in, with the rights of one connection."""
    client = await connect(nats_server, "registry-callout")
    seed = nats_server.issuer_seed()

    async def admit(message: Msg) -> None:
        asked = opened(message.data.decode())["nats"]
        user_key = asked["user_nkey"]
        rights = {
            "pub": {"allow": [f"wk.{SPACE}.{CONNECTION}.u.>", f"edge.{CONNECTION}.attach"]},
            "sub": {"allow": [f"wk.{SPACE}.{CONNECTION}.d.>", f"_INBOX.{CONNECTION}.>"]},
            "resp": {"max": 4, "ttl": 30_000_000_000},
        }
        user = signed(
            seed,
            {
                "sub": user_key,
                "aud": "EDGE",
                "name": CONNECTION,
                "nats": rights | {"type": "user", "version": 2},
            },
        )
        server_id = asked["server_id"]["id"]
        answer = {"jwt": user, "type": "authorization_response", "version": 2}
        await message.respond(
            signed(seed, {"sub": user_key, "aud": server_id, "nats": answer}).encode()
        )

    await client.subscribe("$SYS.REQ.USER.AUTH", cb=admit)
    await settled(client)
    yield
    await client.close()


@pytest.fixture
async def worker(nats_server: RunningNats, callout: None) -> AsyncIterator[Client]:
    client = await nats.connect(
        nats_server.url,
        user=CONNECTION,
        password="token",
        inbox_prefix=f"_INBOX.{CONNECTION}".encode(),
        error_cb=quiet,
    )
    yield client
    await client.close()


@pytest.fixture
async def service(nats_server: RunningNats) -> AsyncIterator[Client]:
    client = await connect(nats_server, OBSERVER)
    yield client
    await client.close()


async def quiet(error: Exception) -> None:
    """Refusals arrive here; the tests look at what did not happen."""


async def settled(client: Client) -> None:
    # The client's flush() overtakes a buffered SUB unless the loop has turned once.
    await asyncio.sleep(0)
    await client.flush()


async def test_a_worker_says_who_it_is_and_gets_an_answer(worker: Client, service: Client) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(message.subject.encode())

    await service.subscribe("edge.*.attach", cb=answer)
    await settled(service)
    reply = await worker.request(f"edge.{CONNECTION}.attach", b"{}", timeout=2)
    assert reply.data.decode() == f"edge.{CONNECTION}.attach"


async def test_a_job_goes_down_and_its_result_comes_up_and_is_acknowledged(
    worker: Client, service: Client
) -> None:
    acknowledged: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def work(message: Msg) -> None:
        await worker.publish(
            f"wk.{SPACE}.{CONNECTION}.u.result", b"result", reply=f"wk.{SPACE}.{CONNECTION}.d.ack"
        )

    async def acknowledge(message: Msg) -> None:
        acknowledged.set_result(message.data)

    async def store(message: Msg) -> None:
        await message.respond(b"stored " + message.data)

    await worker.subscribe(f"wk.{SPACE}.{CONNECTION}.d.job", cb=work)
    await worker.subscribe(f"wk.{SPACE}.{CONNECTION}.d.ack", cb=acknowledge)
    await service.subscribe("wk.*.*.u.result", cb=store)
    await settled(worker)
    await settled(service)
    await service.publish(f"wk.{SPACE}.{CONNECTION}.d.job", b"job")
    assert await asyncio.wait_for(acknowledged, 2) == b"stored result"


async def test_a_job_for_a_worker_that_left_is_answered_at_once(
    worker: Client, service: Client
) -> None:
    with pytest.raises(NoRespondersError):
        await service.request(f"wk.{SPACE}.{CONNECTION}.d.job", b"job", timeout=2)


async def test_a_chunk_becomes_an_event_of_its_request_and_is_stored(
    worker: Client, service: Client
) -> None:
    with contextlib.suppress(NotFoundError):  # the server is shared, and other tests make it too
        await service.jetstream().delete_stream("EVT")
    await service.jetstream().add_stream(name="EVT", subjects=["evt.>"])
    try:
        stored = await worker.request(
            f"wk.{SPACE}.{CONNECTION}.u.chunk.{REQUEST}", b'{"n":1}', timeout=2
        )
        assert json.loads(stored.data)["seq"] == 1
        kept = await service.jetstream().get_last_msg("EVT", f"evt.{SPACE}.{REQUEST}")
        assert kept.data == b'{"n":1}'
    finally:
        await service.jetstream().delete_stream("EVT")


async def test_a_beat_without_a_reply_arrives_once(worker: Client, service: Client) -> None:
    beats: list[str] = []

    async def note(message: Msg) -> None:
        beats.append(message.subject)

    await service.subscribe("wk.*.*.u.hb", cb=note)
    await settled(service)
    await worker.publish(f"wk.{SPACE}.{CONNECTION}.u.hb", b"{}")
    await worker.publish(f"wk.{SPACE}.{CONNECTION}.u.hb", b"{}")
    await eventually(lambda: len(beats) >= 2)
    await settled(worker)
    await settled(service)
    assert beats == [f"wk.{SPACE}.{CONNECTION}.u.hb"] * 2


@pytest.mark.parametrize(
    "subject",
    [
        f"wk.{SPACE}.{new_id()}.u.result",
        f"evt.{SPACE}.{REQUEST}",
        f"fin.{SPACE}.{REQUEST}",
        "rpc.reg.space_list",
        f"hb.gw.{new_id()}",
        "$JS.API.STREAM.LIST",
        f"edge.{new_id()}.attach",
    ],
)
async def test_a_worker_cannot_speak_for_others(
    subject: str, worker: Client, service: Client
) -> None:
    heard: list[str] = []

    async def note(message: Msg) -> None:
        heard.append(message.subject)

    pattern = ".".join([subject.split(".", maxsplit=1)[0], ">"]) if subject[0] != "$" else subject
    await service.subscribe(pattern, cb=note)
    await settled(service)
    await worker.publish(subject, b"{}")
    await settled(worker)
    await service.publish(f"evt.{SPACE}.mark", b"")
    await settled(service)
    assert [one for one in heard if not one.endswith(".mark")] == []


@pytest.mark.parametrize(
    "subject", [">", "_INBOX.>", "$SYS.>", "evt.>", f"wk.{SPACE}.{new_id()}.d.>"]
)
async def test_a_worker_cannot_listen_to_others(
    subject: str, worker: Client, service: Client
) -> None:
    heard: list[str] = []

    async def note(message: Msg) -> None:
        heard.append(message.subject)

    await worker.subscribe(subject, cb=note)
    await settled(worker)
    await service.publish(f"evt.{SPACE}.{REQUEST}", b"")
    await settled(service)
    await settled(worker)
    assert heard == []


async def test_the_registry_hears_of_a_worker_that_left(
    nats_server: RunningNats, worker: Client, service: Client
) -> None:
    left: list[dict[str, dict[str, str]]] = []
    system = await connect(nats_server, "registry-sys")

    async def note(message: Msg) -> None:
        left.append(json.loads(message.data))

    await system.subscribe("$SYS.ACCOUNT.EDGE.DISCONNECT", cb=note)
    await settled(system)
    await worker.close()
    await eventually(lambda: left)
    await system.close()
    assert left[0]["client"]["user"] == CONNECTION
