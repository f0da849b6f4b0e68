/*
 * signature.c
 *	  Check that a C function was called with the arguments that it reads.
 *
 * The server does not know which arguments a C function reads.  The definitions in the
 * database may be of another version than the library, and a superuser may declare a
 * function of the library in another way.  If a number was taken for a pointer, the server
 * would crash.  So each function compares the definition by which it was called with what
 * is listed here.  That is done again only when definitions of functions have changed.
 *
 * "make signatures" writes the list from what the extension's script creates.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/signature.h"

#define MAX_SIGNATURE_ARGS 32

/* What the extension's script says of a function.  RECORDOID is any row: rows.c checks its columns. */
typedef struct Signature
{
	const char *name;
	bool		many; /* it returns a set */
	Oid			result;
	Oid			args[MAX_SIGNATURE_ARGS + 1]; /* up to the first 0 */
} Signature;

static const Signature signatures[] = {
	{ "taskq_add_to_budget", false, NUMERICOID, { TEXTOID, NUMERICOID } },
	{ "taskq_adopt_database", false, BOOLOID },
	{ "taskq_alter_budget", false, VOIDOID, { TEXTOID, NUMERICOID, NUMERICOID, INTERVALOID, TEXTOID, TEXTOID, TIMESTAMPTZOID } },
	{ "taskq_alter_limit", false, VOIDOID, { TEXTOID, INT4OID, TEXTOID, INT4OID, INTERVALOID, INT4OID, INT4OID, INTERVALOID, JSONBOID } },
	{ "taskq_alter_pool", false, VOIDOID, { TEXTOID, INT4OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4OID, TEXTARRAYOID, JSONBOID } },
	{ "taskq_alter_queue", false, VOIDOID, { TEXTOID, TEXTOID, INTERVALOID, INTERVALOID, BOOLOID, TEXTOID, BOOLOID, INTERVALOID, BOOLOID, BOOLOID, TEXTOID, BOOLOID, TEXTARRAYOID, JSONBOID, INTERVALOID } },
	{ "taskq_announce_installation", false, VOIDOID },
	{ "taskq_append_frame", false, VOIDOID, { TEXTOID, TEXTOID } },
	{ "taskq_append_frame_of", false, BOOLOID, { INT8OID, INT8OID, TEXTOID, TEXTOID } },
	{ "taskq_background_workers", true, RECORDOID },
	{ "taskq_budget_states", true, RECORDOID },
	{ "taskq_cancel_job", false, TEXTOID, { INT8OID, INT8OID, TEXTOID } },
	{ "taskq_capabilities_digest", false, TEXTOID, { TEXTARRAYOID } },
	{ "taskq_claim_job", true, RECORDOID, { TEXTOID, TEXTARRAYOID, INTERVALOID, INTERVALOID, TEXTOID, TEXTARRAYOID } },
	{ "taskq_claim_jobs", true, RECORDOID, { TEXTOID, INT4OID, TEXTARRAYOID, INTERVALOID, INTERVALOID, TEXTOID, TEXTARRAYOID } },
	{ "taskq_clear_handlers", false, INT4OID },
	{ "taskq_clock_now", false, TIMESTAMPTZOID },
	{ "taskq_complete_job", false, BOOLOID, { INT8OID, INT8OID, JSONBOID } },
	{ "taskq_complete_jobs", true, RECORDOID, { INT8ARRAYOID, INT8ARRAYOID, JSONBARRAYOID } },
	{ "taskq_create_pool", false, VOIDOID, { TEXTOID, INT4OID, REGROLEOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4OID, TEXTARRAYOID, JSONBOID } },
	{ "taskq_create_queue", false, VOIDOID, { TEXTOID, TEXTOID, INTERVALOID, INTERVALOID, BOOLOID, TEXTOID, BOOLOID, INTERVALOID, BOOLOID, BOOLOID, TEXTOID, BOOLOID, TEXTARRAYOID, JSONBOID, INTERVALOID } },
	{ "taskq_current_job", false, RECORDOID },
	{ "taskq_decision", false, JSONBOID, { TEXTARRAYOID, JSONBOID, JSONBOID, JSONBOID } },
	{ "taskq_describe_job", true, RECORDOID, { INT8OID } },
	{ "taskq_discard_job", false, BOOLOID, { INT8OID, TEXTOID } },
	{ "taskq_drain_worker", false, BOOLOID, { TEXTOID, TEXTOID } },
	{ "taskq_drop_budget", false, BOOLOID, { TEXTOID } },
	{ "taskq_drop_limit", false, BOOLOID, { TEXTOID } },
	{ "taskq_drop_pool", false, BOOLOID, { TEXTOID } },
	{ "taskq_drop_queue", false, BOOLOID, { TEXTOID } },
	{ "taskq_enqueue_job", false, INT8OID, { TEXTOID, JSONBOID, TEXTOID, INT4OID, TIMESTAMPTZOID, INTERVALOID, INT4OID, INTERVALOID, INTERVALOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID, INT4OID, TEXTARRAYOID, NUMERICOID } },
	{ "taskq_enqueue_jobs", true, INT8OID, { TEXTOID, JSONBARRAYOID, TEXTOID, INT4OID, TIMESTAMPTZOID, INTERVALOID, INT4OID, INTERVALOID, INTERVALOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID, INT4OID, TEXTARRAYOID, NUMERICOID } },
	{ "taskq_error_type_of_http_status", false, TEXTOID, { INT4OID } },
	{ "taskq_event_position", false, INT8OID },
	{ "taskq_explain_claim", true, RECORDOID, { TEXTOID, TEXTARRAYOID, TEXTOID, TEXTARRAYOID } },
	{ "taskq_explain_routes", true, RECORDOID },
	{ "taskq_fail_job", false, BOOLOID, { INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, INTERVALOID, TEXTOID, TEXTOID, TEXTOID } },
	{ "taskq_failure", false, JSONBOID, { TEXTOID, TEXTOID, TEXTOID, BOOLOID, INTERVALOID, TEXTOID, TEXTOID } },
	{ "taskq_get_handler", false, TEXTOID, { TEXTOID } },
	{ "taskq_get_handler_info", false, RECORDOID, { TEXTOID } },
	{ "taskq_get_registered_types", false, TEXTARRAYOID },
	{ "taskq_grant_access", false, VOIDOID, { REGROLEOID, TEXTOID, TEXTARRAYOID } },
	{ "taskq_handler_statistics", true, RECORDOID },
	{ "taskq_heartbeat_job", false, TEXTOID, { INT8OID, INT8OID, INTERVALOID, JSONBOID } },
	{ "taskq_is_adopted", false, BOOLOID },
	{ "taskq_is_registered", false, BOOLOID, { TEXTOID } },
	{ "taskq_is_retryable_error_type", false, BOOLOID, { TEXTOID } },
	{ "taskq_is_standard_error_type", false, BOOLOID, { TEXTOID } },
	{ "taskq_job_state", false, TEXTOID, { CHAROID, TIMESTAMPTZOID } },
	{ "taskq_jobs_of_route", true, RECORDOID, { INT4OID, INT4OID } },
	{ "taskq_limit_states", true, RECORDOID },
	{ "taskq_limit_values", true, RECORDOID },
	{ "taskq_list_handlers", true, RECORDOID },
	{ "taskq_pause_handler", false, BOOLOID, { TEXTOID } },
	{ "taskq_pause_pool", false, BOOLOID, { TEXTOID } },
	{ "taskq_pause_queue", false, BOOLOID, { TEXTOID } },
	{ "taskq_pool_state", false, TEXTOID, { TEXTOID } },
	{ "taskq_prune", false, VOIDOID },
	{ "taskq_raise_permanent", false, VOIDOID, { TEXTOID, TEXTOID, TEXTOID, TEXTOID } },
	{ "taskq_raise_retryable", false, VOIDOID, { TEXTOID, TEXTOID, INTERVALOID, TEXTOID, TEXTOID } },
	{ "taskq_read_events", true, RECORDOID, { INT8OID, INT4OID, INTERVALOID, TEXTARRAYOID, TEXTARRAYOID, INT8OID } },
	{ "taskq_read_frames", true, RECORDOID, { INT8OID, INT4OID, INT4OID } },
	{ "taskq_redrive_jobs", false, INT4OID, { TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT4OID } },
	{ "taskq_register_handler", false, VOIDOID, { TEXTOID, REGPROCEDUREOID, TEXTOID, TEXTOID, BOOLOID, REGROLEOID, BOOLOID, TEXTOID, INT4OID, INT4OID, INTERVALOID, INTERVALOID, TEXTOID, INTERVALOID, INTERVALOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID, BOOLOID, REGTYPEOID, JSONBOID, JSONBOID, REGPROCEDUREOID, INTERVALOID, REGPROCEDUREOID, BOOLOID } },
	{ "taskq_register_handler_by_name", false, VOIDOID, { TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, REGROLEOID, BOOLOID, TEXTOID, INT4OID, INT4OID, INTERVALOID, INTERVALOID, TEXTOID, INTERVALOID, INTERVALOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID, BOOLOID, REGTYPEOID, JSONBOID, JSONBOID, TEXTOID, INTERVALOID, TEXTOID, BOOLOID } },
	{ "taskq_register_worker", false, BOOLOID, { TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4OID, INTERVALOID, BOOLOID, TEXTOID, TEXTARRAYOID, JSONBOID } },
	{ "taskq_release_job", false, BOOLOID, { INT8OID, INT8OID } },
	{ "taskq_report_usage", false, RECORDOID, { TEXTOID, NUMERICOID, TEXTOID, BOOLOID } },
	{ "taskq_report_usage_of", false, RECORDOID, { INT8OID, INT8OID, TEXTOID, NUMERICOID, TEXTOID, BOOLOID } },
	{ "taskq_resume_handler", false, BOOLOID, { TEXTOID } },
	{ "taskq_resume_pool", false, BOOLOID, { TEXTOID } },
	{ "taskq_resume_queue", false, BOOLOID, { TEXTOID } },
	{ "taskq_retry_delay", false, INTERVALOID, { TEXTOID, INT4OID, INTERVALOID, INTERVALOID, FLOAT8OID } },
	{ "taskq_retry_job", false, BOOLOID, { INT8OID, BOOLOID } },
	{ "taskq_revoke_access", false, BOOLOID, { REGROLEOID, TEXTOID } },
	{ "taskq_route_counts", true, RECORDOID },
	{ "taskq_run_all", true, RECORDOID, { TEXTARRAYOID, INT4OID, REGPROCEDUREOID } },
	{ "taskq_run_job", true, RECORDOID, { INT8OID, REGPROCEDUREOID } },
	{ "taskq_run_next", true, RECORDOID, { TEXTARRAYOID, REGPROCEDUREOID } },
	{ "taskq_running_frames", true, RECORDOID },
	{ "taskq_running_jobs", true, RECORDOID },
	{ "taskq_save_checkpoint", false, VOIDOID, { JSONBOID } },
	{ "taskq_save_checkpoint_of", false, TEXTOID, { INT8OID, INT8OID, JSONBOID, INTERVALOID } },
	{ "taskq_scheduler_pid", false, INT4OID },
	{ "taskq_sees_all_tenants", false, BOOLOID },
	{ "taskq_sees_tenant", false, BOOLOID, { TEXTOID } },
	{ "taskq_set_budget", false, VOIDOID, { TEXTOID, NUMERICOID, NUMERICOID, INTERVALOID, TEXTOID, TEXTOID, TIMESTAMPTZOID } },
	{ "taskq_set_limit", false, VOIDOID, { TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT4OID, TEXTOID, INT4OID, INTERVALOID, INT4OID, INT4OID, INTERVALOID, JSONBOID } },
	{ "taskq_snooze", false, JSONBOID, { INTERVALOID } },
	{ "taskq_snooze_job", false, BOOLOID, { INT8OID, INT8OID, INTERVALOID } },
	{ "taskq_standard_error_types", false, TEXTARRAYOID },
	{ "taskq_stat_reset", false, VOIDOID, { TEXTOID } },
	{ "taskq_status", true, RECORDOID },
	{ "taskq_success", false, JSONBOID, { JSONBOID } },
	{ "taskq_unregister_handler", false, BOOLOID, { TEXTOID } },
	{ "taskq_unregister_worker", false, BOOLOID, { TEXTOID, TEXTOID } },
	{ "taskq_update_progress", false, VOIDOID, { JSONBOID } },
	{ "taskq_validate_task", false, VOIDOID, { TEXTOID, JSONBOID } },
	{ "taskq_version_at_least", false, BOOLOID, { TEXTOID, TEXTOID } },
	{ "taskq_wait_for_job", false, RECORDOID, { TEXTOID, INTERVALOID, BOOLOID, TEXTOID, TEXTARRAYOID } },
	{ "taskq_waiting_jobs", true, RECORDOID, { INT4OID } },
	{ "taskq_worker_heartbeat", true, RECORDOID, { TEXTOID, INT8ARRAYOID, INT8ARRAYOID, TEXTOID } },
	{ "taskq_worker_lives_until", false, TIMESTAMPTZOID, { TIMESTAMPTZOID, INTERVALOID } },
#ifdef TASKQ_TESTING
	{ "taskq_test_draw_epoch", false, INT8OID },
	{ "taskq_test_looks", false, INT8OID },
	{ "taskq_test_misbehave", false, VOIDOID, { TEXTOID, INT8OID } },
	{ "taskq_test_ready_list", false, VOIDOID, { TEXTOID } },
	{ "taskq_test_tries", false, INT8OID },
#endif
};

