"""The whole scheduler on one screen."""

from collections.abc import Sequence

from spaces_chassis.batcher import BatcherMetrics
from spaces_chassis.bus import Bus
from spaces_chassis.clock import Clock, SystemClock
from spaces_chassis.database import Database
from spaces_chassis.health import HealthServer
from spaces_chassis.lifecycle import Loop, LoopMetrics, Part
from spaces_chassis.metrics import Metrics
from spaces_scheduler import (
    beat_loop,
    clock_loop,
    figures_loop,
    gauges_loop,
    mass_change_loop,
    repair_loop,
    sweep_loop,
)
from spaces_scheduler.acceptances import Acceptances
from spaces_scheduler.announcer import Announcer
from spaces_scheduler.answers import Answers
from spaces_scheduler.beat_loop import Heartbeat
from spaces_scheduler.change_feed import ChangeFeed
from spaces_scheduler.clock_loop import ClockLoop
from spaces_scheduler.end_publisher import EndPublisher
from spaces_scheduler.figures_loop import FiguresLoop
from spaces_scheduler.gauges_loop import GaugesLoop
from spaces_scheduler.histories import Histories
from spaces_scheduler.intake import Intake
from spaces_scheduler.job_sender import JobSender
from spaces_scheduler.lists import Lists
from spaces_scheduler.mass_change_loop import MassChangeLoop
from spaces_scheduler.meters import Meters
from spaces_scheduler.outgoing import Outgoing
from spaces_scheduler.questions import Questions
from spaces_scheduler.queue_events import QueueEvents
from spaces_scheduler.repair_loop import RepairLoop
from spaces_scheduler.results import Results
from spaces_scheduler.schema import SchemaCheck
from spaces_scheduler.settings import SchedulerSettings
from spaces_scheduler.stores import Stores
from spaces_scheduler.subscriptions import Handlers, subscriptions
from spaces_scheduler.sweep_loop import SweepLoop


class Scheduler:
    """Everything the process is made of; `parts` in the order in which they start."""

    def __init__(self, settings: SchedulerSettings, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.metrics = Metrics("scheduler")
        self.meters = Meters(self.metrics)
        self.database = Database.from_settings(
            settings, name="scheduler", clock=self.clock, metrics=self.metrics
        )
        self.bus = Bus.from_settings(
            settings, name="scheduler", clock=self.clock, metrics=self.metrics
        )

        self.stores = Stores.of(self.database)
        self.outgoing = Outgoing(
            JobSender(self.bus, self.clock, self.meters),
            EndPublisher(self.bus, self.meters),
            QueueEvents(self.bus, self.stores.requests),
            ChangeFeed(self.bus, self.clock, self.stores.lists),
        )
        self._make_handlers(BatcherMetrics(self.metrics))
        self._make_loops()
        works = self._works(SchemaCheck(settings))
        self.beats = Heartbeat(self.bus, works)
        health = HealthServer(works, self.metrics, settings)
        self.parts: Sequence[Part] = [*works, *self._loops(), self.beats, health]

    def _make_handlers(self, batching: BatcherMetrics) -> None:
        self.announcer = Announcer(self.stores.truth, self.outgoing, batching)
        self.acceptances = Acceptances(self.stores.results)
        self.intake = Intake(self.stores.intake, self.outgoing, self.meters, batching)
        self.results = Results(
            self.bus,
            self.stores.results,
            self.outgoing,
            self.acceptances,
            self.meters,
            batching,
        )
        self.answers = Answers(
            self.stores.results,
            self.acceptances,
            self.outgoing.sender,
            self.announcer,
            self.meters,
            batching,
        )
        questions = Questions(self.stores.requests, self.stores.counts, self.announcer)
        stores = self.stores
        handlers = Handlers(
            self.intake,
            self.results,
            self.answers,
            questions,
            Lists(stores.lists, stores.details, stores.requests, self.announcer),
            Histories(stores.figures),
            self.announcer,
            self.outgoing.changes,
        )
        self.bus.add_routes(subscriptions(handlers))

    def _make_loops(self) -> None:
        upkeep, announcer = self.stores.upkeep, self.announcer
        self.clock_watch = ClockLoop(upkeep, self.clock, self.meters)
        self.sweep = SweepLoop(upkeep, announcer, self.clock_watch, self.bus, self.database)
        self.repair = RepairLoop(upkeep, announcer, self.bus, self.meters)
        self.mass_changes = MassChangeLoop(upkeep, announcer)
        self.gauges = GaugesLoop(self.stores.requests, self.meters)
        self.figures = FiguresLoop(self.stores.figures, self.metrics, self.stores.requests)

    def _works(self, schema: Part) -> list[Part]:
        """What requests pass through, and what it stands on: readiness asks these."""
        return [
            schema,
            self.database,
            self.outgoing.queues,
            self.outgoing.changes,
            self.announcer.batcher,
            self.acceptances,
            self.answers.refusals,
            self.results.batcher,
            self.intake.batcher,
            self.bus,
        ]

    def _loops(self) -> list[Loop]:
        metrics = LoopMetrics(self.metrics)
        return [
            Loop("clock", self.clock_watch.step, clock_loop.EVERY_S, self.clock, metrics),
            Loop("sweep", self.sweep.step, sweep_loop.EVERY_S, self.clock, metrics),
            Loop("repair", self.repair.step, repair_loop.EVERY_S, self.clock, metrics),
            Loop("masses", self.mass_changes.step, mass_change_loop.EVERY_S, self.clock, metrics),
            Loop("gauges", self.gauges.step, gauges_loop.EVERY_S, self.clock, metrics),
            Loop("figures", self.figures.step, figures_loop.EVERY_S, self.clock, metrics),
            Loop("beats", self.beats.step, beat_loop.EVERY_S, self.clock, metrics),
        ]
