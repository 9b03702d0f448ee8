"""What the product's worker runs in benches: the work that every peer does too."""

import time
from collections.abc import AsyncIterator

from spaces_worker_agent import Request


async def echo(request: Request) -> object:
    """Gives back what came, and says when it began (for the open loop)."""
    return {**request.payload, "started": time.monotonic()}


async def tokens(request: Request) -> AsyncIterator[str]:
    """A model that writes as fast as it can."""
    for number in range(int(request.parameters.get("tokens", 100))):
        yield f"token {number} "
