"""Cuts direct workers off the broker: their rights there outlive their connection by up to a day."""

import json
from collections.abc import Sequence
from contextlib import suppress

from spaces_chassis.bus import Bus
from spaces_chassis.errors import UnavailableError
from spaces_registry.session_store import SessionStore

_ANSWER_WITHIN_S = 1.0


class Sessions:
    """Speaks to the broker's servers."""

    def __init__(self, sessions: SessionStore, bus: Bus, system: Bus | None) -> None:
        """`system` is a bus of the broker's system account; without one nobody is cut off."""
        self._sessions = sessions
        self._bus = bus
        self._system = system

    async def cut(self, connection_ids: Sequence[str]) -> None:
        """Ends the sessions of connections that must not speak any more."""
        if self._system is None:
            return
        sessions = await self._sessions.take(connection_ids)
        if sessions:
            with suppress(UnavailableError):
                # The worker's farewell goes on another connection and must be first.
                await self._bus.flush()
        for server_id, client_id in sessions:
            # The server ignores who does not ask for an answer; one that is gone has no sessions.
            with suppress(UnavailableError):
                await self._system.request_bytes(
                    f"$SYS.REQ.SERVER.{server_id}.KICK",
                    json.dumps({"cid": client_id}).encode(),
                    timeout_s=_ANSWER_WITHIN_S,
                )
