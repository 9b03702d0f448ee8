"""A subscription made at run time."""

from collections.abc import Callable

from spaces_chassis.bus.transport import Handle


class Subscription:
    """A subscription made at run time. `await stop()` ends it."""

    def __init__(self, handle: Handle, forget: "Callable[[Subscription], None]") -> None:
        self._handle = handle
        self._forget = forget

    async def stop(self) -> None:
        """No message is handled after this returns."""
        self._forget(self)
        await self._handle.stop()

    async def drain(self) -> None:
        """Like stop, but what has already arrived is handled first."""
        self._forget(self)
        await self._handle.drain()
