"""Requests: queue, dispatch, results."""
