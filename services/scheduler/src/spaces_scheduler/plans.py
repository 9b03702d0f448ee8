"""How PostgreSQL plans the hot functions, set once on their connections: a SET clause costs each call."""

# Plans are made once, also on empty tables, and must stay good: rows are looked up by key, one by one.
ROW_BY_ROW = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
}
