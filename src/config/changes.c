/*
 * changes.c
 *	  Keeping track of what this transaction changes in the configuration.
 *
 * Each change is noted with the nesting level of its subtransaction, and the row is
 * marked as stale in this process.  When the transaction ends:
 *
 * - At commit the notes are written to the ring in shared memory (shared/news.c),
 *	 from which other processes learn the keys of the rows.
 * - When the subtransaction or transaction is rolled back, the rows are marked once
 *	 more, because this process may have read them as they were changed.
 * - PREPARE TRANSACTION marks the rows once more as well.  The tables are invalidated
 *	 in the relation cache; PostgreSQL keeps such invalidations with the prepared
 *	 transaction and sends them at COMMIT PREPARED.
 *
 * A statement by hand, or a COPY, is noted as a change of the whole table before it is
 * executed (store/write_guard.c), if its session has loaded the library.  So the
 * restored rows of the configuration are announced as well.  Restored jobs are not.
 *
 * Callbacks at the end of a transaction cannot fail.  So the notes, and the room for
 * the marks of a rollback, are allocated when a change is noted.
 */
#include "taskq.h"

#include "access/xact.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/grow.h"
#include "config/changes.h"
#include "config/stale.h"
#include "shared/counts.h"
#include "shared/news.h"
#include "shared/wake.h"
#include "store/catalog.h"
#include "store/write_guard.h"

typedef struct Note
{
	int		 level; /* nesting level of the subtransaction */
	TaskqRel rel;
	bool	 all_rows; /* any row may have changed; otherwise only the row of the key */
	bool	 by_hand;  /* changed by a statement that is not taskq's own */
	NewsKey	 key;
} Note;

/* A commit with more changes than this announces only the tables. */
#define MAX_PUSHED (NEWS_KEPT / 4)

StaticAssertDecl(TASKQ_RELS <= 64, "a set of tables is a uint64");

/* Ordered by level, so the notes of the innermost subtransaction are the last ones. */
static Note *notes = NULL;
static int	 n_notes = 0;
static int	 max_notes = 0;

/* notes -------------------------------------------------------------------- */

/*
 * Make the changes of the command visible to this transaction, and announce them to
 * other processes at commit.  If there is a ring in shared memory, only standbys need
 * an invalidation, so REL_NEWS is invalidated instead of the table.
 */
static void
Tell(TaskqRel rel)
{
	TaskqRel invalidated = NewsPresent() ? REL_NEWS : rel;

	CacheInvalidateRelcacheByRelid(CatalogRel(invalidated));
	StaleExpect(invalidated);
	CommandCounterIncrement();
	StaleExpect(TASKQ_RELS);
	WakeConfigChanged();
}

/* Note a change of one row, or of any row if key is NULL. */
static void
AddNote(TaskqRel rel, const NewsKey *key)
{
	Note *note;

	Assert(IsTransactionState());
	notes = GrowArray(notes, sizeof(Note), &max_notes, n_notes + 1);
	if (key != NULL)
		StaleReserve(rel, n_notes + 2); /* for this change, and for each note at a rollback */
	note = &notes[n_notes];
	note->level = GetCurrentTransactionNestLevel();
	note->rel = rel;
	note->all_rows = key == NULL;
	note->by_hand = false;
	if (key != NULL)
		note->key = *key;
	n_notes++;
}

static void
RowChanged(TaskqRel rel, const NewsKey *key)
{
	AddNote(rel, key);
	Tell(rel);
	StaleMarkRow(rel, key);
}

/* Announce that this transaction has changed the row whose key is this name. */
void
ConfigNameChanged(TaskqRel rel, const char *name)
{
	NewsKey key = { 0 };

	Assert(strlen(name) < sizeof(key.bytes));
	strlcpy(key.bytes, name, sizeof(key.bytes));
	RowChanged(rel, &key);
}

/* Announce that this transaction has changed the row whose key is this number. */
void
ConfigNumberChanged(TaskqRel rel, int32 number)
{
	NewsKey key = { 0 };

	memcpy(key.bytes, &number, sizeof(number));
	RowChanged(rel, &key);
}

/* Announce that this transaction may have changed any row of the table. */
void
ConfigRowsChanged(TaskqRel rel)
{
	AddNote(rel, NULL);
	Tell(rel);
	StaleMarkTable(rel);
}

/* Announce that this transaction may have changed any row of any table. */
void
ConfigAnythingChanged(void)
{
	for (TaskqRel rel = 0; rel < TASKQ_RELS; rel++)
		if (StaleIsConfiguration(rel))
			ConfigRowsChanged(rel);
}

