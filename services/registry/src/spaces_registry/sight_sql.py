"""Which spaces exist for somebody, as a condition on rows of `registry.space s`."""


def seen(tenant_id: str, makers: str) -> str:
    """The same as `Sight.sees`, of the two placeholders that hold its tenant and its makers."""
    return f"""
        ({tenant_id}::text IS NULL OR s.tenant_id = {tenant_id})
        AND (s.visibility = 'tenant' OR {makers}::text[] IS NULL OR s.created_by = ANY ({makers}))
    """


def hidden_among(space_ids: str, makers: str) -> str:
    """Whether one of the spaces of an array is private to others."""
    return f"""
        ({makers}::text[] IS NOT NULL AND EXISTS (
            SELECT FROM registry.space s WHERE s.space_id = ANY ({space_ids}) AND s.visibility = 'private'
               AND (s.created_by = ANY ({makers})) IS NOT TRUE))
    """
