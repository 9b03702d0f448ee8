"""The whole registry on one screen."""

from collections.abc import Sequence

from spaces_chassis.batcher import BatcherMetrics
from spaces_chassis.bus import Bus
from spaces_chassis.clock import Clock, SystemClock
from spaces_chassis.database import Database
from spaces_chassis.health import HealthServer
from spaces_chassis.lifecycle import Loop, LoopMetrics, Part
from spaces_chassis.metrics import Metrics
from spaces_registry import beat_loop, death_loop, gauges_loop, upkeep_loop
from spaces_registry.access import Access
from spaces_registry.admin_key import AdminKey
from spaces_registry.admin_password import AdminPassword
from spaces_registry.attaching import Attaching
from spaces_registry.audit import Audit
from spaces_registry.beat_loop import Heartbeat
from spaces_registry.beats import Beats
from spaces_registry.callout import Callout, Door
from spaces_registry.connections import Connections
from spaces_registry.death_loop import DeathLoop
from spaces_registry.disconnects import Disconnects
from spaces_registry.endings import Endings
from spaces_registry.gauges_loop import GaugesLoop
from spaces_registry.hints import Hints
from spaces_registry.joins import Joins
from spaces_registry.logins import Logins
from spaces_registry.meters import Meters
from spaces_registry.names import NameBook
from spaces_registry.passwords import Passwords
from spaces_registry.people import People
from spaces_registry.presence import Presence
from spaces_registry.quotas import Quotas
from spaces_registry.schema import SchemaCheck
from spaces_registry.sessions import Sessions
from spaces_registry.settings import RegistrySettings
from spaces_registry.signing import Signing
from spaces_registry.spaces import Spaces
from spaces_registry.stores import Stores
from spaces_registry.subscriptions import Handlers, subscriptions
from spaces_registry.system import System
from spaces_registry.upkeep_loop import UpkeepLoop
from spaces_registry.user_jwt import Signer


class Registry:
    """Everything the process is made of; `parts` in the order in which they start."""

    def __init__(self, settings: RegistrySettings, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.metrics = Metrics("registry")
        self.meters = Meters(self.metrics)
        batching = BatcherMetrics(self.metrics)
        self.database = Database.from_settings(
            settings, name="registry", clock=self.clock, metrics=self.metrics
        )
        self.bus = Bus.from_settings(
            settings, name="registry", clock=self.clock, metrics=self.metrics
        )

        self.stores = Stores.of(self.database)
        self.hints = Hints(self.bus)
        self.presence = Presence(self.stores.connections, self.bus, batching)
        self.system = _system_bus(settings)
        self.sessions = Sessions(self.stores.sessions, self.bus, self.system)
        self.endings = Endings(self.stores, self.hints, self.presence, self.sessions, self.meters)
        self.attaching = Attaching(self.stores, self.endings, self.presence, self.meters)
        self.beats = Beats(self.stores.leases, self.hints, batching)
        self.passwords = Passwords()
        self.signing = Signing(self.stores.logins, self.clock)
        self.bus.add_routes(subscriptions(self._handlers(settings)))
        self.deaths = DeathLoop(self.stores, self.bus, self.clock, self.endings, self.meters)
        self.upkeep = UpkeepLoop(self.stores, self.clock, self.endings, self.hints, self.signing)
        self.gauges = GaugesLoop(self.stores, self.meters)
        works = self._works(settings)
        self.heartbeat = Heartbeat(self.stores.system, works)
        self.parts: Sequence[Part] = [
            *works,
            *self._loops(),
            self.heartbeat,
            HealthServer(works, self.metrics, settings),
        ]

    def _handlers(self, settings: RegistrySettings) -> Handlers:
        logins = Logins(
            self.stores, self.hints, self.passwords, self.signing, self.clock, settings.lifetimes
        )
        return Handlers(
            Access(self.stores, self.endings, self.hints),
            logins,
            People(self.stores, self.hints, self.passwords, logins, settings.registration),
            Audit(self.stores.audit),
            Spaces(self.stores, self.endings, self.hints),
            self.attaching,
            Connections(self.stores, self.endings, self.hints, self.meters),
            self.beats,
            Quotas(self.stores, self.hints, settings.default_limits()),
            Joins(self.stores),
            NameBook(self.stores.names),
            System(self.stores.system),
        )

    def _works(self, settings: RegistrySettings) -> list[Part]:
        return [
            self.database,
            SchemaCheck(self.database),
            AdminKey(self.stores.access, settings.admin_key_file),
            AdminPassword(
                self.database,
                self.stores.people,
                self.passwords,
                settings.admin_password_file,
                settings.admin_email,
            ),
            self.signing,
            self.presence.batcher,
            self.beats.batcher,
            *self._other_accounts(settings),
            self.bus,
        ]

    def _loops(self) -> list[Loop]:
        metrics = LoopMetrics(self.metrics)
        return [
            Loop("deaths", self.deaths.step, death_loop.EVERY_S, self.clock, metrics),
            Loop("upkeep", self.upkeep.step, upkeep_loop.EVERY_S, self.clock, metrics),
            Loop("beats", self.heartbeat.step, beat_loop.EVERY_S, self.clock, metrics),
            Loop("gauges", self.gauges.step, gauges_loop.EVERY_S, self.clock, metrics),
        ]

    def _other_accounts(self, settings: RegistrySettings) -> list[Bus]:
        """Who left (the system account) and who may come in (the account AUTH)."""
        buses: list[Bus] = []
        if self.system is not None:
            Disconnects(self.stores.leases, self.meters).listen(self.system)
            buses.append(self.system)
        if settings.callout_user is not None and settings.issuer_seed is not None:
            as_authority = settings.bus_as(settings.callout_user, settings.callout_password)
            authority = _named("bus_auth", Bus.from_settings(as_authority, name="registry auth"))
            signer = Signer(settings.issuer_seed.get_secret_value())
            door = Door(self.attaching, self.stores)
            Callout(signer, door, self.clock, self.meters).listen(authority)
            buses.append(authority)
        return buses


def _system_bus(settings: RegistrySettings) -> Bus | None:
    if settings.sys_user is None:
        return None
    as_system = settings.bus_as(settings.sys_user, settings.sys_password)
    return _named("bus_system", Bus.from_settings(as_system, name="registry system"))


def _named(name: str, bus: Bus) -> Bus:
    """Its own name in the answers of /health/ready."""
    bus.name = name
    return bus
