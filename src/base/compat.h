/*
 * compat.h
 *	  The differences between PostgreSQL versions.  No other file tests the version.
 *
 * This file has more than 400 lines, as it has the differences of all other files.
 */
#ifndef TASKQ_COMPAT_H
#define TASKQ_COMPAT_H

#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "optimizer/pathnode.h"
#include "optimizer/plancat.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "tcop/pquery.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/regproc.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "taskq needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 180000
#define TASKQ_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "taskq", .version = TASKQ_VERSION)
#else
#define TASKQ_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* Since version 19, signal handlers have arguments that SIG_DFL does not have. */
#if PG_VERSION_NUM < 190000
#define PG_SIG_DFL SIG_DFL
#endif

/* The name of this macro has changed, in minor releases, too. */
#ifndef pg_attribute_always_inline
#define pg_attribute_always_inline pg_always_inline
#endif

/* Return this process's index in arrays that have one entry for each process. */
static inline int
MyProcIndex_compat(void)
{
#if PG_VERSION_NUM >= 170000
	return MyProcNumber;
#else
	return MyProc->pgprocno;
#endif
}

static inline void
EvalPlanQualInit_compat(EPQState *epq, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL);
#else
	EvalPlanQualInit(epq, estate, NULL, NIL, -1);
#endif
}

static inline IndexScanDesc
index_beginscan_compat(Relation heap, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 190000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0, 0);
#elif PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(heap, index, snapshot, nkeys, 0);
#endif
}

static inline TableScanDesc
table_beginscan_compat(Relation rel, Snapshot snapshot)
{
#if PG_VERSION_NUM >= 190000
	return table_beginscan(rel, snapshot, 0, NULL, SO_NONE);
#else
	return table_beginscan(rel, snapshot, 0, NULL);
#endif
}

/*
 * From 19 on, a tranche gets its name when it is made.  In older versions each
 * process registers the name, by RegisterTranche_compat().
 */
static inline int
NewTranche_compat(const char *name)
{
#if PG_VERSION_NUM >= 190000
	return LWLockNewTrancheId(name);
#else
	return LWLockNewTrancheId();
#endif
}

static inline void
RegisterTranche_compat(int tranche, const char *name)
{
#if PG_VERSION_NUM < 190000
	LWLockRegisterTranche(tranche, name);
#endif
}

/* Does this transaction hold a lock of this mode on a table? */
static inline bool
HoldsRelationLock_compat(Oid relid, LOCKMODE mode)
{
	LOCKTAG tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(&tag, mode, false);
#else
	return LockHeldByMe(&tag, mode);
#endif
}

static inline HTAB *
ShmemInitHash_compat(const char *name, int entries, HASHCTL *ctl, int flags)
{
#if PG_VERSION_NUM >= 190000
	return ShmemInitHash(name, entries, ctl, flags);
#else
	return ShmemInitHash(name, entries, entries, ctl, flags);
#endif
}

