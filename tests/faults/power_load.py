"""Load for a power cut: many connections, each request with its own key, and everything that was shown is kept."""

import asyncio
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.power_calls import Answer, Caller, NotReachedError

# What a client does: submits and leaves; submits and waits for the result; submits, and reads it with a wait.
_KINDS = ("leave", "wait", "read")
_WEIGHTS = (4, 4, 2)
_WAIT_S = 30
_PAUSE_S = 0.02
# What a result is made of; the place in the queue and the like may change.
RESULT_FIELDS = (
    "state",
    "attempt",
    "output",
    "error",
    "last_n",
    "started_at",
    "finished_at",
    "processing_time_seconds",
    "timestamp",
)


@dataclass
class Sent:
    """One request of one client, and what the client was told of it."""

    key: str
    space: str
    body: dict[str, Any]
    request_id: str | None = None  # set: it was acknowledged
    shown: dict[str, Any] | None = None  # the result, if the client saw it
    refusals: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Where it is submitted."""
        return f"/api/spaces/{self.space}/requests"

    def take(self, answer: Answer) -> None:
        """Keeps an acknowledgement and a result; anything else is a refusal."""
        if answer.status not in (200, 202):
            self.refusals.append(answer.code())
            return
        document = answer.document()
        self.request_id = document["request_id"]
        if document.get("finished_at"):
            self.shown = result_of(document)


def result_of(document: dict[str, Any]) -> dict[str, Any]:
    """The parts of an answer that must never change once a client has seen them."""
    return {name: document.get(name) for name in RESULT_FIELDS}


class Load:
    """Clients that go on until they are stopped; each waits for the answer before it sends the next."""

    def __init__(self, url: str, api_key: str, spaces: Sequence[str], dice: random.Random) -> None:
        self._url, self._api_key = url, api_key
        self._spaces = list(spaces)
        self._dice = dice
        self._stopped = False
        self._mark = secrets.token_hex(4)
        self.sent: list[Sent] = []
        self.acknowledged = 0
        self.finished = 0

    async def run(self, clients: int) -> None:
        """Returns when all clients have stopped."""
        await asyncio.gather(*(self._client() for _ in range(clients)))

    def stop(self) -> None:
        """Nothing new is sent from now on."""
        self._stopped = True

    async def _client(self) -> None:
        caller = Caller(self._url, self._api_key)
        while not self._stopped:
            one = self._next()
            try:
                await self._ask(caller, one)
            except NotReachedError as error:
                one.refusals.append(str(error))
            if one.refusals:
                await asyncio.sleep(_PAUSE_S)
        caller.close()

    def _next(self) -> Sent:
        key = f"cut-{self._mark}-{len(self.sent)}"
        space = self._dice.choice(self._spaces)
        one = Sent(key, space, {"prompt": f"prompt {key}", "parameters": {"chunks": 5}})
        self.sent.append(one)
        return one

    async def _ask(self, caller: Caller, one: Sent) -> None:
        kind = self._dice.choices(_KINDS, _WEIGHTS)[0]
        query = f"?wait={_WAIT_S}" if kind == "wait" else ""
        one.take(await caller.post(one.path + query, one.body, one.key))
        if one.request_id is None:
            return
        self.acknowledged += 1
        if kind == "read":
            read = await caller.get(f"/api/requests/{one.request_id}?wait={_WAIT_S}")
            if read.status == 200 and not read.document().get("finished_at"):
                return
            one.take(read)
        self.finished += one.shown is not None
