"""How much a tenant or key may use, as this gateway holds to it."""
