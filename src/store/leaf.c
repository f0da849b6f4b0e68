/*
 * leaf.c
 *	  Leaves: partitions for each day on which rows expire.  With them, rows of any
 *	  retention time are removed by dropping partitions.
 *
 * taskq writes into the leaf directly, never through the parent.  Dropping a leaf
 * needs a lock on the parent for a moment, and in a busy queue the parent would
 * never be free if rows were written through it.  While the leaf of a day does not
 * exist, rows are written to the overflow leaf.  Leaves are created only when they
 * are needed, so that none exist when a dump is restored, which contains its own.
 */
#include "taskq.h"

#include "catalog/pg_inherits.h"
#include "storage/lmgr.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "base/clock.h"
#include "base/log_pace.h"
#include "shared/locks.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/leaf.h"
#include "store/owner.h"
#include "store/rights.h"

/*
 * Retention of more than DAYS_EXACT days is rounded up to multiples of DAYS_ROUNDED
 * days.
 */
#define DAYS_EXACT 31
#define DAYS_ROUNDED 10

/* days --------------------------------------------------------------------- */

/* Return the day of a time, in UTC. */
static DateADT
DayOf(TimestampTz moment)
{
	int64 day = moment / USECS_PER_DAY;

	if (moment % USECS_PER_DAY < 0)
		day--;
	return (DateADT) day;
}

/* Return when the next day begins.  Leaves may have expired then. */
TimestampTz
LeafNextDay(void)
{
	return ((int64) DayOf(ClockNow()) + 1) * USECS_PER_DAY;
}

/*
 * Return the first day on which a row that is written at this time may be removed.
 * This is never today, so its leaf is not being dropped.
 */
DateADT
LeafDay(TimestampTz moment, int64 retention)
{
	DateADT today = DayOf(moment);
	DateADT day = DayOf(moment + retention) + 1;

	if (day - today > DAYS_EXACT + 1)
		day = (day + DAYS_ROUNDED - 1) / DAYS_ROUNDED * DAYS_ROUNDED;
	return day;
}

