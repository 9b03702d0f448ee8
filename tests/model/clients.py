"""Clients: they submit until they are answered, and learn how it ended from hints or by looking."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spaces_contracts.problems import Code
from spaces_contracts.requests import RequestState
from tests.model.chooser import Chooser, chance, pick
from tests.model.tables import New
from tests.model.wire import Cancel, Finished, Submit, Verdicts
from tests.model.witness import require

if TYPE_CHECKING:
    from tests.model.world import World

MOST_REQUESTS = 14


@dataclass(slots=True)
class Asked:
    """One request as its client knows it."""

    new: New
    known_as: str  # the first one's id when an idempotency key was repeated
    accepted: bool = False
    refused: Code | None = None
    seen: tuple[RequestState, str | None] | None = None


class Clients:
    """All of them together."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.asked: dict[str, Asked] = {}

    @property
    def may_ask(self) -> bool:
        """A schedule is short, and so is its list of requests."""
        return len(self.asked) < MOST_REQUESTS

    def submit(self, chooser: Chooser) -> None:
        """One message with some requests."""
        news = []
        for _ in range(1 + chooser.below(3)):
            new = New(
                self.world.new_id("r"),
                pick(chooser, self.world.space_ids),
                pick(chooser, ("p1", "p1", "p2")),
                priority=pick(chooser, (0, 0, 0, 5, -5)),
                timeout_s=pick(chooser, (None, None, None, 3.0)),
                key=pick(chooser, (None, None, None, "k1", "k2")),
                body=pick(chooser, ("b1", "b1", "b2")),
            )
            self.asked[new.request_id] = Asked(new, new.request_id)
            news.append(new)
        self.world.send(Submit(tuple(news)))

    def again(self, chooser: Chooser) -> None:
        """The gateway asks once more, with the same ids; whether or not an answer is on its way."""
        unanswered = [a for a in self.asked.values() if not a.accepted and a.refused is None]
        some = unanswered if unanswered and not chance(chooser, 4) else list(self.asked.values())
        self.world.send(Submit((pick(chooser, some).new,)))

    def cancel(self, chooser: Chooser) -> None:
        """Somebody does not want it any more."""
        chosen = {pick(chooser, list(self.asked)) for _ in range(1 + chooser.below(2))}
        self.world.send(Cancel(tuple(sorted(chosen))))

    def verdicts(self, message: Verdicts) -> None:
        """What a submit was answered: each element by itself."""
        for request_id, verdict in zip(message.asked, message.verdicts, strict=True):
            asked = self.asked[request_id]
            if verdict.code is None:
                self._promised(asked, verdict.request_id)
            elif not asked.accepted:
                asked.refused = verdict.code

    def _promised(self, asked: Asked, request_id: str) -> None:
        known = request_id in self.world.queue.tables.requests
        require(known, "a request was promised and is not stored", request_id)
        asked.accepted, asked.refused, asked.known_as = True, None, request_id

    def finished(self, message: Finished) -> None:
        """A terminal event."""
        for asked in self.asked.values():
            if asked.known_as == message.request_id:
                self._see(asked, message.state, message.output)

    def look(self, request_id: str) -> None:
        """Reads a request that was quiet."""
        tables = self.world.queue.tables
        asked = self.asked[request_id]
        request = tables.requests.get(asked.known_as)
        if request is not None and request.state.terminal:
            self._see(asked, request.state, tables.results[asked.known_as].output)

    def _see(self, asked: Asked, state: RequestState, output: str | None) -> None:
        if asked.seen is None:
            asked.seen = (state, output)
        require(asked.seen == (state, output), f"two ends were told of {asked}", (state, output))
