"""The stand-in worker: 25, 50 and 75 % progress, then a result with its time. For demos and tests of a deployment."""

import os
import time
from datetime import UTC, datetime
from typing import Any

from spaces_worker_agent.sdk import Request


def handler(request: Request) -> dict[str, Any]:
    """Answers with what it was asked; `parameters.seconds` says how long that takes (at most an hour)."""
    started = time.monotonic()
    wished = request.parameters.get("seconds", os.environ.get("SPACES_MOCK_SECONDS", "1"))
    seconds = min(3600.0, max(0.0, float(wished)))
    for percent in (25, 50, 75):
        request.wait_cancelled(seconds / 4)
        request.check_cancelled()
        request.progress(percent, f"mock work, {percent} % done")
    request.wait_cancelled(seconds / 4)
    request.check_cancelled()
    return {
        "text": f"Mock result for: {request.prompt or ''}",
        "files": [{"name": file.name, "size_bytes": file.size_bytes} for file in request.files],
        "processing_time_seconds": round(time.monotonic() - started, 3),
        "timestamp": datetime.now(UTC).isoformat(),
    }
