"""Servers of the user's own: the stack uses them instead of starting its own."""

import os


def own_postgres_url() -> str | None:
    """SPACES_POSTGRES_URL: a user there who may create roles, and a database for the platform."""
    return os.environ.get("SPACES_POSTGRES_URL") or None


def own_nats_url() -> str | None:
    """SPACES_NATS_URL: servers with the accounts of deploy/nats/server.conf; credentials come with it."""
    return os.environ.get("SPACES_NATS_URL") or None
