"""The HTTP API: one module a subject, mounted by app.py."""
