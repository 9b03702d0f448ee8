-- A key may have a limit of stored bytes of its own. Only keys that have one are counted.
ALTER TABLE registry.quota DROP CONSTRAINT quota_check;
ALTER TABLE registry.quota ADD CONSTRAINT quota_stored_bytes_check CHECK (stored_bytes >= 0);

CREATE TABLE registry.stored_bytes_of_key (
    key_id     text NOT NULL,
    day        date NOT NULL,
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    PRIMARY KEY (key_id, day)
);
CREATE INDEX stored_bytes_of_key_by_day ON registry.stored_bytes_of_key (day);

GRANT SELECT, INSERT, UPDATE, DELETE ON registry.stored_bytes_of_key TO spaces_registry;
