"""The whole registry on one screen."""

from collections.abc import Sequence

from spaces_chassis.bus import Bus
from spaces_chassis.clock import Clock, SystemClock
from spaces_chassis.database import Database
from spaces_chassis.health import HealthServer
from spaces_chassis.lifecycle import Part
from spaces_chassis.metrics import Metrics
from spaces_registry.access import Access
from spaces_registry.access_store import AccessStore
from spaces_registry.admin_key import AdminKey
from spaces_registry.connection_store import ConnectionStore
from spaces_registry.endings import Endings
from spaces_registry.hints import Hints
from spaces_registry.presence import Presence
from spaces_registry.schema import SchemaCheck
from spaces_registry.settings import RegistrySettings
from spaces_registry.space_store import SpaceStore
from spaces_registry.spaces import Spaces
from spaces_registry.subscriptions import Handlers, subscriptions


def build(settings: RegistrySettings, clock: Clock | None = None) -> Sequence[Part]:
    """The parts of the process, in the order in which they start."""
    clock = clock or SystemClock()
    metrics = Metrics("registry")
    database = Database.from_settings(settings, name="registry", clock=clock, metrics=metrics)
    bus = Bus.from_settings(settings, name="registry", clock=clock, metrics=metrics)

    access_store, space_store = AccessStore(database), SpaceStore(database)
    connection_store = ConnectionStore(database)
    hints = Hints(bus)
    presence = Presence(connection_store, bus)
    endings = Endings(database, connection_store, hints, presence)

    access = Access(access_store, space_store, endings, hints)
    spaces = Spaces(database, space_store, access_store, connection_store, endings, hints)
    bus.add_routes(subscriptions(Handlers(access, spaces)))

    parts: list[Part] = [
        database,
        SchemaCheck(database),
        AdminKey(database, settings.admin_key_file),
        presence.batcher,
        bus,
    ]
    return [*parts, HealthServer(parts, metrics, settings)]
