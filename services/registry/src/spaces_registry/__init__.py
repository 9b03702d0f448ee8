"""Tenants, spaces, worker tokens, connections and presence."""
