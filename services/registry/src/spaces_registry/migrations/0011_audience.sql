-- For whom a space exists: for all of its tenant, or for its maker and whoever may see all private ones.
ALTER TABLE registry.space
    ADD COLUMN visibility text NOT NULL DEFAULT 'tenant' CHECK (visibility IN ('tenant', 'private')),
    -- A person, or a key that is no person's. Empty: made before this was noted.
    ADD COLUMN created_by text,
    -- Its picture; the bytes are in the gateways' file store, under this hash.
    ADD COLUMN cover      jsonb;
