"""Each service may send and hear what the message catalogue says, and nothing else: asked of a real nats-server."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from spaces_contracts.catalog import CATALOG, Entry, Party
from spaces_contracts.identifiers import new_id
from spaces_contracts.requests import JobEvent, RequestEvent
from tests.support.eventually import eventually
from tests.support.servers import RunningNats

SERVICES = (Party.GATEWAY, Party.REGISTRY, Party.SCHEDULER)
ID = new_id()
ROUTES = {Party.GATEWAY: f"gw.{ID}.wk.{ID}", Party.DIRECT_WORKER: f"wk.{ID}.{ID}.d"}
VIOLATION = 'permissions violation for {} to "'


class User:
    """A connection of one NATS user, and what the broker refused it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.refused: list[str] = []

    async def note(self, error: Exception) -> None:
        self.refused.append(str(error))

    async def may_not_publish(self, subjects: Iterable[str]) -> set[str]:
        """Those that the broker refuses."""
        for subject in subjects:
            await self.client.publish(subject, b"{}")
        return await self._refused("publish", subjects)

    async def may_not_subscribe(self, subjects: Iterable[str]) -> set[str]:
        """Those that the broker refuses."""
        for subject in subjects:
            await self.client.subscribe(subject)
        return await self._refused("subscription", subjects)

    async def _refused(self, operation: str, subjects: Iterable[str]) -> set[str]:
        await settled(self.client)
        sign = VIOLATION.format(operation)
        await asyncio.sleep(0)
        told = {error.partition(sign)[2].rstrip('"') for error in self.refused if sign in error}
        return {subject for subject in subjects if subject.lower() in told}


async def settled(client: Client) -> None:
    # The client's flush() overtakes a buffered SUB unless the loop has turned once.
    await asyncio.sleep(0)
    await client.flush()


@pytest.fixture
async def users(nats_server: RunningNats) -> AsyncIterator[dict[str, User]]:
    """Every user of server.conf, connected."""
    async with AsyncExitStack() as stack:
        users: dict[str, User] = {}
        for name in (*SERVICES, "registry-sys", "registry-callout"):
            user = users[str(name)] = User(Client())
            await user.client.connect(
                nats_server.url,
                user=str(name),
                password=nats_server.password(str(name)),
                error_cb=user.note,
                inbox_prefix=f"_INBOX.{name}".encode(),
            )
            stack.push_async_callback(user.client.close)
        yield users


def sent_to(entry: Entry) -> list[str]:
    """Subjects that a message is sent to, with an id in each place."""
    template = entry.message.subject.template
    if template.startswith("{route}"):
        return [template.replace("{route}", ROUTES[party]) for party in entry.receivers]
    return [".".join(ID if token[0] == "{" else token for token in template.split("."))]


def heard_at(entry: Entry) -> list[str]:
    """Subjects at which services hear it."""
    if entry.message is JobEvent:
        return [f"evt.{ID}.{ID}"]
    return sent_to(entry)


async def test_only_the_senders_of_a_message_may_send_it(users: dict[str, User]) -> None:
    # The broker looks at JobEvent after it has made it a RequestEvent.
    sent = [entry for entry in CATALOG if entry.message is not JobEvent]
    every = {subject for entry in sent for subject in sent_to(entry)}
    for party in SERVICES:
        own = {subject for one in sent if party in one.senders for subject in sent_to(one)}
        assert own, party
        assert await users[party].may_not_publish(every) == every - own, party


