"""The public face for worker authors; the agent itself is the command `spaces-worker`."""

from spaces_worker_agent.sdk import Cancelled, File, OutputFile, Request

__all__ = ["Cancelled", "File", "OutputFile", "Request"]
