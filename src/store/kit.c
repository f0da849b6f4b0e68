/*
 * kit.c
 *	  Kits: the executor state for writing rows of a table, kept for later use.
 *
 * A kit consists of slots, the executor's state and its descriptions of the table's
 * indexes, with predicates and partition bounds that are ready to be evaluated.  To
 * create all of that takes longer than to write one row.  So a process keeps the
 * kits of the tables that it has used last.  The table and its indexes are still
 * opened and locked for each use.  A kit is created again when the table or one of
 * its indexes has changed, which a relcache invalidation reports, and is discarded
 * when an error has ended its use.  When an index becomes ready for inserts, only
 * the index itself is invalidated, not its table.
 */
#include "taskq.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "store/catalog.h"
#include "store/columns.h"
#include "store/find_index.h"
#include "store/kept.h"
#include "store/kit.h"

#define MAX_KITS 16 /* kits that a process keeps, a few kB each, or 130 kB if many rows were gathered */

static dlist_head kits = DLIST_STATIC_INIT(kits);
static int		  n_kits = 0;

/* Note which constraints of the table must be checked.  A set of columns has 64 at most. */
static void
DescribeConstraints(StoreKit *kit, TupleDesc desc)
{
	kit->simple = desc->constr == NULL || (desc->constr->num_check == 0 && !desc->constr->has_generated_stored);
	if (desc->natts > 64)
		kit->simple = false;
	for (int i = 0; i < desc->natts && i < 64; i++)
		if (TupleDescAttr(desc, i)->attnotnull)
			kit->not_null |= UINT64CONST(1) << i;
}

static StoreKit *
Make(Relation rel, TaskqRel table)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "taskq kit", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	StoreKit	 *kit = palloc0(sizeof(StoreKit));
	TupleDesc	  desc = CreateTupleDescCopyConstr(RelationGetDescr(rel)); /* a copy that is not reference-counted */

	kit->context = context;
	kit->relid = RelationGetRelid(rel);
	kit->table = table;
	kit->kept = true;
	kit->estate = CreateExecutorState();
	EvalPlanQualInit_compat(&kit->epq, kit->estate);
	kit->result = makeNode(ResultRelInfo);
	InitResultRelInfo(kit->result, rel, 0, NULL, 0);
	kit->found = MakeSingleTupleTableSlot(desc, table_slot_callbacks(rel));
	kit->row = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	kit->formed = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	kit->codec = CodecFor(table, desc);
	DescribeConstraints(kit, desc);
	MemoryContextSwitchTo(old);
	dlist_push_head(&kits, &kit->node);
	n_kits++;
	return kit;
}

/* Discard a kit.  An error may have left anything in it, so it is not examined. */
static void
Discard(StoreKit *kit)
{
	dlist_delete(&kit->node);
	n_kits--;
	MemoryContextDelete(kit->context);
}

/*
 * Take the kit of a table that was just opened, or of a leaf of a table.  Nobody else
 * uses the kit until it is returned.
 */
StoreKit *
KitTake(Relation rel, TaskqRel table)
{
	StoreKit		  *kit = NULL;
	dlist_mutable_iter i;

	dlist_foreach_modify (i, &kits)
	{
		StoreKit *candidate = dlist_container(StoreKit, node, i.cur);

		if (candidate->level > 0)
			continue;
		if (candidate->stale)
			Discard(candidate);
		else if (candidate->relid == RelationGetRelid(rel))
		{
			kit = candidate;
			break;
		}
	}
	if (kit == NULL)
	{
		CatalogCheckColumns(table, rel);
		kit = Make(rel, table);
	}
	else
		dlist_move_head(&kits, &kit->node);
	kit->level = GetCurrentTransactionNestLevel();
	kit->result->ri_RelationDesc = rel;
	return kit;
}

/* Return which rows are in an index of jobs. */
static IndexRows
RowsOfIndex(const StoreKit *kit, const IndexInfo *info)
{
	IndexRows all = { 0 };

	if (info->ii_Predicate == NIL || kit->table != REL_JOBS)
		return all;
	return IndexRowsOf((Node *) info->ii_Predicate, Anum_jobs_gate);
}

/*
 * Can we make the entries of an index without the executor?  We can in a b-tree of
 * columns that has all rows, or those with one value of "gate", or of these the ones with a
 * negative number.  While an index is being
 * built, the executor knows what to do with it.
 */
static bool
IsSimpleIndex(Relation index, const IndexInfo *info, char gate)
{
	return index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indimmediate && info->ii_ReadyForInserts &&
		   info->ii_Expressions == NIL && info->ii_ExclusionOps == NULL &&
		   (info->ii_Predicate == NIL || gate != '\0');
}

static void
DescribeIndex(StoreKit *kit, int i)
{
	const IndexInfo *info = kit->result->ri_IndexRelationInfo[i];
	Relation		 index = kit->result->ri_IndexRelationDescs[i];
	KitIndex		*described = &kit->indexes[i];
	IndexRows		 rows = RowsOfIndex(kit, info);

	described->relid = RelationGetRelid(index);
	described->gate = rows.gate;
	described->negative = rows.negative;
	described->last_column = rows.negative;
	for (int k = 0; k < info->ii_NumIndexAttrs; k++)
		described->last_column = Max(described->last_column, info->ii_IndexAttrNumbers[k]);
	if (index->rd_rel->relam != BTREE_AM_OID || info->ii_Expressions != NIL)
		kit->kept = false;
	if (!IsSimpleIndex(index, info, described->gate))
		kit->direct = false;
}