/* PostgreSQL raises an error for an object that has just been dropped; here nobody may use it. */
static inline bool
MayExecute_compat(Oid function, Oid role)
{
	if (!SearchSysCacheExists1(PROCOID, ObjectIdGetDatum(function)))
		return false;
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

static inline bool
MayUseType_compat(Oid type, Oid role)
{
	if (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type)))
		return false;
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(TypeRelationId, type, role, ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_type_aclcheck(type, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

static inline bool
MayConnect_compat(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, database, role, ACL_CONNECT) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}

static inline bool
OwnsExtension_compat(Oid extension, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(ExtensionRelationId, extension, role);
#else
	return pg_extension_ownercheck(extension, role);
#endif
}

static inline bool
OwnsDatabase_compat(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

/* Return whether "member" may SET ROLE to "role".  From 16 on, a membership can exclude that. */
static inline bool
MayActAs_compat(Oid member, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return member_can_set_role(member, role);
#else
	return is_member_of_role(member, role);
#endif
}

/* Return whether a background worker can only connect as a role that has LOGIN. */
static inline bool
WorkerNeedsLogin_compat(void)
{
#if PG_VERSION_NUM >= 170000
	return false;
#else
	return true;
#endif
}

static inline void
WorkerConnect_compat(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 170000
	BackgroundWorkerInitializeConnectionByOid(database, role, BGWORKER_BYPASS_ROLELOGINCHECK);
#else
	BackgroundWorkerInitializeConnectionByOid(database, role, 0);
#endif
}

static inline List *
stringToQualifiedNameList_compat(const char *string)
{
#if PG_VERSION_NUM >= 160000
	return stringToQualifiedNameList(string, NULL);
#else
	return stringToQualifiedNameList(string);
#endif
}

/* Finish a descriptor after its last attribute was added. */
static inline void
TupleDescFinalize_compat(TupleDesc desc)
{
#if PG_VERSION_NUM >= 190000
	TupleDescFinalize(desc);
#endif
}

static inline Oid
RelationGetPrimaryKeyIndex_compat(Relation rel)
{
#if PG_VERSION_NUM >= 180000
	return RelationGetPrimaryKeyIndex(rel, false);
#else
	return RelationGetPrimaryKeyIndex(rel);
#endif
}

static inline bool
LockHeldByMe_compat(const LOCKTAG *tag, LOCKMODE mode)
{
#if PG_VERSION_NUM >= 170000
	return LockHeldByMe(tag, mode, false);
#else
	return LockHeldByMe(tag, mode);
#endif
}

/* Run a top-level portal to completion. */
static inline void
PortalRun_compat(Portal portal, DestReceiver *dest)
{
#if PG_VERSION_NUM >= 180000
	(void) PortalRun(portal, FETCH_ALL, true, dest, dest, NULL);
#else
	(void) PortalRun(portal, FETCH_ALL, true, true, dest, dest, NULL);
#endif
}

/*
 * Update a row that nobody else can have changed.  Returns whether the new version needs
 * entries in all indexes that are no summaries of pages.
 */
static inline bool
simple_table_tuple_update_compat(Relation rel, ItemPointer tid, TupleTableSlot *slot, Snapshot snapshot)
{
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes which;

	simple_table_tuple_update(rel, tid, slot, snapshot, &which);
	return which == TU_All;
#else
	bool all;

	simple_table_tuple_update(rel, tid, slot, snapshot, &all);
	return all;
#endif
}

/* Delete a version of a row, and wait for another transaction that has locked it. */
static inline TM_Result
table_tuple_delete_compat(Relation rel, ItemPointer tid, CommandId command, Snapshot snapshot, TM_FailureData *failure)
{
#if PG_VERSION_NUM >= 190000
	return table_tuple_delete(rel, tid, command, 0, snapshot, InvalidSnapshot, true, failure);
#else
	return table_tuple_delete(rel, tid, command, snapshot, InvalidSnapshot, true, failure, false);
#endif
}

/* Tell an index that no more rows are inserted, before it is closed.  Up to 16, no index needs that. */
static inline void
index_insert_cleanup_compat(Relation index, IndexInfo *info)
{
#if PG_VERSION_NUM >= 170000
	index_insert_cleanup(index, info);
#endif
}

/* Find a setting by its name.  Returns NULL if this version has none of that name. */
static inline struct config_generic *
GucFind_compat(const char *name)
{
#if PG_VERSION_NUM >= 160000
	return find_option(name, false, true, 0);
#else
	struct config_generic **all = get_guc_variables();

	for (int i = 0; i < GetNumConfigOptions(); i++)
		if (strcmp(all[i]->name, name) == 0)
			return all[i];
	return NULL;
#endif
}

/*
 * The part of a setting that depends on its type.  Up to 18, each type has a struct
 * that begins with the common part.
 */
#if PG_VERSION_NUM >= 190000
#define GUC_BOOL_compat(setting) (&(setting)->_bool)
#define GUC_INT_compat(setting) (&(setting)->_int)
#define GUC_REAL_compat(setting) (&(setting)->_real)
#define GUC_STRING_compat(setting) (&(setting)->_string)
#define GUC_ENUM_compat(setting) (&(setting)->_enum)
#else
#define GUC_BOOL_compat(setting) ((struct config_bool *) (setting))
#define GUC_INT_compat(setting) ((struct config_int *) (setting))
#define GUC_REAL_compat(setting) ((struct config_real *) (setting))
#define GUC_STRING_compat(setting) ((struct config_string *) (setting))
#define GUC_ENUM_compat(setting) ((struct config_enum *) (setting))
#endif

/*
 * The arguments of ExecutorCheckPerms_hook, and the list of what is checked.  Up to
 * 15, that is the range table itself.
 */
#if PG_VERSION_NUM >= 160000
#define CHECK_PERMS_ARGS_COMPAT List *range_table, List *permissions, bool ereport_on_violation
#define CHECK_PERMS_PASS_COMPAT range_table, permissions, ereport_on_violation
#define CHECK_PERMS_LIST_COMPAT permissions
typedef RTEPermissionInfo CheckedRelation_compat;
#else
#define CHECK_PERMS_ARGS_COMPAT List *range_table, bool ereport_on_violation
#define CHECK_PERMS_PASS_COMPAT range_table, ereport_on_violation
#define CHECK_PERMS_LIST_COMPAT range_table
typedef RangeTblEntry CheckedRelation_compat;
#endif

/*
 * The hook that the planner calls for each table of a query after it has read the
 * table's properties.  Since version 19, it is called for other range table entries, too.
 */
#if PG_VERSION_NUM >= 190000
#define relation_info_hook_compat build_simple_rel_hook
typedef build_simple_rel_hook_type relation_info_hook_type_compat;
#define RELATION_INFO_ARGS_COMPAT PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *rte
#define RELATION_INFO_PASS_COMPAT root, rel, rte
#define RELATION_INFO_OID_COMPAT (rte->rtekind == RTE_RELATION ? rte->relid : InvalidOid)
#else
#define relation_info_hook_compat get_relation_info_hook
typedef get_relation_info_hook_type relation_info_hook_type_compat;
#define RELATION_INFO_ARGS_COMPAT PlannerInfo *root, Oid relid, bool is_parent, RelOptInfo *rel
#define RELATION_INFO_PASS_COMPAT root, relid, is_parent, rel
#define RELATION_INFO_OID_COMPAT relid
#endif

/* The arguments of planner_hook and standard_planner(). */
#if PG_VERSION_NUM >= 190000
#define PLANNER_ARGS_COMPAT Query *parse, const char *query_string, int cursor_options, ParamListInfo params, struct ExplainState *es
#define PLANNER_PASS_COMPAT parse, query_string, cursor_options, params, es
#else
#define PLANNER_ARGS_COMPAT Query *parse, const char *query_string, int cursor_options, ParamListInfo params
#define PLANNER_PASS_COMPAT parse, query_string, cursor_options, params
#endif

/* From 18 on, functions in SQL are compiled once in a session, as those in PL/pgSQL are. */
#define KEEPS_SQL_FUNCTIONS_COMPAT (PG_VERSION_NUM >= 180000)

/* Return whether a table function is XMLTABLE.  From 17 on, it can also be JSON_TABLE. */
static inline bool
IsXmlTable_compat(const TableFunc *table)
{
#if PG_VERSION_NUM >= 170000
	return table->functype == TFT_XMLTABLE;
#else
	return true;
#endif
}

/* Return log_min_messages.  From 19 on, each type of process has its own value. */
static inline int
LogMinMessages_compat(void)
{
#if PG_VERSION_NUM >= 190000
	return log_min_messages[MyBackendType];
#else
	return log_min_messages;
#endif
}

/* How many transactions with an id have ended; guarded by ProcArrayLock. */
static inline uint64
EndedTransactions_compat(void)
{
#if PG_VERSION_NUM >= 170000
	return TransamVariables->xactCompletionCount;
#else
	return ShmemVariableCache->xactCompletionCount;
#endif
}

/* Names the file of a relation. */
#if PG_VERSION_NUM >= 160000
typedef RelFileLocator RelFileLocator_compat;
#define RelationFile_compat(rel) ((rel)->rd_locator)
#else
typedef RelFileNode RelFileLocator_compat;
#define RelationFile_compat(rel) ((rel)->rd_node)
#endif

/* Return the first or last leaf page of a b-tree, locked for reading, or InvalidBuffer if it has no pages. */
static inline Buffer
_bt_get_endpoint_compat(Relation index, bool rightmost)
{
#if PG_VERSION_NUM >= 170000
	return _bt_get_endpoint(index, 0, rightmost);
#else
	return _bt_get_endpoint(index, 0, rightmost, NULL);
#endif
}

/*
 * Note that the first n columns of the tuple in a slot are in the slot's arrays, and that the
 * tuple's next column comes after "end" bytes.  All of them have a fixed length and are not
 * NULL.  From 19 on, a slot has another state, and the server's function reads them.
 */
static inline void
SlotSetRead_compat(TupleTableSlot *slot, AttrNumber n, Size end)
{
#if PG_VERSION_NUM < 190000
	((HeapTupleTableSlot *) slot)->off = end;
	slot->tts_flags &= ~TTS_FLAG_SLOW;
	slot->tts_nvalid = n;
#endif
}

/*
 * Declarations from libpq/libpq.h.  We do not include it, because it needs the
 * headers of the Kerberos library with which the server was built.
 */
struct WaitEventSet;
extern PGDLLIMPORT struct WaitEventSet *FeBeWaitSet;
extern bool								pq_check_connection(void);
#define CLIENT_SOCKET_POS_COMPAT 0
#define CLIENT_EVENTS_COMPAT 3 /* FeBeWaitSet has: the socket, the latch, the death of the postmaster */

/*
 * Return a wait event.  From 17 on, extensions can name their wait events; "cached"
 * keeps the number of the named event and is 0 before the first call.
 */
static inline uint32
WaitEvent_compat(uint32 *cached, const char *name)
{
#if PG_VERSION_NUM >= 170000
	if (*cached == 0)
		*cached = WaitEventExtensionNew(name);
	return *cached;
#else
	return PG_WAIT_EXTENSION;
#endif
}

#endif /* TASKQ_COMPAT_H */
