"""Serves an OpenAI-compatible server that runs on this host, so that nobody needs to write Python."""

from spaces_worker_agent.settings import AgentSettings


def environment_for(settings: AgentSettings) -> dict[str, str]:
    """What the handler process needs to know."""
    return {"SPACES_UPSTREAM_URL": settings.upstream or ""}
