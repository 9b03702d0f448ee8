"""The model's queue with the real one beside it: each call is made on both, and then both must be the same.

A schedule is one transaction that is rolled back, so that thousands of them leave nothing behind. The deadline
clock of the database is replaced by one that the schedule sets; everything else in it is the product's.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

import asyncpg

from spaces_contracts.requests import ResultOutcome
from tests.model.sql_rows import SNAPSHOT, differences
from tests.model.tables import (
    Attached,
    AttachRefused,
    Lane,
    New,
    SubmitVerdict,
    Told,
    Truth,
    Word,
)
from tests.model.upkeep import WholeQueue
from tests.model.witness import PromiseBroken, require

T = TypeVar("T")
TENANT = "tenant00000000000000000000"
# One that is turned by hand. The product's reads the wall clock.
CLOCK = """
CREATE OR REPLACE FUNCTION scheduler.deadline_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT to_timestamp(current_setting('model.now')::float8)
$$
"""
SUBMIT = "SELECT * FROM scheduler.submit_many($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15)"
FINISH = "SELECT * FROM scheduler.finish_many($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11)"
OPEN = "SELECT scheduler.lane_open($1,$2,$3,$4,$5)"
ATTACH = "SELECT * FROM scheduler.attach($1,$2,$3,$4,$5,$6,$7)"


class Database:
    """One connection, used from code that does not wait."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self.connection = self.do(asyncpg.connect(url))
        self.do(self.connection.execute(CLOCK))

    def do(self, waits: Coroutine[Any, Any, T]) -> T:
        """Waits here."""
        return self._loop.run_until_complete(waits)

    def fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """All rows."""
        return self.do(self.connection.fetch(sql, *arguments))

    def begin(self) -> None:
        """What follows is undone by the next begin or by close."""
        if self.connection.is_in_transaction():
            self.do(self.connection.execute("ROLLBACK"))
        self.do(self.connection.execute("BEGIN"))

    def close(self) -> None:
        """Undoes what was done."""
        self.do(self.connection.close())
        self._loop.close()

    def replace_in(self, function: str, old: str, new: str) -> None:
        """Changes the text of a function, until close."""
        text = self.do(
            self.connection.fetchval(
                "SELECT pg_get_functiondef($1::regproc)", f"scheduler.{function}"
            )
        )
        assert old in text, f"{function} has no {old!r}"
        self.do(self.connection.execute(text.replace(old, new)))


