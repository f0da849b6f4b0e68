/*
 * confine.c
 *	  Confine users' code outside handlers, so that it cannot change or inspect the
 *	  session in which it runs.
 *
 * Validators, constraints of payload types and retry functions run as their own role,
 * but in the session that needs their answer.  A session has state that belongs to no
 * role: cursors, prepared statements, advisory locks, settings, the mode of
 * constraints, and state of extensions.  The read-only subtransaction in which such
 * code runs protects only tables.  The rest is protected by these hooks, which work
 * without preload too:
 *
 * - executor: only SELECT without row locks is allowed, even if
 *   transaction_read_only is off, and also for temporary tables;
 * - utility: only the code's own cursors, DO and CALL are allowed;
 * - object access: volatile functions in C, which may change the session or the
 *   server, are refused, except those that are known to be harmless ("allowed").
 *   Functions that are not volatile but inspect the session are refused by name;
 * - planner: the same functions are refused before the planner itself calls them
 *   (confine_plan.c).
 *
 * Functions that can take arbitrarily long and cannot be interrupted are refused too.
 * Functions in SQL and in procedural languages consist of statements and function
 * calls, which these hooks see.  They do not see the settings in a function's SET
 * clause; the check hooks of those settings do.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "tcop/cmdtag.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "job/current.h"
#include "registry/confine.h"
#include "registry/confine_plan.h"
#include "store/catalog.h"

static object_access_hook_type	previous_access = NULL;
static ProcessUtility_hook_type previous_utility = NULL;
static ExecutorStart_hook_type	previous_executor = NULL;
static GucBoolCheckHook			previous_exit_on_error = NULL;
static GucIntCheckHook			previous_transaction_timeout = NULL;
static GucRealCheckHook			previous_seed = NULL;
static GucIntCheckHook			previous_parallel = NULL;
static GucStringCheckHook		previous_encoding = NULL;

static bool confined = false;

/* Volatile functions of PostgreSQL that are allowed because they have no effect on others. */
static const char *const allowed[] = {
	"clock_timestamp",
	"gen_random_uuid",
	"pg_sleep",
	"random",
	"random_normal",
	"timeofday",
	"uuidv4",
	"uuidv7",
};

/* Volatile functions of taskq that are allowed. */
static const char *const allowed_of_taskq[] = {
	"current_job",
	"raise_permanent",
	"raise_retryable",
	"retry_delay",
};

/* Functions of PostgreSQL that are refused because they inspect the session. */
static const char *const refused[] = {
	"current_setting",
	"inet_client_addr",
	"inet_client_port",
	"inet_server_addr",
	"inet_server_port",
	"pg_client_encoding",
	"pg_current_xact_id", /* also assigns an id to the caller's transaction */
	"pg_current_xact_id_if_assigned",
	"pg_cursor",
	"pg_event_trigger_ddl_commands",
	"pg_event_trigger_dropped_objects",
	"pg_event_trigger_table_rewrite_oid",
	"pg_event_trigger_table_rewrite_reason",
	"pg_is_other_temp_schema",
	"pg_listening_channels",
	"pg_my_temp_schema",
	"pg_prepared_statement",
	"pg_show_all_settings",
	"pg_trigger_depth",
	"txid_current",
	"txid_current_if_assigned",
};

/* Functions that can take arbitrarily long and cannot be interrupted. */
static const char *const endless[] = {
	"xmlexists",
	"xpath",
	"xpath_exists",
};

static void
Refuse(int sqlstate, const char *what)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s is not allowed in users' code outside handlers", what),
			 errdetail("Validators, payload types and retry functions run in the session of another role, which they can neither change nor inspect."),
			 errhint("Use only the arguments and the contents of tables.")));
}

static void
RefuseEndless(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("%s is not allowed in users' code outside handlers", what),
			 errdetail("Validators, payload types and retry functions run in the session of another role, and this cannot be interrupted."),
			 errhint("Let the handler do it.")));
}

/* functions ---------------------------------------------------------------- */

