"""The worker agent and its handler SDK."""
