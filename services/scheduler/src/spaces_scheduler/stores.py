"""All SQL of the scheduler, by purpose."""

from dataclasses import dataclass
from typing import Self

from spaces_chassis.database import Database
from spaces_scheduler.count_store import CountStore
from spaces_scheduler.detail_store import DetailStore
from spaces_scheduler.figure_store import FigureStore
from spaces_scheduler.intake_store import IntakeStore
from spaces_scheduler.list_store import ListStore
from spaces_scheduler.request_store import RequestStore
from spaces_scheduler.result_store import ResultStore
from spaces_scheduler.truth_store import TruthStore
from spaces_scheduler.upkeep_store import UpkeepStore


@dataclass(frozen=True)
class Stores:
    """One store a purpose, on one database."""

    intake: IntakeStore
    results: ResultStore
    requests: RequestStore
    truth: TruthStore
    upkeep: UpkeepStore
    counts: CountStore
    lists: ListStore
    details: DetailStore
    figures: FigureStore

    @classmethod
    def of(cls, database: Database) -> Self:
        """The stores of a database."""
        return cls(
            IntakeStore(database),
            ResultStore(database),
            RequestStore(database),
            TruthStore(database),
            UpkeepStore(database),
            CountStore(database),
            ListStore(database),
            DetailStore(database),
            FigureStore(database),
        )