static bool
IsAmong(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static bool
ReachesSession(Form_pg_proc proc)
{
	const char *name = NameStr(proc->proname);

	if (proc->provolatile == PROVOLATILE_IMMUTABLE ||
		(proc->prolang != INTERNALlanguageId && proc->prolang != ClanguageId))
		return false;
	if (proc->provolatile != PROVOLATILE_VOLATILE)
		return proc->pronamespace == PG_CATALOG_NAMESPACE && IsAmong(name, refused, lengthof(refused));
	if (proc->pronamespace == PG_CATALOG_NAMESPACE)
		return !IsAmong(name, allowed, lengthof(allowed));
	return proc->pronamespace != CatalogSchema() || !IsAmong(name, allowed_of_taskq, lengthof(allowed_of_taskq));
}

/* Return whether a function is in the list "endless", or belongs to the extension xml2. */
static bool
IsEndless(HeapTuple tuple)
{
	Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(tuple);
	Datum		 library;
	bool		 isnull;

	if (proc->pronamespace == PG_CATALOG_NAMESPACE)
		return IsAmong(NameStr(proc->proname), endless, lengthof(endless));
	if (proc->prolang != ClanguageId)
		return false;
	library = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_probin, &isnull);
	return !isnull && strstr(TextDatumGetCString(library), "pgxml") != NULL;
}

/*
 * Raise an error if confined code may not call this function.  It is called when a
 * function is about to be used in an expression, and for each function in a query
 * that is about to be planned.
 */
void
ConfineCheckFunction(Oid function)
{
	HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	bool	  reaches;
	bool	  is_endless;

	if (!HeapTupleIsValid(tuple))
		return;
	reaches = ReachesSession((Form_pg_proc) GETSTRUCT(tuple));
	is_endless = IsEndless(tuple);
	ReleaseSysCache(tuple);
	if (reaches)
		Refuse(ERRCODE_INSUFFICIENT_PRIVILEGE, psprintf("function %s", format_procedure(function)));
	if (is_endless)
		RefuseEndless(psprintf("function %s", format_procedure(function)));
}

static void
ConfineAccess(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_access)
		previous_access(access, class_id, object_id, sub_id, arg);
	if (confined && access == OAT_FUNCTION_EXECUTE)
		ConfineCheckFunction(object_id);
}

/* statements --------------------------------------------------------------- */

static bool
IsAllowed(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CallStmt:
		case T_DeclareCursorStmt:
		case T_DoStmt:
		case T_FetchStmt:
			return true;
		case T_ClosePortalStmt:
			return ((ClosePortalStmt *) statement)->portalname != NULL;
		default:
			return false;
	}
}

