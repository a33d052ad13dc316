/* ---- tenancy ---- */

CREATE FUNCTION ffs_set_tenant(tenant text, scope text DEFAULT 'transaction') RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ffs_set_tenant';
COMMENT ON FUNCTION ffs_set_tenant(text, text) IS
'sets the tenant: the transaction''s, final until it ends, ROLLBACK TO included (setting the same again is fine, another one is the error tenant_pinned);
or with scope ''session'' that of all transactions from the next one on, until RESET ALL or DISCARD ALL, undone with the transaction that sets it.
Outside a transaction block it holds for its statement and warns. A NULL tenant or scope is the error 22004, an empty tenant or another scope 22023';

CREATE FUNCTION ffs_set_tenants(tenants text[]) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ffs_set_tenants';
COMMENT ON FUNCTION ffs_set_tenants(text[]) IS
'sets several tenants for this transaction: reads see the rows of all of them, writes must name one of them (else tenant_violation).
Final like ffs_set_tenant() (tenant_pinned). A NULL array or element is the error 22004, an empty one 22023';

CREATE FUNCTION ffs_set_all_tenants() RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'ffs_set_all_tenants';
COMMENT ON FUNCTION ffs_set_all_tenants() IS
'lets this transaction read and write the rows of every tenant; what it changes is recorded with that. Only for roles that were granted EXECUTE on it (else 42501); final like ffs_set_tenant() (tenant_pinned)';
REVOKE EXECUTE ON FUNCTION ffs_set_all_tenants() FROM PUBLIC;

CREATE FUNCTION ffs_tenant() RETURNS text
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'ffs_tenant';
COMMENT ON FUNCTION ffs_tenant() IS 'this transaction''s tenant; NULL where there is none, where there are several, and under ffs_set_all_tenants()';

CREATE FUNCTION ffs_tenants() RETURNS text[]
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'ffs_tenants';
COMMENT ON FUNCTION ffs_tenants() IS 'this transaction''s tenants, in order, one or several; NULL where there is none and under ffs_set_all_tenants()';

/* What policies and column defaults call. */
CREATE FUNCTION ffstorage.tenant_uuid() RETURNS uuid
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenant_uuid';
CREATE FUNCTION ffstorage.tenant_text() RETURNS text
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenant_text';
CREATE FUNCTION ffstorage.tenant_int2() RETURNS int2
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenant_int2';
CREATE FUNCTION ffstorage.tenant_int4() RETURNS int4
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenant_int4';
CREATE FUNCTION ffstorage.tenant_int8() RETURNS int8
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenant_int8';
COMMENT ON FUNCTION ffstorage.tenant_uuid() IS 'the transaction''s one tenant as uuid; NULL where there is none or several, or it does not fit the type';
COMMENT ON FUNCTION ffstorage.tenant_text() IS 'the transaction''s one tenant as text; NULL where there is none or several';
COMMENT ON FUNCTION ffstorage.tenant_int2() IS 'the transaction''s one tenant as int2; NULL where there is none or several, or it does not fit the type';
COMMENT ON FUNCTION ffstorage.tenant_int4() IS 'the transaction''s one tenant as int4; NULL where there is none or several, or it does not fit the type';
COMMENT ON FUNCTION ffstorage.tenant_int8() IS 'the transaction''s one tenant as int8; NULL where there is none or several, or it does not fit the type';

/* What stands in for them in plans made for several tenants, or for all. */
CREATE FUNCTION ffstorage.tenants_uuid() RETURNS uuid[]
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenants_uuid';
CREATE FUNCTION ffstorage.tenants_text() RETURNS text[]
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenants_text';
CREATE FUNCTION ffstorage.tenants_int2() RETURNS int2[]
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenants_int2';
CREATE FUNCTION ffstorage.tenants_int4() RETURNS int4[]
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenants_int4';
CREATE FUNCTION ffstorage.tenants_int8() RETURNS int8[]
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'tenants_int8';
CREATE FUNCTION ffstorage.all_tenants() RETURNS boolean
    LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'all_tenants';
COMMENT ON FUNCTION ffstorage.tenants_uuid() IS 'those of the transaction''s tenants that are uuids; NULL where there is none and under ffs_set_all_tenants()';
COMMENT ON FUNCTION ffstorage.tenants_text() IS 'the transaction''s tenants; NULL where there is none and under ffs_set_all_tenants()';
COMMENT ON FUNCTION ffstorage.tenants_int2() IS 'those of the transaction''s tenants that fit int2; NULL where there is none and under ffs_set_all_tenants()';
COMMENT ON FUNCTION ffstorage.tenants_int4() IS 'those of the transaction''s tenants that fit int4; NULL where there is none and under ffs_set_all_tenants()';
COMMENT ON FUNCTION ffstorage.tenants_int8() IS 'those of the transaction''s tenants that fit int8; NULL where there is none and under ffs_set_all_tenants()';
COMMENT ON FUNCTION ffstorage.all_tenants() IS 'whether the transaction called ffs_set_all_tenants()';

/* The WITH CHECK of policies: volatile, so that nothing evaluates it ahead. */
CREATE FUNCTION ffstorage.check_tenant(relation regclass, tenant uuid) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'check_tenant_uuid';
CREATE FUNCTION ffstorage.check_tenant(relation regclass, tenant text) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'check_tenant_text';
CREATE FUNCTION ffstorage.check_tenant(relation regclass, tenant int8) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'check_tenant_int8';
COMMENT ON FUNCTION ffstorage.check_tenant(regclass, uuid) IS 'true if a row of this tenant may be written to the relation now; the errors tenant_violation (counted) and tenant_not_set otherwise';
COMMENT ON FUNCTION ffstorage.check_tenant(regclass, text) IS 'true if a row of this tenant may be written to the relation now; the errors tenant_violation (counted) and tenant_not_set otherwise';
COMMENT ON FUNCTION ffstorage.check_tenant(regclass, int8) IS 'true if a row of this tenant may be written to the relation now; the errors tenant_violation (counted) and tenant_not_set otherwise';

/* For permissive policies that let the tenant policy alone decide: unlike a plain true it goes away with the extension, and takes the policy along. */
CREATE FUNCTION ffstorage.any_row() RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT true';
COMMENT ON FUNCTION ffstorage.any_row() IS 'true: what a permissive policy says that leaves all to the tenant policy; it is dropped together with that one';