/* Has this transaction changed rows of the table? */
bool
ConfigHasChangedHere(TaskqRel rel)
{
	for (int i = 0; i < n_notes; i++)
		if (notes[i].rel == rel)
			return true;
	return false;
}

/* Has this transaction changed the row whose key is this number? */
bool
ConfigNumberHasChangedHere(TaskqRel rel, int32 number)
{
	NewsKey key = { 0 };

	memcpy(key.bytes, &number, sizeof(number));
	for (int i = 0; i < n_notes; i++)
		if (notes[i].rel == rel && !notes[i].all_rows && memcmp(&notes[i].key, &key, sizeof(key)) == 0)
			return true;
	return false;
}

/* Has the current subtransaction noted a statement by hand on this table already? */
static bool
IsNotedByHand(TaskqRel rel)
{
	int level = GetCurrentTransactionNestLevel();

	for (int i = n_notes - 1; i >= 0 && notes[i].level == level; i--)
		if (notes[i].rel == rel && notes[i].by_hand)
			return true;
	return false;
}

/*
 * Called before a statement by hand writes to a table.  Its changes become visible
 * when the statement has ended.  If rows are read before that, they are read again
 * when the transaction has ended, or after the next statement by hand.
 */
static void
WriteByHand(TaskqRel rel)
{
	if (rel == REL_WORKERS)
	{
		CacheInvalidateRelcacheByRelid(CatalogRel(rel));
		WakeConfigChanged();
	}
	if (rel == REL_JOBS)
		CountsDoubt();
	if (!StaleIsConfiguration(rel))
		return;
	if (!IsNotedByHand(rel))
	{
		AddNote(rel, NULL);
		notes[n_notes - 1].by_hand = true;
		CacheInvalidateRelcacheByRelid(CatalogRel(NewsPresent() ? REL_NEWS : rel));
		WakeConfigChanged();
	}
	StaleMarkTable(rel);
}

/* end of transaction ------------------------------------------------------- */

/* Mark the rows of the notes from "first" on again, and forget these notes. */
static void
Undo(int first)
{
	for (int i = first; i < n_notes; i++)
		if (notes[i].all_rows)
			StaleMarkTable(notes[i].rel);
		else
			StaleMarkRow(notes[i].rel, &notes[i].key);
	n_notes = first;
}

/* Return the set of tables that have notes, one bit for each. */
static uint64
NotedTables(void)
{
	uint64 tables = 0;

	for (int i = 0; i < n_notes; i++)
		tables |= UINT64CONST(1) << notes[i].rel;
	return tables;
}

static bool
IsIn(uint64 tables, TaskqRel rel)
{
	return (tables & (UINT64CONST(1) << rel)) != 0;
}

/* Announce the changes to the other processes. */
static void
Push(void)
{
	uint64 tables = n_notes > MAX_PUSHED ? NotedTables() : 0;

	for (TaskqRel rel = 0; rel < TASKQ_RELS; rel++)
		if (IsIn(tables, rel))
			NewsPush(rel, NULL);
	for (int i = 0; i < n_notes && tables == 0; i++)
		NewsPush(notes[i].rel, notes[i].all_rows ? NULL : &notes[i].key);
	for (int i = 0; i < n_notes; i++)
		if (notes[i].by_hand)
			StaleMarkTable(notes[i].rel);
	n_notes = 0;
}

/*
 * Invalidate the tables that have notes and still exist.  May fail, because the
 * transaction is not prepared yet.
 */
static void
InvalidateTables(void)
{
	uint64 tables = NotedTables();

	for (TaskqRel rel = 0; rel < TASKQ_RELS; rel++)
		if (IsIn(tables, rel) && SearchSysCacheExists1(RELOID, ObjectIdGetDatum(RelOid(rel))))
			CacheInvalidateRelcacheByRelid(RelOid(rel));
}

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	StaleExpect(TASKQ_RELS);
	if (n_notes == 0)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		InvalidateTables();
	else if (event == XACT_EVENT_COMMIT)
		Push();
	else if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		Undo(0);
}

static void
AtSubtransactionEnd(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int level = GetCurrentTransactionNestLevel();
	int first = n_notes;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (first > 0 && notes[first - 1].level >= level)
		first--;
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		StaleExpect(TASKQ_RELS);
		Undo(first);
	}
	for (int i = first; i < n_notes; i++)
		notes[i].level = level - 1;
}

void
ChangesInit(void)
{
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
	WriteGuardWatch(WriteByHand);
}
