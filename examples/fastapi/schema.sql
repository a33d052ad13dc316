/*
 * The example's database: psql -d contracts -f schema.sql, as a superuser (CREATE
 * EXTENSION needs one; the rest needs CREATEROLE and CREATE on the database).
 *
 * Two roles: contracts_owner owns the tables and is what migrations SET ROLE to;
 * contracts_app is what the application logs in as.  It owns nothing, so that it
 * can neither change tables nor take row-level security off.
 */
\set ON_ERROR_STOP on

CREATE EXTENSION IF NOT EXISTS ffstorage;

SELECT format('CREATE ROLE %I %s', name, may)
  FROM (VALUES ('contracts_owner', 'NOLOGIN'), ('contracts_app', 'LOGIN')) AS wanted (name, may)
 WHERE to_regrole(name) IS NULL \gexec

BEGIN;

CREATE SCHEMA contracts AUTHORIZATION contracts_owner;
SET LOCAL ROLE contracts_owner;
SET LOCAL search_path = contracts, public;

/*
 * Unique and foreign keys have the tenant in them: a value that another tenant
 * has is free for this one, and no row can refer to another tenant's.  They
 * begin with it, so that they serve the tenant's policy as well.
 */
CREATE TABLE customers (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id uuid NOT NULL,
	name text NOT NULL CONSTRAINT customer_has_a_name CHECK (name <> ''),
	email text,
	UNIQUE (tenant_id, id),
	CONSTRAINT customer_email_once UNIQUE (tenant_id, email)
);

CREATE TABLE contracts (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	tenant_id uuid NOT NULL,
	customer_id uuid NOT NULL,
	renews_id uuid,
	title text NOT NULL,
	status text NOT NULL DEFAULT 'draft' CONSTRAINT contract_status CHECK (status IN ('draft', 'open', 'closed')),
	cents bigint NOT NULL DEFAULT 0 CONSTRAINT contract_cents CHECK (cents >= 0),
	UNIQUE (tenant_id, id),
	CONSTRAINT contract_customer FOREIGN KEY (tenant_id, customer_id) REFERENCES customers (tenant_id, id),
	CONSTRAINT contract_renews FOREIGN KEY (tenant_id, renews_id) REFERENCES contracts (tenant_id, id)
);
CREATE INDEX ON contracts (tenant_id, customer_id);
CREATE INDEX ON contracts (tenant_id, renews_id);

/* Every version of a contract, deleted ones too; every change of a customer, field by field. */
SELECT ffs_manage('contracts', strategy => 'scd2', tenant_column => 'tenant_id', soft_delete => true);
SELECT ffs_manage('customers', strategy => 'copy_on_change', tenant_column => 'tenant_id');

/* Called through ffs_run(): two that cross each other may deadlock, and are tried again. */
CREATE FUNCTION transfer_cents(from_id uuid, to_id uuid, amount bigint) RETURNS void
LANGUAGE plpgsql AS
$$
DECLARE
	changed integer;
BEGIN
	UPDATE contracts SET cents = cents + CASE id WHEN from_id THEN -amount ELSE amount END
	 WHERE id IN (from_id, to_id) AND from_id <> to_id;
	GET DIAGNOSTICS changed = ROW_COUNT;
	IF changed <> 2 THEN
		RAISE no_data_found USING MESSAGE = 'one of the two contracts does not exist';
	END IF;
END
$$;

/*
 * Which columns the application may write; which rows is for row-level security,
 * whatever is granted here.  INSERT on all of contracts, since a restore brings
 * back whole rows.
 */
GRANT USAGE ON SCHEMA contracts TO contracts_app;
GRANT SELECT, INSERT (tenant_id, name, email), UPDATE (name, email) ON customers TO contracts_app;
GRANT SELECT, INSERT, UPDATE (title, status, cents), DELETE ON contracts TO contracts_app;

RESET ROLE;

/*
 * What would be SET in a session is said of the role: it holds on every server
 * connection that a pooler hands out.
 */
ALTER ROLE contracts_app SET search_path = contracts, public;
ALTER ROLE contracts_app SET jit = off;
ALTER ROLE contracts_app SET statement_timeout = '10s';
ALTER ROLE contracts_app SET lock_timeout = '3s';
ALTER ROLE contracts_app SET idle_in_transaction_session_timeout = '15s';
ALTER ROLE contracts_app SET ffstorage.query_timeout = '8s';
ALTER ROLE contracts_app SET ffstorage.max_running_per_tenant = 8;
ALTER ROLE contracts_app SET ffstorage.admission_timeout = '1s';

COMMIT;