static void
ConfineUtility(PlannedStmt *pstmt, const char *query, bool read_only_tree,
			   ProcessUtilityContext context, ParamListInfo params,
			   QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	if (confined && !IsAllowed(pstmt->utilityStmt))
		Refuse(ERRCODE_INSUFFICIENT_PRIVILEGE, CreateCommandName(pstmt->utilityStmt));
	if (previous_utility)
		previous_utility(pstmt, query, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(pstmt, query, read_only_tree, context, params, environment, dest, completion);
}

static void
ConfineExecutor(QueryDesc *query, int eflags)
{
	if (confined && (query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE ||
					 query->plannedstmt->rowMarks != NIL))
		Refuse(ERRCODE_READ_ONLY_SQL_TRANSACTION,
			   query->operation == CMD_SELECT && query->plannedstmt->rowMarks != NIL ? "locking rows" : "writing");
	if (previous_executor)
		previous_executor(query, eflags);
	else
		standard_ExecutorStart(query, eflags);
}

/* settings ----------------------------------------------------------------- */

/*
 * Return whether a setting that makes an error or a timeout end the session may be
 * set.  No code that taskq runs may set it: not even a handler, because its error
 * would be lost with the worker.
 */
static bool
MaySetEnd(bool to_end)
{
	if (!to_end || !CurrentRuns())
		return true;
	GUC_check_errcode(ERRCODE_CANT_CHANGE_RUNTIME_PARAM);
	GUC_check_errdetail("Code that taskq runs must not make an error or a timeout end the session.");
	return false;
}

static bool
CheckExitOnError(bool *value, void **extra, GucSource source)
{
	return MaySetEnd(*value) && (previous_exit_on_error == NULL || previous_exit_on_error(value, extra, source));
}

static bool
CheckTransactionTimeout(int *value, void **extra, GucSource source)
{
	return MaySetEnd(*value != 0) &&
		   (previous_transaction_timeout == NULL || previous_transaction_timeout(value, extra, source));
}

/* The check hook of "seed": setting it is the same as calling setseed(). */
static bool
CheckSeed(double *value, void **extra, GucSource source)
{
	if (confined)
	{
		GUC_check_errcode(ERRCODE_CANT_CHANGE_RUNTIME_PARAM);
		GUC_check_errdetail("Users' code outside handlers must not choose the random numbers of the session.");
		return false;
	}
	return previous_seed == NULL || previous_seed(value, extra, source);
}

/*
 * The check hook of max_parallel_workers_per_gather.  Confined code gets no parallel
 * workers, because nothing is refused in those processes.
 */
static bool
CheckParallel(int *value, void **extra, GucSource source)
{
	if (confined)
		*value = 0;
	return previous_parallel == NULL || previous_parallel(value, extra, source);
}

/* The check hook of client_encoding: a change would reach the client of the session. */
static bool
CheckEncoding(char **value, void **extra, GucSource source)
{
	if (confined)
	{
		GUC_check_errcode(ERRCODE_CANT_CHANGE_RUNTIME_PARAM);
		GUC_check_errdetail("Users' code outside handlers must not change the encoding of the session's client.");
		return false;
	}
	return previous_encoding == NULL || previous_encoding(value, extra, source);
}

static void
WrapCheckHooks(void)
{
	struct config_generic *encoding = GucFind_compat("client_encoding");
	struct config_generic *parallel = GucFind_compat("max_parallel_workers_per_gather");
	struct config_generic *exit_on_error = GucFind_compat("exit_on_error");
	struct config_generic *seed = GucFind_compat("seed");
	struct config_generic *transaction_timeout = GucFind_compat("transaction_timeout");

	if (exit_on_error == NULL || seed == NULL || parallel == NULL || encoding == NULL)
		elog(ERROR, "could not find the settings that users' code may not change");
	previous_exit_on_error = GUC_BOOL_compat(exit_on_error)->check_hook;
	GUC_BOOL_compat(exit_on_error)->check_hook = CheckExitOnError;
	previous_seed = GUC_REAL_compat(seed)->check_hook;
	GUC_REAL_compat(seed)->check_hook = CheckSeed;
	previous_parallel = GUC_INT_compat(parallel)->check_hook;
	GUC_INT_compat(parallel)->check_hook = CheckParallel;
	previous_encoding = GUC_STRING_compat(encoding)->check_hook;
	GUC_STRING_compat(encoding)->check_hook = CheckEncoding;
	if (transaction_timeout == NULL)
		return;
	previous_transaction_timeout = GUC_INT_compat(transaction_timeout)->check_hook;
	GUC_INT_compat(transaction_timeout)->check_hook = CheckTransactionTimeout;
}

/* the planner -------------------------------------------------------------- */

bool
ConfineIsOn(void)
{
	return confined;
}

/*
 * Refuse a command that writes before its functions are checked.  Otherwise the
 * error might be about a function in a column's default instead.
 */
void
ConfineCheckCommand(CmdType command)
{
	if (command != CMD_SELECT)
		Refuse(ERRCODE_READ_ONLY_SQL_TRANSACTION, "writing");
}

void
ConfineRefuseXmlTable(void)
{
	RefuseEndless("XMLTABLE");
}

/* begin and end ------------------------------------------------------------ */

/* Install the hooks, when the library is loaded. */
void
ConfineInit(void)
{
	previous_access = object_access_hook;
	object_access_hook = ConfineAccess;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = ConfineUtility;
	previous_executor = ExecutorStart_hook;
	ExecutorStart_hook = ConfineExecutor;
	ConfinePlanInit();
	WrapCheckHooks();
}

/* Begin to confine the code that runs.  The caller must call ConfineEnd() in any case, also after an error. */
void
ConfineBegin(Confinement *confinement)
{
	confinement->confined = confined;
	PortalsHide(&confinement->hidden);
	confined = true;
}

void
ConfineEnd(Confinement *confinement)
{
	confined = confinement->confined;
	PortalsShow(&confinement->hidden);
}