async def test_only_the_receivers_of_a_message_may_hear_it(users: dict[str, User]) -> None:
    every = {subject for entry in CATALOG for subject in heard_at(entry)}
    for party in SERVICES:
        own = {
            subject
            for one in CATALOG
            if party in one.receivers
            for subject in heard_at(one)
            if not subject.startswith(ROUTES[Party.DIRECT_WORKER])
        }
        assert own, party
        assert await users[party].may_not_subscribe(every) == every - own, party


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.message.__name__)
async def test_a_message_gets_from_its_senders_to_its_receivers(
    entry: Entry, users: dict[str, User]
) -> None:
    heard: list[tuple[str, str]] = []
    receivers = [party for party in SERVICES if party in entry.receivers]
    for receiver in receivers:

        async def note(message: Msg, receiver: Party = receiver) -> None:
            heard.append((receiver, message.subject))

        for subject in heard_at(entry):
            if not subject.startswith(ROUTES[Party.DIRECT_WORKER]):
                await users[receiver].client.subscribe(subject, cb=note)
        await settled(users[receiver].client)
    senders = [party for party in SERVICES if party in entry.senders]
    for sender in senders:
        for subject in sent_to(entry):
            await users[sender].client.publish(subject, b"{}")
        await settled(users[sender].client)
    if receivers and senders:
        await eventually(lambda: {receiver for receiver, _ in heard} == set(receivers))
    assert [user.refused for user in users.values()] == [[]] * len(users)


async def test_an_answer_comes_from_whoever_is_asked(users: dict[str, User]) -> None:
    box = f"_INBOX.gateway.{ID}"
    answers = {
        f"{box}.rpc.reg.1": {Party.REGISTRY},
        f"{box}.hb.gw.2": {Party.REGISTRY},
        f"{box}.rpc.sched.3": {Party.SCHEDULER},
        f"_INBOX.registry.{ID}.rpc.sched.4": {Party.SCHEDULER},
        f"_INBOX.scheduler.{ID}.jobs.{ID}": {Party.GATEWAY},
        f"{box}.$JS.API.5": set[Party](),
        f"{box}.6": set[Party](),
    }
    for party in SERVICES:
        others = {subject for subject, answering in answers.items() if party not in answering}
        assert await users[party].may_not_publish(answers) == others, party


async def test_everybody_hears_answers_to_itself_only(users: dict[str, User]) -> None:
    boxes = {f"_INBOX.{name}.{ID}.>": name for name in users} | {f"_INBOX.{ID}.>": "nobody"}
    for name, user in users.items():
        others = {box for box, owner in boxes.items() if owner != name}
        assert await user.may_not_subscribe(boxes) == others, name


FORBIDDEN_TO_ALL = (
    "$JS.API.STREAM.DELETE.EVT",
    "$JS.API.STREAM.PURGE.EVT",
    "$JS.API.STREAM.MSG.DELETE.EVT",
    "$JS.API.STREAM.CREATE.OTHER",
    "$JS.API.CONSUMER.CREATE.EVT",
    "$JS.API.STREAM.SNAPSHOT.EVT",
    "$JS.API.ACCOUNT.PURGE.CORE",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.CORE.CONNZ",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.USER.AUTH",
    "anything",
    "rpc.reg",
    "rpc.reg.unknown",
    "rpc.sched.submit.more",
)


async def test_what_is_in_no_table_is_refused(users: dict[str, User]) -> None:
    wide = {
        ">",
        "*",
        "*.>",
        "rpc.>",
        "gw.>",
        "wk.>",
        "evt.>",
        "_INBOX.>",
        "$SYS.>",
        "$JS.>",
        "_R_.>",
    }
    for name, user in users.items():
        assert await user.may_not_publish(FORBIDDEN_TO_ALL) == set(FORBIDDEN_TO_ALL), name
        assert await user.may_not_subscribe(wide) == wide, name


async def test_only_the_gateway_reaches_the_stream(users: dict[str, User]) -> None:
    used = {f"$JS.API.{call}.EVT" for call in ("STREAM.INFO", "STREAM.CREATE", "DIRECT.GET")}
    assert await users["gateway"].may_not_publish(used) == set()
    for name in users.keys() - {"gateway"}:
        assert await users[name].may_not_publish(used) == used, name


def test_events_of_direct_workers_are_heard_as_events() -> None:
    """What server.conf maps; the tests above rely on it."""
    assert RequestEvent.subject.pattern == "evt.*.*"
