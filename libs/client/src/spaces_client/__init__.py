"""Python client of a WebSocket Spaces gateway."""
