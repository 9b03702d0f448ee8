"""After the power came back: what became of every request that was acknowledged, and of those that were not."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from tests.faults.power_calls import Answer, Caller, NotReachedError
from tests.faults.power_load import Sent, result_of

_READERS = 24
_AGAIN_S = 60.0
_PAUSE_S = 0.05
_ENDED_WITHIN_S = 120.0
_WORDS = 20  # violations that a shard spells out


@dataclass
class Verdict:
    """What one cut did: `acknowledged` counts what was before the cut. `words` spells out the first violations."""

    acknowledged: int = 0
    shown: int = 0
    unacknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    results_changed: int = 0
    stuck: int = 0
    wrong: int = 0
    words: list[str] = field(default_factory=list)

    def note(self, kind: str, text: str) -> None:
        """Counts a violation."""
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.words) < _WORDS:
            self.words.append(f"{kind}: {text}")

    @property
    def broken(self) -> int:
        """How many promises were broken."""
        return self.lost + self.duplicated + self.results_changed + self.stuck + self.wrong

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Audit:
    """Reads and submits again over HTTP only."""

    def __init__(self, url: str, api_key: str) -> None:
        self._callers = [Caller(url, api_key) for _ in range(_READERS)]

    def close(self) -> None:
        """Drops the connections."""
        for caller in self._callers:
            caller.close()

    async def known(self, sent: Sequence[Sent], before_cut: int) -> Verdict:
        """Whether each acknowledged request is known, and each result that was shown is the same."""
        verdict = Verdict(
            acknowledged=before_cut,
            shown=sum(one.shown is not None for one in sent),
            unacknowledged=sum(one.request_id is None for one in sent),
        )

        async def look(caller: Caller, one: Sent) -> None:
            answer = await _answered(lambda: caller.get(f"/api/requests/{one.request_id}"), 404)
            if answer.status == 404:
                verdict.note("lost", f"{one.key} was accepted as {one.request_id}, now unknown")
                one.request_id = one.shown = None
            elif one.shown is not None and (now := result_of(answer.document())) != one.shown:
                verdict.note("results_changed", f"{one.request_id}: {one.shown}, now {now}")
                one.shown = None

        await self._each([one for one in sent if one.request_id], look)
        return verdict

    async def settled(self, sent: Sequence[Sent], verdict: Verdict) -> None:
        """Submits everything again under its key: one request each. Then waits until all have ended."""

        async def again(caller: Caller, one: Sent) -> None:
            for _ in range(1 if one.request_id else 2):
                answer = await _answered(lambda: caller.post(one.path, one.body, one.key))
                request_id = answer.document()["request_id"]
                if one.request_id not in (None, request_id):
                    text = f"{one.key} is {one.request_id} and {request_id}"
                    verdict.note("duplicated", text)
                one.request_id = one.request_id or request_id

        await self._each(sent, again)
        until = time.monotonic() + _ENDED_WITHIN_S

        async def end(caller: Caller, one: Sent) -> None:
            document: dict[str, Any] = {}
            while not document.get("finished_at") and time.monotonic() < until:
                read = partial(caller.get, f"/api/requests/{one.request_id}?wait=20")
                document = (await _answered(read)).document()
            self._judge(one, document, verdict)

        await self._each(sent, end)

    async def listed(self, sent: Sequence[Sent], spaces: Sequence[str], verdict: Verdict) -> None:
        """Every request of the spaces belongs to one key, and none that was ever accepted is missing."""
        mine = {one.request_id or "": one.key for one in sent}
        ids: list[str] = []
        for space in spaces:
            cursor: str | None = ""
            while cursor is not None:
                path = f"/api/requests?space={space}&limit=200" + (cursor and f"&cursor={cursor}")
                page = (await _answered(partial(self._callers[0].get, path))).document()
                ids += [request["request_id"] for request in page["requests"]]
                cursor = page.get("next_cursor")
        counts = Counter(ids)
        for request_id, count in counts.items():
            if request_id not in mine or count > 1:
                owner = mine.get(request_id, "no key")
                verdict.note("duplicated", f"{request_id} of {owner} is listed {count} times")
        for request_id, key in mine.items():
            if request_id not in counts:
                verdict.note("lost", f"{key} was accepted as {request_id} and is not listed")

    def _judge(self, one: Sent, document: dict[str, Any], verdict: Verdict) -> None:
        if not document.get("finished_at"):
            verdict.note("stuck", f"{one.request_id} is {document.get('state')}")
            return
        result = result_of(document)
        if one.shown is not None and result != one.shown:
            verdict.note("results_changed", f"{one.request_id}: {one.shown}, at last {result}")
        if result["state"] != "succeeded" or not _own(result["output"], one):
            verdict.note("wrong", f"{one.request_id}: {result}")
        one.shown = result

    async def _each(
        self, sent: Sequence[Sent], act: Callable[[Caller, Sent], Awaitable[None]]
    ) -> None:
        waiting = list(reversed(sent))

        async def reader(caller: Caller) -> None:
            while waiting:
                await act(caller, waiting.pop())

        await asyncio.gather(*(reader(caller) for caller in self._callers))


def _own(output: Any, one: Sent) -> bool:
    """An echo carries its own prompt; the streaming handler's output is the same for all."""
    assert isinstance(output, dict), output
    return bool(output.get("echo", one.body["prompt"]) == one.body["prompt"]) and (
        "echo" in output or output == {"text": "1 2 3 4 5 "}
    )


async def _answered(call: Callable[[], Awaitable[Answer]], *also: int) -> Answer:
    """The first answer that is a verdict: whoever is not back yet is asked again."""
    until = time.monotonic() + _AGAIN_S
    while True:
        try:
            answer = await call()
            if answer.status in (200, 202, *also):
                return answer
            last = f"{answer.status} {answer.body[:300]!r}"
        except NotReachedError as error:
            last = str(error)
        if time.monotonic() > until:
            raise AssertionError(f"no verdict within {_AGAIN_S:.0f} s, the last answer was {last}")
        await asyncio.sleep(_PAUSE_S)
