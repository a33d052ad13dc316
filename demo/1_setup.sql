-- A table as any product has one; ffs_manage() makes the rest.
CREATE EXTENSION ffstorage;

CREATE TABLE packages (
    distribution    text NOT NULL,          -- the tenant
    package         text NOT NULL,
    package_version text NOT NULL,
    architecture    text,
    source          text,
    section         text,
    priority        text,
    installed_size  integer,
    maintainer      text,
    homepage        text,
    depends         text,
    description     text,
    PRIMARY KEY (distribution, package)
);

SELECT ffs_manage('packages', strategy => 'scd2', tenant_column => 'distribution');

-- The application: no superuser, not the owner, bound by row-level security.
CREATE ROLE app LOGIN;
GRANT SELECT, INSERT, UPDATE, DELETE ON packages TO app;

-- Where the files arrive, as JSON, one package a row.
CREATE TABLE incoming (file text NOT NULL, line bigint NOT NULL GENERATED ALWAYS AS IDENTITY, data jsonb NOT NULL);
GRANT SELECT ON incoming TO app;

-- What the demo remembers between its steps.
CREATE TABLE moments (file text PRIMARY KEY, loaded_at timestamptz NOT NULL DEFAULT clock_timestamp(), packages bigint NOT NULL);
GRANT SELECT, INSERT ON moments TO app;
