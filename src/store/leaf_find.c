/*
 * leaf_find.c
 *	  Finding the leaves in which a row with a given id may be.
 *
 * A table may have hundreds of leaves, and to search an id in the index of each takes
 * milliseconds.  But ids are given out in order, so the leaf of a day has the ids of
 * some days.  Each process therefore keeps the list of the leaves, and the lowest and
 * the highest id in the index of each.
 *
 * What is kept is not only a hint: a leaf is left out only if its index cannot have the
 * id.  Next to an id we keep where its page is in the shared buffers, and the page's
 * LSN.  Whoever inserts a lower or higher id, by whatever means, changes that page, and
 * with it the LSN.  To look at the LSN needs no lock and does not open the leaf.  If the
 * page has changed or has left the buffers, the ids of this leaf are read again.
 *
 * The caller takes its snapshot first.  A row that the snapshot sees was put into the
 * index before that, so the page that we look at afterwards shows it.  The leaf of such
 * a row is in the list, too: a leaf can be written to only after the transaction that
 * has created it has released its locks, and before that it sends the invalidation of
 * its parent, which we accept.
 */
#include "taskq.h"

#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "store/leaf_find.h"

/* The page at one end of an index, as it was when its first or last id was read. */
typedef struct IndexEnd
{
	Buffer		buffer;
	BlockNumber block;
	XLogRecPtr	lsn;
	int64		id;
} IndexEnd;

typedef struct KnownLeaf
{
	Oid					  relid;
	Oid					  index; /* of its key, when the ids were read */
	bool				  known; /* the ids were read, and the leaf and its index are the same */
	RelFileLocator_compat file;	 /* of the index */
	IndexEnd			  lowest;
	IndexEnd			  highest;
} KnownLeaf;

static struct
{
	Oid		   parent; /* InvalidOid: there is no list */
	bool	   valid;  /* the table has the same leaves as when they were listed */
	int		   n;
	KnownLeaf *leaves;
} list = { InvalidOid };

/* the list ------------------------------------------------------------------- */

/*
 * A relation has changed, or any relation if "relid" is InvalidOid.  This is called by
 * invalidations, so it must not fail and not read the catalog.
 */
void
LeafFindInvalidate(Oid relid)
{
	if (!OidIsValid(relid) || relid == list.parent)
		list.valid = false;
	for (int i = 0; i < list.n; i++)
		if (list.leaves[i].relid == relid || list.leaves[i].index == relid)
			list.leaves[i].known = false;
}

/* List the leaves again.  If an error ends this, there is no list. */
static void
ReadList(const LeafTable *table)
{
	Oid	 parent = CatalogRel(table->parent);
	int	 n;
	Oid *leaves;

	list.parent = InvalidOid;
	list.n = 0;
	list.valid = true; /* first, so that an invalidation that arrives meanwhile counts */
	leaves = LeafList(table, &n);
	if (list.leaves == NULL)
		list.leaves = MemoryContextAlloc(TopMemoryContext, sizeof(KnownLeaf) * Max(n, 1));
	else
		list.leaves = repalloc(list.leaves, sizeof(KnownLeaf) * Max(n, 1));
	memset(list.leaves, 0, sizeof(KnownLeaf) * Max(n, 1));
	for (int i = 0; i < n; i++)
		list.leaves[i].relid = leaves[i];
	list.n = n;
	list.parent = parent;
	pfree(leaves);
}

/* Make sure that the list has all leaves of the snapshot that the caller has taken. */
static void
UpdateList(const LeafTable *table)
{
	AcceptInvalidationMessages();
	while (!list.valid || list.parent != CatalogRel(table->parent))
		ReadList(table);
}

/* ids in an index ------------------------------------------------------------ */

/*
 * Read the id at one end of an index whose first column is the id.  An index without
 * entries has the id "none".  If the page at the end has no entries, but others may
 * have, the id is "open".
 */
static void
ReadEnd(Relation index, IndexEnd *end, bool highest, int64 none, int64 open)
{
	Buffer		 buffer = _bt_get_endpoint_compat(index, highest);
	bool		 has_root = BufferIsValid(buffer);
	Page		 page;
	BTPageOpaque opaque;

	/* the first entry of an index changes its metapage */
	if (!has_root)
		buffer = _bt_getbuf(index, BTREE_METAPAGE, BT_READ);
	page = BufferGetPage(buffer);
	opaque = BTPageGetOpaque(page);
	end->buffer = buffer;
	end->block = BufferGetBlockNumber(buffer);
	end->lsn = PageGetLSN(page);
	if (!has_root)
		end->id = none;
	else if (PageGetMaxOffsetNumber(page) >= P_FIRSTDATAKEY(opaque))
	{
		OffsetNumber offset = highest ? PageGetMaxOffsetNumber(page) : P_FIRSTDATAKEY(opaque);
		IndexTuple	 entry = (IndexTuple) PageGetItem(page, PageGetItemId(page, offset));
		bool		 isnull;

		end->id = DatumGetInt64(index_getattr(entry, 1, RelationGetDescr(index), &isnull));
	}
	else
		end->id = P_LEFTMOST(opaque) && P_RIGHTMOST(opaque) ? none : open;
	_bt_relbuf(index, buffer);
}

