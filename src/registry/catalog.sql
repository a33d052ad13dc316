/* ---- registry: the catalog ---- */

CREATE TABLE ffstorage.managed (
    relation        regclass PRIMARY KEY,
    strategy        text NOT NULL CHECK (strategy IN ('none', 'copy_on_change', 'scd2')),
    tenant_column   name,
    soft_delete     boolean NOT NULL,
    exclude         name[] NOT NULL,
    stamps          boolean NOT NULL,
    columns         jsonb NOT NULL,          -- our name -> the column's name, where they differ
    history         regclass,                -- what stands beside the table; NULL where the strategy has none
    audit           regclass,
    deleted         regclass,
    versions        regclass,                -- views
    with_deleted    regclass,
    as_of_function  name,                    -- in the table's schema
    between_function name,
    row_trigger     name NOT NULL,           -- kept last among the table's BEFORE ROW triggers
    found           jsonb NOT NULL,          -- what unmanage puts back: row_security, force_row_security, defaults, not_null, added
    managed_at      timestamptz NOT NULL
);
COMMENT ON TABLE ffstorage.managed IS 'what ffs_manage() was told of each table; read it through ffs_tables';
SELECT pg_catalog.pg_extension_config_dump('ffstorage.managed', '');

/* Links between lives: a row whose key changed ends one life and begins another. */
CREATE TABLE ffstorage.rekeys (
    relation        regclass NOT NULL,
    old_key         jsonb NOT NULL,
    new_key         jsonb NOT NULL,
    at              timestamptz NOT NULL,
    transaction_id  xid8 NOT NULL
);
CREATE INDEX rekeys_old_key ON ffstorage.rekeys (relation, old_key);
CREATE INDEX rekeys_new_key ON ffstorage.rekeys (relation, new_key);
COMMENT ON TABLE ffstorage.rekeys IS 'key changes of managed rows; ffs_history() follows them';
SELECT pg_catalog.pg_extension_config_dump('ffstorage.rekeys', '');

/* One row for each writing transaction that has something to say. */
CREATE TABLE ffstorage.transactions (
    transaction_id   xid8 NOT NULL,
    at               timestamptz NOT NULL,
    actor            text NOT NULL,
    metadata         jsonb,
    traceparent      text,
    "session_user"   name NOT NULL,
    application_name text NOT NULL,
    tenants          text[],                 -- those that the transaction had set
    all_tenants      boolean NOT NULL,
    PRIMARY KEY (transaction_id, at)
);
COMMENT ON TABLE ffstorage.transactions IS 'who wrote and why, by transaction; read it through ffs_transactions';
SELECT pg_catalog.pg_extension_config_dump('ffstorage.transactions', '');

REVOKE ALL ON ffstorage.managed, ffstorage.rekeys, ffstorage.transactions FROM PUBLIC;
