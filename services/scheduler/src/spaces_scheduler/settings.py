"""What the scheduler needs from its environment."""

from typing import ClassVar

from spaces_chassis.settings import (
    BusSettings,
    DatabaseSettings,
    HttpSettings,
    LogSettings,
    Settings,
)


class SchedulerSettings(Settings, BusSettings, DatabaseSettings, LogSettings, HttpSettings):
    """Settings of `spaces-scheduler`, read from SPACES_SCHEDULER_* and SPACES_*."""

    service: ClassVar[str] = "scheduler"
