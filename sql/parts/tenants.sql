-- tenants: what the views ask -----------------------------------------------

CREATE FUNCTION taskq.sees_tenant(tenant_id text) RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_sees_tenant' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION taskq.sees_tenant(text) IS 'whether the current user may see jobs of this tenant, and taskq.tenant_id does not hide them';

CREATE FUNCTION taskq.sees_all_tenants() RETURNS boolean
	AS 'MODULE_PATHNAME', 'taskq_sees_all_tenants' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION taskq.sees_all_tenants() IS 'whether the current user may see all jobs, and taskq.tenant_id does not hide any';