static void
LeafName(char *name, const LeafTable *table, DateADT day)
{
	struct pg_tm tm;

	j2date(day + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	snprintf(name, NAMEDATALEN, "%s_%04d%02d%02d", table->name, tm.tm_year, tm.tm_mon, tm.tm_mday);
}

/*
 * Return the OID of the relation that has the name of a day's leaf, or InvalidOid.
 * The name is kept for the next call, which is mostly for the same day.
 */
static Oid
NamedAsLeaf(const LeafTable *table, DateADT day)
{
	static char				name[NAMEDATALEN];
	static const LeafTable *of_table = NULL;
	static DateADT			of_day;

	if (table != of_table || day != of_day)
		LeafName(name, table, day);
	of_table = table;
	of_day = day;
	return get_relname_relid(name, CatalogSchema());
}

/*
 * The leaf that was found last.  Most rows go to the same leaf as the last one, and the
 * catalog takes longer to find it than the row takes to be formed.
 */
static struct
{
	const LeafTable *table;
	DateADT			 day;
	Oid				 relid; /* InvalidOid if there is none */
} last_leaf;

/* Forget the last leaf if its relation has changed, or if "relid" is InvalidOid. */
void
LeafInvalidate(Oid relid)
{
	if (!OidIsValid(relid) || relid == last_leaf.relid)
		last_leaf.relid = InvalidOid;
}

/*
 * Return the leaf of a day, or InvalidOid.  A relation that only has the name of a
 * leaf, but is no partition, is ignored.  The leaf may have been dropped meanwhile.
 */
Oid
LeafOfDay(const LeafTable *table, DateADT day)
{
	Oid named;

	if (OidIsValid(last_leaf.relid) && table == last_leaf.table && day == last_leaf.day)
		return last_leaf.relid;
	named = NamedAsLeaf(table, day);
	if (!OidIsValid(named) || !get_rel_relispartition(named))
		return InvalidOid;
	last_leaf.table = table;
	last_leaf.day = day;
	last_leaf.relid = named;
	return named;
}

/* Have the scheduler create missing leaves. */
void
LeafWant(void)
{
	if (ShmemMyDatabase() != NULL)
		pg_atomic_write_u32(&ShmemMyDatabase()->leaves_wanted, 1);
	WakeSchedulerAt(ClockNow());
}

/*
 * Open the leaf for a row with this retention time, and set "expires_on" to the
 * row's partition key.
 */
void
LeafOpenForRow(Store *leaf, const LeafTable *table, TimestampTz now, int64 retention, DateADT *expires_on)
{
	Oid of_day;

	*expires_on = LeafDay(now, retention);
	of_day = LeafOfDay(table, *expires_on);
	if (OidIsValid(of_day) && StoreOpenLeaf(leaf, table->parent, of_day))
		return;
	LeafInvalidate(of_day);
	if (!OidIsValid(NamedAsLeaf(table, *expires_on)))
		LeafWant();
	*expires_on = DATEVAL_NOBEGIN;
	StoreOpenRel(leaf, table->overflow);
}

/* Insert the rows of a batch, and close its leaves. */
void
LeafBatchWrite(LeafBatch *batch)
{
	for (int i = 0; i < batch->n; i++)
	{
		StoreInsertGathered(&batch->leaves[i].store, NULL);
		StoreClose(&batch->leaves[i].store, true);
	}
	batch->n = 0;
}

/*
 * Return the leaf for a row with this retention time, whose rows are gathered in a batch,
 * and set "expires_on" to the row's partition key.
 */
Store *
LeafBatchFor(LeafBatch *batch, const LeafTable *table, TimestampTz now, int64 retention, DateADT *expires_on)
{
	DateADT day = LeafDay(now, retention);
	int		i = 0;

	while (i < batch->n && batch->leaves[i].day != day)
		i++;
	if (i == LEAF_BATCH_MAX)
	{
		LeafBatchWrite(batch);
		i = 0;
	}
	if (i == batch->n)
	{
		LeafOpenForRow(&batch->leaves[i].store, table, now, retention, &batch->leaves[i].expires_on);
		batch->leaves[i].day = day;
		batch->n++;
	}
	*expires_on = batch->leaves[i].expires_on;
	return &batch->leaves[i].store;
}

/*
 * Take the lock for creating and dropping leaves, until the transaction ends.
 * Returns false if another transaction holds the lock.  Without the lock, we would
 * wait for a transaction that creates a leaf of the same name.
 */
bool
LeafCare(bool wait)
{
	return LockKey(LOCK_CARE, 0, true, wait);
}

/* leaves ------------------------------------------------------------------- */

static int
CompareOidsBackwards(const void *a, const void *b)
{
	Oid left = *(const Oid *) a;
	Oid right = *(const Oid *) b;

	return (left < right) - (left > right);
}

/* List all leaves, newest first, because new leaves are looked for most often. */
Oid *
LeafList(const LeafTable *table, int *n)
{
	List	 *children = find_inheritance_children(CatalogRel(table->parent), NoLock);
	Oid		 *leaves = palloc(sizeof(Oid) * (list_length(children) + 1));
	ListCell *cell;

	*n = 0;
	foreach (cell, children)
		leaves[(*n)++] = lfirst_oid(cell);
	qsort(leaves, *n, sizeof(Oid), CompareOidsBackwards);
	return leaves;
}

/* Warn that another relation has the name of a leaf. */
static void
WarnOfName(const LeafTable *table, const char *name)
{
	if (!LogIsDue(psprintf("partition of %s", table->name)))
		return;
	ereport(WARNING,
			(errcode(ERRCODE_DUPLICATE_TABLE),
			 errmsg("taskq cannot make a partition of taskq.%s, as another relation is called \"%s\"", table->name, name),
			 errdetail("Rows of that day stay in taskq.%s_overflow meanwhile.", table->name),
			 errhint("Move it to another schema, for example by ALTER TABLE taskq.%s SET SCHEMA public.", name)));
}

/*
 * Create the leaf of a day and attach it.  This takes no lock that conflicts with
 * writers.  The caller is the owner, in SPI.
 */
LeafMaking
LeafMake(const LeafTable *table, DateADT day)
{
	Oid	  named = NamedAsLeaf(table, day);
	char  name[NAMEDATALEN];
	char *from = DatumGetCString(DirectFunctionCall1(date_out, DateADTGetDatum(day)));
	char *to = DatumGetCString(DirectFunctionCall1(date_out, DateADTGetDatum(day + 1)));

	AssertOwner();
	Assert(LockKeyIsHeld(LOCK_CARE, 0, true));
	LeafName(name, table, day);
	if (OidIsValid(named) && get_rel_relispartition(named))
		return LEAF_IS_THERE;
	if (OidIsValid(named))
	{
		WarnOfName(table, name);
		return LEAF_NAME_IS_TAKEN;
	}
	OwnerExecute(psprintf("CREATE TABLE taskq.%s (LIKE taskq.%s INCLUDING ALL, PRIMARY KEY (%s))",
						  name, table->name, table->key),
				 0, NULL, NULL, NULL);
	if (table->index != NULL)
		OwnerExecute(psprintf("CREATE INDEX ON taskq.%s (%s) WITH (deduplicate_items = off)", name, table->index), 0, NULL, NULL, NULL);
	OwnerExecute(psprintf("ALTER TABLE taskq.%s ATTACH PARTITION taskq.%s FOR VALUES FROM ('%s') TO ('%s')",
						  table->name, name, from, to),
				 0, NULL, NULL, NULL);
	CommandCounterIncrement();
	RightsRevokeOnTables(name);
	return LEAF_IS_MADE;
}

/* Return the name of a leaf whose day is over, or NULL. */
char *
LeafExpired(const LeafTable *table)
{
	int		n;
	Oid	   *leaves = LeafList(table, &n);
	DateADT today = DayOf(ClockNow());
	int		length = strlen(table->name);

	for (int i = 0; i < n; i++)
	{
		char *name = get_rel_name(leaves[i]);
		int	  year;
		int	  month;
		int	  day;

		if (name != NULL && strncmp(name, table->name, length) == 0 &&
			sscanf(name + length, "_%4d%2d%2d", &year, &month, &day) == 3 &&
			date2j(year, month, day) - POSTGRES_EPOCH_JDATE < today)
			return name;
	}
	return NULL;
}

/*
 * Take the locks for dropping or emptying a leaf, if all are available without
 * waiting.  If we waited for a lock, every query of the table would wait behind us.
 */
bool
LeafIsFree(const LeafTable *table, Oid leaf)
{
	return ConditionalLockRelationOid(CatalogRel(table->parent), AccessExclusiveLock) &&
		   ConditionalLockRelationOid(leaf, AccessExclusiveLock);
}

/*
 * Drop a leaf if the locks are available without waiting.  Otherwise, the caller
 * tries again later.
 */
void
LeafDrop(const LeafTable *table, const char *name)
{
	Assert(LockKeyIsHeld(LOCK_CARE, 0, true));
	if (LeafIsFree(table, get_relname_relid(name, CatalogSchema())))
		OwnerExecute(psprintf("DROP TABLE taskq.%s", name), 0, NULL, NULL, NULL);
}
