"""Says that this registry lives."""

from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version

from spaces_chassis.errors import DatabaseUnavailable
from spaces_chassis.lifecycle import Part
from spaces_contracts.identifiers import new_id
from spaces_registry.system_store import SystemStore

EVERY_S = 3.0


class Heartbeat:
    """A Part: its beats go straight into the table where all others' end up; it says goodbye when it stops."""

    name = "heartbeat"

    def __init__(self, store: SystemStore, works: Sequence[Part]) -> None:
        """`works` are the parts whose health is the registry's."""
        self._store = store
        self._works = works
        self._id = new_id()
        self._leaving = False
        self._version = version("spaces-registry")

    async def step(self) -> None:
        """One beat; run each three seconds by a Loop."""
        await self._beat()

    async def _beat(self) -> None:
        failing = [part.name for part in self._works if not part.healthy()]
        await self._store.heard("registry", self._id, self._version, failing, leaving=self._leaving)

    async def start(self) -> None:
        """The loop beats."""

    async def drain(self) -> None:
        """The last one; should the loop still turn, it says the same."""
        self._leaving = True
        with suppress(DatabaseUnavailable):
            await self._beat()

    async def stop(self) -> None:
        """Nothing is held."""

    def healthy(self) -> bool:
        """It is only a word."""
        return True
