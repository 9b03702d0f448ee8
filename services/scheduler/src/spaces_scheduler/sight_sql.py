"""What exists for somebody, as a condition on rows that have a tenant and on the lane `l` of their space."""


def seen(tenant_id: str, makers: str, *, rows: str = "r") -> str:
    """The same as `Sight.sees`, of the two placeholders that hold its tenant and its makers."""
    return f"""
        ({tenant_id}::text IS NULL OR {rows}.tenant_id = {tenant_id})
        AND (l.private_to IS NULL OR {makers}::text[] IS NULL OR l.private_to = ANY ({makers}))
    """