/*
 * Open a leaf and the index of its key.  Returns NULL if it is not a leaf any more or
 * has no such index.
 */
static Relation
OpenWithIndex(Oid leaf, Relation *index)
{
	Relation rel = try_table_open(leaf, AccessShareLock);
	Oid		 key = rel == NULL ? InvalidOid : RelationGetPrimaryKeyIndex_compat(rel);

	if (rel != NULL && (!rel->rd_rel->relispartition || !OidIsValid(key)))
	{
		table_close(rel, AccessShareLock);
		return NULL;
	}
	if (rel != NULL)
		*index = index_open(key, AccessShareLock);
	return rel;
}

/*
 * Read which ids the index of a leaf has.  Returns false if the leaf is gone.  The
 * pages of an index whose changes are not logged keep their LSN, so its ids are not
 * known.
 */
static bool
ReadIds(KnownLeaf *leaf)
{
	Relation index;
	Relation rel = OpenWithIndex(leaf->relid, &index);

	leaf->known = false;
	if (rel == NULL)
		return false;
	leaf->index = RelationGetRelid(index);
	leaf->file = RelationFile_compat(index);
	leaf->lowest.id = PG_INT64_MIN;
	leaf->highest.id = PG_INT64_MAX;
	if (index->rd_rel->relam == BTREE_AM_OID && RelationNeedsWAL(index))
	{
		ReadEnd(index, &leaf->lowest, false, PG_INT64_MAX, PG_INT64_MIN);
		ReadEnd(index, &leaf->highest, true, PG_INT64_MIN, PG_INT64_MAX);
		leaf->known = true;
	}
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return true;
}

static bool
IsUnchanged(const KnownLeaf *leaf, const IndexEnd *end)
{
	bool same;

	if (!ReadRecentBuffer(leaf->file, MAIN_FORKNUM, end->block, end->buffer))
		return false;
	same = BufferGetLSNAtomic(end->buffer) == end->lsn;
	ReleaseBuffer(end->buffer);
	return same;
}

static bool
IsWithin(const KnownLeaf *leaf, int64 id)
{
	return id >= leaf->lowest.id && id <= leaf->highest.id;
}

/* Is it certain that the leaf does not have the id, without opening it? */
static bool
SurelyLacks(const KnownLeaf *leaf, int64 id)
{
	if (!leaf->known)
		return false;
	return (id > leaf->highest.id && IsUnchanged(leaf, &leaf->highest)) ||
		   (id < leaf->lowest.id && IsUnchanged(leaf, &leaf->lowest));
}

/* searching ------------------------------------------------------------------ */

/*
 * Order leaves by their highest ids.  Most rows are kept equally long, so the leaf in
 * which an id is mostly has only ids that are a little higher.
 */
static int
CompareHighest(const void *a, const void *b)
{
	int64 left = (*(KnownLeaf *const *) a)->highest.id;
	int64 right = (*(KnownLeaf *const *) b)->highest.id;

	return (left > right) - (left < right);
}

/*
 * Return the leaves in which a row with this id may be, the likeliest first.  The
 * caller has taken the snapshot of its search.  A leaf may be dropped at any time.
 */
Oid *
LeavesWithId(const LeafTable *table, int64 id, int *n)
{
	KnownLeaf **found;
	Oid		   *leaves;

	UpdateList(table);
	found = palloc(sizeof(KnownLeaf *) * (list.n + 1));
	*n = 0;
	for (int i = 0; i < list.n; i++)
	{
		KnownLeaf *leaf = &list.leaves[i];

		if (leaf->known && IsWithin(leaf, id))
			found[(*n)++] = leaf;
		else if (!SurelyLacks(leaf, id) && ReadIds(leaf) && IsWithin(leaf, id))
			found[(*n)++] = leaf;
	}
	if (*n > 1)
		qsort(found, *n, sizeof(KnownLeaf *), CompareHighest);
	leaves = palloc(sizeof(Oid) * (*n + 1));
	for (int i = 0; i < *n; i++)
		leaves[i] = found[i]->relid;
	pfree(found);
	return leaves;
}

/*
 * Does the index of a leaf have an entry with this id?  This costs less than to open the
 * leaf for reading its rows.
 */
bool
LeafHasEntry(Oid leaf, int64 id, Snapshot snapshot)
{
	Relation	  index;
	Relation	  rel = OpenWithIndex(leaf, &index);
	IndexScanDesc scan;
	ScanKeyData	  key;
	bool		  found;

	if (rel == NULL)
		return false;
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(id));
	scan = index_beginscan_compat(rel, index, snapshot, 1);
	index_rescan(scan, &key, 1, NULL, 0);
	found = index_getnext_tid(scan, ForwardScanDirection) != NULL;
	index_endscan(scan);
	index_close(index, AccessShareLock);
	table_close(rel, AccessShareLock);
	return found;
}
