"""The session against a gateway that loses, repeats and reorders, by a state machine of random events."""

import json
from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spaces_contracts.connections import Attempt
from spaces_contracts.problems import Code, Problem
from spaces_contracts.requests import ResultOutcome
from spaces_worker_agent.attempts import (
    Accept,
    Chunks,
    Effects,
    Job,
    Keep,
    Key,
    Progress,
    Refuse,
    Result,
    Settle,
    Start,
    Stop,
)
from spaces_worker_agent.finished import FinishedMemory
from spaces_worker_agent.session import Session

SPACE = "s" * 26
NOW = datetime(2026, 1, 1, tzinfo=UTC)
REQUESTS = ["r" * 25 + str(number) for number in range(3)]
keys = st.builds(Key, st.sampled_from(REQUESTS), st.integers(1, 3))
CANCELLED = Problem(code=Code.CANCELLED)


def job(key: Key) -> Job:
    return Job(key, "demo", SPACE, b"{}")


def done(key: Key, *, failed: bool = False) -> Result:
    return Result(key, SPACE, "failed" if failed else "succeeded", NOW, output_json='"x"')


def named(some: list[Key]) -> list[Attempt]:
    return [Attempt(request_id=key.request_id, attempt=key.attempt) for key in some]


class SessionMachine(RuleBasedStateMachine):
    """Plays gateway, handlers and network; keeps what the session must never contradict."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.session = Session(FinishedMemory(), lambda: NOW)
        self.started: list[Key] = []
        self.running: set[Key] = set()
        self.stopping: set[Key] = set()
        self.kept: dict[Key, Result] = {}
        self.settled: set[Key] = set()
        self.online = False
        self.yielded: dict[Key, int] = {}
        self.stored: dict[Key, list[str]] = {}  # what the gateway has, without a gap
        self.sent_results: list[Result] = []
        self.tombstones: set[Key] = set()

    def carry_out(self, effects: Effects) -> None:
        for effect in effects:
            if isinstance(effect, Start):
                key = effect.job.key
                assert key not in self.started, "an attempt ran twice"
                assert key not in self.tombstones, "a cancelled attempt ran"
                newer = [k for k in self.started if k.request_id == key.request_id and k > key]
                assert not newer, "an older attempt ran after a newer one"
                self.started.append(key)
                self.running.add(key)
            elif isinstance(effect, Stop):
                assert effect.key in self.running, "only what runs is stopped"
                assert effect.key not in self.stopping, "stopped twice"
                self.stopping.add(effect.key)
            elif isinstance(effect, Keep):
                assert effect.result.key not in self.running
                self.kept[effect.result.key] = effect.result
            elif isinstance(effect, Settle):
                self.kept.pop(effect.key, None)
                self.settled.add(effect.key)

    @rule(key=keys)
    def a_job_arrives(self, key: Key) -> None:
        self.carry_out(self.session.job(job(key), self.now))

    @rule(key=keys)
    def a_cancel_arrives(self, key: Key) -> None:
        known = key in self.started or key in self.settled or key in self.kept
        self.carry_out(self.session.cancel(key, CANCELLED, self.now))
        if not known:
            self.tombstones.add(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), count=st.integers(1, 5))
    def a_handler_yields(self, data: st.DataObject, count: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        for _ in range(count):
            n = self.yielded.get(key, 0) + 1
            self.session.chunks(key, [json.dumps(f"{key.attempt}:{n}")])
            if key not in self.stopping:
                self.yielded[key] = n

    @precondition(lambda self: self.running)
    @rule(data=st.data(), percent=st.floats(0, 100))
    def a_handler_tells_progress(self, data: st.DataObject, percent: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.session.progress(key, percent, None)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), failed=st.booleans())
    def a_handler_ends(self, data: st.DataObject, failed: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.running.discard(key)
        self.carry_out(self.session.finished(done(key, failed=failed), self.now))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_deadline_passes(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        self.carry_out(self.session.expire(key, Problem(code=Code.TIMEOUT)))

    @precondition(lambda self: not self.online)
    @rule(data=st.data())
    def the_agent_registers(self, data: st.DataObject) -> None:
        held = [Key(h.request_id, h.attempt) for h in self.session.in_flight()]
        abandon = data.draw(st.lists(st.sampled_from(held), unique=True)) if held else []
        adopted = [key for key in held if key not in abandon]
        self.online = True
        effects = self.session.registered(SPACE, named(adopted), named(abandon), self.now)
        self.carry_out(effects)
        for key in abandon:
            assert key not in self.kept

    @precondition(lambda self: self.online)
    @rule()
    def the_connection_breaks(self) -> None:
        self.online = False
        self.session.disconnected()
        assert self.session.take(self.now) == []

    @rule(lose=st.booleans())
    def the_link_asks_what_to_say(self, lose: bool) -> None:
        last: dict[Key, int] = {}
        for item in self.session.take(self.now):
            assert self.online, "said while nobody listens"
            if isinstance(item, Chunks):
                expected = last.get(item.key, item.n)
                assert item.n == expected, "chunks in one go are contiguous"
                last[item.key] = item.n + len(item.data)
                self.receive_chunks(item, lose=lose)
            elif isinstance(item, Result):
                assert item == self.kept[item.key], "said before it was written"
                self.sent_results.append(item)
            else:
                assert isinstance(item, Accept | Progress | Refuse)

    def receive_chunks(self, item: Chunks, *, lose: bool) -> None:
        stored = self.stored.setdefault(item.key, [])
        assert item.n <= len(stored) + 1 or lose or item.key in self.lost, "a gap"
        self.lost.add(item.key) if lose else None
        if not lose and item.n <= len(stored) + 1:
            del stored[item.n - 1 :]
            stored.extend(item.data)

    @property
    def lost(self) -> set[Key]:
        if not hasattr(self, "_lost"):
            self._lost: set[Key] = set()
        return self._lost

    @precondition(lambda self: self.stored)
    @rule(data=st.data())
    def chunks_are_acknowledged(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.stored)))
        self.session.chunks_acked(key, len(self.stored[key]), self.now)

    @precondition(lambda self: self.sent_results)
    @rule(data=st.data(), outcome=st.sampled_from(ResultOutcome))
    def a_result_is_acknowledged(self, data: st.DataObject, outcome: ResultOutcome) -> None:
        result = data.draw(st.sampled_from(self.sent_results))
        self.carry_out(self.session.result_acked(result.key, outcome, self.now))
        assert result.key not in self.kept

    @rule(key=keys)
    def an_acknowledgement_for_nothing_arrives(self, key: Key) -> None:
        before = dict(self.kept)
        if key not in before:
            self.carry_out(self.session.result_acked(key, ResultOutcome.STALE, self.now))
            assert self.kept == before

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def chunks_are_what_was_yielded(self) -> None:
        for key, stored in getattr(self, "stored", {}).items():
            assert stored == [json.dumps(f"{key.attempt}:{n + 1}") for n in range(len(stored))]

    @invariant()
    def what_was_cancelled_or_timed_out_never_succeeds(self) -> None:
        for key, result in getattr(self, "kept", {}).items():
            if key in self.stopping:
                assert result.status != "succeeded"

    @invariant()
    def last_n_counts_the_chunks(self) -> None:
        for key, result in getattr(self, "kept", {}).items():
            assert result.last_n == self.yielded.get(key, 0)

    def teardown(self) -> None:
        """Whatever happened, a good connection brings everything to its end."""
        if not hasattr(self, "session"):
            return
        for key in sorted(self.running):
            self.running.discard(key)
            self.carry_out(self.session.finished(done(key), self.now))
        adopted = [
            Attempt(request_id=h.request_id, attempt=h.attempt) for h in self.session.in_flight()
        ]
        self.carry_out(self.session.registered(SPACE, adopted, [], self.now))
        for _ in range(20):
            for item in self.session.take(self.now):
                if isinstance(item, Chunks):
                    n = item.n + len(item.data) - 1
                    self.session.chunks_acked(item.key, n, self.now)
                elif isinstance(item, Result):
                    ended = self.session.result_acked(item.key, ResultOutcome.STORED, self.now)
                    self.carry_out(ended)
            self.now += 1
        assert self.session.idle
        assert not self.kept


SessionMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSession = SessionMachine.TestCase