class SqlQueue(WholeQueue):
    """Does everything twice."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self._database = database
        self._set_to: float | None = None
        self.calls = 0
        database.begin()

    def submit_many(self, new: Sequence[New]) -> tuple[list[SubmitVerdict], list[str]]:
        answer = super().submit_many(new)
        rows = self._call(SUBMIT, *_submit_arguments(new))
        said = ["code", "state", "duplicate", "position"]
        # A refused request has no id that means anything.
        mine = [
            (v.request_id if v.code is None else None, *(getattr(v, name) for name in said))
            for v in answer[0]
        ]
        theirs = [
            (r["request_id"] if r["code"] is None else None, *(r[name] for name in said))
            for r in sorted((r for r in rows if r["kind"] == "verdict"), key=lambda r: r["ord"])
        ]
        self._same("verdicts", mine, theirs)
        self._same_jobs(answer[1], rows)
        return answer

    def finish_many(self, told: Sequence[Told]) -> tuple[list[ResultOutcome], list[str]]:
        answer = super().finish_many(told)
        rows = self._call(FINISH, *_finish_arguments(told))
        verdicts = sorted((r for r in rows if r["kind"] == "verdict"), key=lambda r: r["ord"])
        self._same("verdicts", answer[0], [r["verdict"] for r in verdicts])
        self._same_jobs(answer[1], rows)
        return answer

    def accept_many(self, words: Sequence[Word]) -> int:
        noted = super().accept_many(words)
        columns = _columns(words, 4)[1:]
        rows = self._call("SELECT scheduler.accept_many($1,$2,$3) AS n", *columns)
        self._same("noted", noted, rows[0]["n"])
        return noted

    def refuse_many(self, words: Sequence[Word]) -> list[str]:
        announce = super().refuse_many(words)
        sql = "SELECT * FROM scheduler.refuse_many($1,$2,$3,$4) AS id"
        self._same_ids(announce, self._call(sql, *_columns(words, 4)))
        return announce

    def cancel_many(self, request_ids: Sequence[str]) -> list[str]:
        announce = super().cancel_many(request_ids)
        ids = list(request_ids)
        sql = "SELECT * FROM scheduler.cancel_many($1,$2) AS id"
        self._same_ids(announce, self._call(sql, ids, [None] * len(ids)))
        return announce

    def lane_open(self, lane: Lane) -> None:
        super().lane_open(lane)
        names = ("when_offline", "max_queue", "queue_timeout_s", "run_timeout_s", "timeout_s")
        policy = {
            name: getattr(lane, name) for name in (*names, "max_attempts", "retry_after_start")
        }
        self._call(OPEN, lane.space_id, TENANT, lane.enabled, ["prompt"], json.dumps(policy))

    def lane_close(self, space_id: str) -> list[str]:
        announce = super().lane_close(space_id)
        self._same_ids(
            announce, self._call("SELECT * FROM scheduler.lane_close($1) AS id", space_id)
        )
        return announce

    def attach(
        self,
        new: tuple[str, str, str, int],
        in_flight: Iterable[tuple[str, int]],
        supersedes: Iterable[str],
    ) -> Attached:
        in_flight, supersedes = list(in_flight), list(supersedes)
        space_id, connection_id, instance_id, slots = new
        flying = json.dumps([{"request_id": r, "attempt": a} for r, a in in_flight])
        arguments = (space_id, connection_id, instance_id, f"route.{connection_id}", slots)
        try:
            answer = super().attach(new, in_flight, supersedes)
        except AttachRefused:
            self._refused(ATTACH, *arguments, flying, supersedes)
            raise
        rows = self._call(ATTACH, *arguments, flying, supersedes)
        for kind, mine in (("adopted", answer.adopted), ("abandon", answer.abandon)):
            theirs = [(r["request_id"], r["attempt"]) for r in rows if r["kind"] == kind]
            self._same(kind, sorted(mine), sorted(theirs))
        announced = [r["request_id"] for r in rows if r["kind"] == "announce"]
        self._same("announced", sorted(answer.announce), sorted(announced))
        return answer

    def detach(self, connection_ids: Sequence[str]) -> list[str]:
        announce = super().detach(connection_ids)
        sql = "SELECT * FROM scheduler.detach($1) AS id"
        self._same_ids(announce, self._call(sql, list(connection_ids)))
        return announce

    def drain(self, connection_id: str) -> None:
        super().drain(connection_id)
        self._call("SELECT scheduler.connection_drain($1)", connection_id)

    def expire_step(self, off_s: float = 0.0) -> list[str]:
        announce = super().expire_step(off_s)
        self._same("expired", sorted(announce), sorted(self._drained("expire_step", off_s)))
        return announce

    def force_cancel_step(self, off_s: float = 0.0) -> list[str]:
        announce = super().force_cancel_step(off_s)
        self._same("forced", sorted(announce), sorted(self._drained("force_cancel_step", off_s)))
        return announce

    def stop_again_step(self) -> list[str]:
        announce = super().stop_again_step()
        self._same("stopped", sorted(announce), sorted(self._drained("stop_again_step")))
        return announce

    def mass_change_step(self) -> list[str]:
        announce = super().mass_change_step()
        self._same("shut", sorted(announce), sorted(self._drained("mass_change_step")))
        return announce

    def resume_step(self) -> list[str]:
        announce = super().resume_step()
        found: list[str] = []
        for _ in range(
            len(self.tables.lanes) + 1
        ):  # a lane that gets nothing ends the product's pass
            rows = self._call("SELECT * FROM scheduler.resume_step() AS id", compare=False)
            found += [r["id"] for r in rows]
        self._same("resumed", sorted(announce), sorted(found))
        self._compare()
        return announce

    def repair_step(self) -> tuple[list[str], list[str]]:
        answer = super().repair_step()
        rows = self._call("SELECT * FROM scheduler.repair_step()")
        for kind, mine in (("dispatch", answer[0]), ("claim", answer[1])):
            theirs = [r["request_id"] for r in rows if r["kind"] == kind]
            self._same(kind, sorted(mine), sorted(theirs))
        return answer

    def truth(self, request_ids: Iterable[str]) -> list[Truth]:
        request_ids = list(request_ids)
        answer = super().truth(request_ids)
        rows = self._call("SELECT * FROM scheduler.truth($1)", request_ids, compare=False)
        columns = (
            "request_id",
            "space_id",
            "state",
            "attempt",
            "send",
            "stop",
            "held_attempt",
            "connection_id",
        )
        theirs = {r["request_id"]: [r[name] for name in columns] for r in rows}
        for mine in answer:
            self._same("truth", list(mine), theirs.pop(mine.request_id))
        self._same("truth", {}, theirs)
        return answer

    # Inside

    def _call(self, sql: str, *arguments: Any, compare: bool = True) -> list[asyncpg.Record]:
        self._turn_clock()
        self.calls += 1
        try:
            rows = self._database.fetch(sql, *arguments)
        except asyncpg.PostgresError as error:
            raise PromiseBroken(f"the database fails: {error}") from error
        if compare:
            self._compare()
        return rows

    def _refused(self, sql: str, *arguments: Any) -> None:
        """The database must refuse as well, and change nothing."""
        self._database.fetch("SAVEPOINT before")
        try:
            self._database.fetch(sql, *arguments)
        except asyncpg.RaiseError:
            self._database.fetch("ROLLBACK TO before")
            self._compare()
        else:
            raise PromiseBroken("the database takes what the model refuses")

    def _drained(self, step: str, off_s: float | None = None) -> list[str]:
        argument = "" if off_s is None else f"clock_timestamp() - make_interval(secs => {off_s})"
        found: list[str] = []
        while True:
            sql = f"SELECT * FROM scheduler.{step}({argument}) AS id"
            rows = self._call(sql, compare=False)
            if not rows:
                if found:
                    self._compare()
                return found
            found += [r["id"] for r in rows]

    def _turn_clock(self) -> None:
        now = self.clock()
        if now != self._set_to:
            self._database.fetch("SELECT set_config('model.now', $1, false)", str(now))
            self._set_to = now

    def _compare(self) -> None:
        text = self._database.fetch(SNAPSHOT)[0][0]
        found = differences(self.tables, text)
        require(not found, "model and database differ", found)

    def _same(self, what: str, mine: object, theirs: object) -> None:
        require(mine == theirs, f"{what}: model and database differ", (mine, theirs))

    def _same_ids(self, mine: list[str], rows: list[asyncpg.Record]) -> None:
        self._same("announced", sorted(mine), sorted(r["id"] for r in rows))

    def _same_jobs(self, claimed: list[str], rows: list[asyncpg.Record]) -> None:
        jobs = sorted(
            (r["request_id"], r["attempt"], r["connection_id"])
            for r in rows
            if r["connection_id"] is not None
        )
        mine = []
        for request_id in sorted(claimed):
            attempt = self.tables.requests[request_id].attempt
            assignment = self.tables.assignments[request_id, attempt]
            mine.append((request_id, attempt, assignment.connection_id))
        self._same("jobs", mine, jobs)


def _columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    return [[row[nth] for row in rows] for nth in range(count)]


def _submit_arguments(new: Sequence[New]) -> list[list[Any]]:
    none: list[None] = [None] * len(new)
    return [
        [one.request_id for one in new],
        [one.space_id for one in new],
        [TENANT] * len(new),
        [one.principal_id for one in new],
        [b"{}"] * len(new),
        ["prompt"] * len(new),
        [*none],
        [*none],
        [one.priority for one in new],
        [*none],
        [*none],
        [one.timeout_s for one in new],
        [one.key for one in new],
        [one.body for one in new],
        [*none],
    ]


def _finish_arguments(told: Sequence[Told]) -> list[list[Any]]:
    none: list[None] = [None] * len(told)
    return [
        *_columns(told, 4),
        [one.state.value for one in told],
        [one.output.encode() for one in told],
        [*none],
        [*none],
        [0] * len(told),
        [0.1] * len(told),
        [*none],
    ]