uint32 signature_version = 1; /* changes with the definitions of functions */

static const Signature *
SignatureOf(const char *name)
{
	for (int i = 0; i < lengthof(signatures); i++)
		if (strcmp(signatures[i].name, name) == 0)
			return &signatures[i];
	elog(ERROR, "the signature of %s is not listed", name);
	return NULL;
}

static int
CountArgs(const Signature *signature)
{
	int n = 0;

	while (OidIsValid(signature->args[n]))
		n++;
	return n;
}

TASKQ_NORETURN static void
RefuseCall(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("taskq's library and its SQL definitions are of different versions"),
			 errdetail_internal("%s", detail),
			 errhint("Run ALTER EXTENSION taskq UPDATE, or restart the server if the library was replaced.")));
}

/* Compare the definition of a function in the database with what the library reads and returns. */
static void
CheckDefinition(const Form_pg_proc proc, const Signature *signature, int n)
{
	if (proc->pronargs != n)
		RefuseCall(psprintf("The function is declared with %d arguments and expects %d.", proc->pronargs, n));
	for (int i = 0; i < n; i++)
		if (proc->proargtypes.values[i] != signature->args[i])
			RefuseCall(psprintf("Argument %d of the function is declared as %s and is %s.", i + 1,
								format_type_be(proc->proargtypes.values[i]), format_type_be(signature->args[i])));
	if (proc->proretset != signature->many)
		RefuseCall(signature->many ? "The function returns a set and is not declared so."
								   : "The function is declared to return a set and returns one value.");
	if (proc->prorettype == signature->result)
		return;
	if (signature->result != RECORDOID || get_typtype(proc->prorettype) != TYPTYPE_COMPOSITE)
		RefuseCall(psprintf("The result of the function is declared as %s and is %s.",
							format_type_be(proc->prorettype), format_type_be(signature->result)));
}

static void
DefinitionsChanged(Datum arg, int cacheid, uint32 hashvalue)
{
	signature_version++;
}

/* Check a call of the C function of this name, and note that in *checked. */
void
CheckCallOf(FunctionCallInfo fcinfo, const char *name, CheckedCall *checked)
{
	static bool		 is_told = false;
	const Signature *signature = SignatureOf(name);
	int				 n = CountArgs(signature);
	uint32			 version;
	HeapTuple		 tuple;

	if (fcinfo->nargs != n)
		RefuseCall(psprintf("The function was called with %d arguments and expects %d.", fcinfo->nargs, n));
	if (fcinfo->flinfo == NULL || !OidIsValid(fcinfo->flinfo->fn_oid))
		return; /* called by C code, which knows what it calls */
	if (!is_told)
		CacheRegisterSyscacheCallback(PROCOID, DefinitionsChanged, (Datum) 0);
	is_told = true;
	version = signature_version;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fcinfo->flinfo->fn_oid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", fcinfo->flinfo->fn_oid);
	CheckDefinition((Form_pg_proc) GETSTRUCT(tuple), signature, n);
	ReleaseSysCache(tuple);
	*checked = (CheckedCall){ fcinfo->flinfo->fn_oid, version, n };
}