/*
 * Have the executor describe the indexes, on the first write.  Other index access
 * methods may cache things in the description, and expressions of indexes may call
 * users' functions.  A kit with such an index is used only once.
 */
static void
DescribeIndexes(StoreKit *kit)
{
	ResultRelInfo *result = kit->result;
	MemoryContext  old = MemoryContextSwitchTo(kit->context);

	kit->describing = true;
	ExecOpenIndices(result, false);
	kit->indexes = palloc0(sizeof(KitIndex) * (result->ri_NumIndices + 1));
	kit->direct = kit->simple;
	for (int i = 0; i < result->ri_NumIndices; i++)
		DescribeIndex(kit, i);
	kit->describing = false;
	MemoryContextSwitchTo(old);
}

/* Return an index of the table, opened to write to it. */
Relation
KitIndexRelation(StoreKit *kit, int i)
{
	Relation *index = &kit->result->ri_IndexRelationDescs[i];

	Assert(kit->indexes_open);
	if (*index == NULL)
		*index = KeptOpen(kit->indexes[i].relid, &kit->indexes[i].is_kept);
	if (*index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("an index of taskq's table \"%s\" was dropped while it was written to", RelationGetRelationName(kit->result->ri_RelationDesc)),
				 errhint("Try again.")));
	return *index;
}

/*
 * Prepare to write to the table's indexes.  The executor needs all of them open.  If we make
 * the entries, then most rows have an entry in only some of them, and the others are not
 * opened.
 */
void
KitOpenIndexes(StoreKit *kit)
{
	ResultRelInfo *result = kit->result;

	if (kit->indexes_open)
		return;
	kit->indexes_open = true;
	if (kit->indexes == NULL)
		DescribeIndexes(kit);
	else
		for (int i = 0; i < result->ri_NumIndices; i++)
		{
			result->ri_IndexRelationDescs[i] = NULL;
			if (!kit->direct)
				(void) KitIndexRelation(kit, i);
		}
}

/*
 * Close the indexes.  The locks on indexes of a leaf are kept until the transaction
 * ends, as is the lock on the leaf, because the next settle needs them again.
 * Those of other tables are released, because the transaction of an enqueue may
 * need many other locks, and only few locks can be taken by the cheap fast path.
 */
static void
CloseIndexes(StoreKit *kit)
{
	bool keep = kit->result->ri_RelationDesc->rd_rel->relispartition;

	if (!kit->indexes_open)
		return;
	for (int i = 0; i < kit->result->ri_NumIndices; i++)
	{
		Relation index = kit->result->ri_IndexRelationDescs[i];

		if (index == NULL)
			continue;
		if (keep)
			KeptNote(RelationGetRelid(index));
		index_insert_cleanup_compat(index, kit->result->ri_IndexRelationInfo[i]);
		index_close(index, keep || kit->indexes[i].is_kept ? NoLock : RowExclusiveLock);
	}
	kit->indexes_open = false;
}

/* Return the slot for the next row that is gathered. */
TupleTableSlot *
KitGatherSlot(StoreKit *kit)
{
	TupleTableSlot **slot = &kit->gathered[kit->n_gathered];

	Assert(kit->n_gathered < STORE_MAX_GATHERED);
	if (*slot == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(kit->context);

		*slot = MakeSingleTupleTableSlot(kit->row->tts_tupleDescriptor, &TTSOpsHeapTuple);
		MemoryContextSwitchTo(old);
	}
	kit->n_gathered++;
	return *slot;
}

/* Return a kit after use, before the table is closed. */
void
KitReturn(StoreKit *kit)
{
	Assert(kit->n_gathered == 0);
	ExecClearTuple(kit->found);
	ExecClearTuple(kit->row);
	ExecClearTuple(kit->formed);
	CloseIndexes(kit);
	kit->level = 0;
	if (!kit->kept || kit->stale)
	{
		EvalPlanQualEnd(&kit->epq);
		FreeExecutorState(kit->estate);
		Discard(kit);
		return;
	}
	ReScanExprContext(GetPerTupleExprContext(kit->estate));
	if (n_kits > MAX_KITS)
	{
		StoreKit *oldest = dlist_tail_element(StoreKit, node, &kits);

		if (oldest->level == 0)
			Discard(oldest);
	}
}

static bool
HasIndex(const StoreKit *kit, Oid relid)
{
	for (int i = 0; kit->indexes != NULL && i < kit->result->ri_NumIndices; i++)
		if (kit->indexes[i].relid == relid)
			return true;
	return false;
}

/*
 * Mark the kits as outdated that use a changed relation, or all kits if "relid" is
 * InvalidOid.
 */
void
KitInvalidate(Oid relid)
{
	dlist_iter i;

	dlist_foreach (i, &kits)
	{
		StoreKit *kit = dlist_container(StoreKit, node, i.cur);

		/* while indexes are being described, their OIDs are not known yet */
		if (!OidIsValid(relid) || kit->relid == relid || kit->describing || HasIndex(kit, relid))
			kit->stale = true;
	}
}

/*
 * Discard the kits that were taken at this subtransaction level or a deeper one,
 * because an error has ended their use.
 */
static void
DiscardUsed(int level)
{
	dlist_mutable_iter i;

	dlist_foreach_modify (i, &kits)
	{
		StoreKit *kit = dlist_container(StoreKit, node, i.cur);

		if (kit->level >= level)
			Discard(kit);
	}
}

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		DiscardUsed(1);
}

static void
AtSubtransactionEnd(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		DiscardUsed(GetCurrentTransactionNestLevel());
}

void
KitInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
}
