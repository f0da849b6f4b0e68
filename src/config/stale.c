/*
 * stale.c
 *	  What has changed in the configuration since it was read into memory.
 *
 * A process learns of changes of rows in these ways:
 *
 * - Its own: ConfigNameChanged() and its like note the key, and the cache reads the
 *	 row again by it.  When the subtransaction or transaction is rolled back, or
 *	 prepared, the row is read once more.
 * - Commits of others: the ring in shared memory tells the keys (shared/news.c).  It
 *	 is written before the commit releases its locks.
 * - COMMIT PREPARED, and everything in servers without shared memory: an
 *	 invalidation of the table, which is part of the commit.  All rows are read.
 * - DDL, such as TRUNCATE or DROP EXTENSION: the same.
 * - On a standby: an invalidation of REL_NEWS.  All tables are read again.
 *
 * Whether a handler can run depends on functions, schemas and roles besides.  Those
 * that a judgement has used are watched, by the hash values that invalidations of
 * system caches bring: a change of any other function costs nothing.
 */
#include "taskq.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/guc.h"
#include "config/stale.h"
#include "shared/shmem.h"
#include "shared/wake.h"
#include "store/catalog.h"

/* A change that this transaction has made. */
typedef struct Note
{
	int		 level; /* of the subtransaction */
	TaskqRel rel;
	bool	 all_rows;
	NewsKey	 key;
} Note;

#define MAX_PUSHED (NEWS_KEPT / 4) /* by one commit; beyond that, whole tables */

/* In the order of their levels. */
static Note *notes = NULL;
static int	 n_notes = 0;
static int	 max_notes = 0;
static bool	 telling = false; /* the invalidation that arrives is our own */

#define MAX_CACHES 8
static StaleRows *caches[MAX_CACHES];
static int		  n_caches = 0;

static uint64 config_version = 1;
static uint64 table_versions[TASKQ_RELS];
static uint64 code_version = 1;
static uint64 judgement_version = 1;

static bool read_in_recovery = false; /* something was */
static bool superusers_seen = false;  /* the setting that handlers were judged by */

/* Hash values of watched entries of system caches, with the cache's number. */
static HTAB	 *watched = NULL;
static uint32 my_database_hash = 0; /* 0: not known */

/* marks -------------------------------------------------------------------- */

static void
Rejudge(void)
{
	judgement_version++;
	config_version++;
}

static void
MarkTable(TaskqRel rel)
{
	config_version++;
	table_versions[rel]++;
	if (rel == REL_HANDLERS)
		code_version++;
	if (rel == REL_INSTALLATION)
		judgement_version++;
	for (int i = 0; i < n_caches; i++)
		if (caches[i]->rel == rel)
			caches[i]->all = true;
}

static void
MarkEverything(void)
{
	for (TaskqRel rel = 0; rel < TASKQ_RELS; rel++)
		MarkTable(rel);
}

/* Mark one row; the arrays have room where it was reserved, else the table is marked. */
static void
MarkRow(TaskqRel rel, const NewsKey *key)
{
	config_version++;
	table_versions[rel]++;
	if (rel == REL_HANDLERS)
		code_version++;
	for (int i = 0; i < n_caches; i++)
	{
		StaleRows *rows = caches[i];

		if (rows->rel != rel || rows->all)
			continue;
		if (rows->n > 0 && memcmp(&rows->keys[rows->n - 1], key, sizeof(NewsKey)) == 0)
			continue;
		if (rows->n == rows->max)
			rows->all = true;
		else
			rows->keys[rows->n++] = *key;
	}
}

/* Have room to mark so many rows more of a table. */
static void
Reserve(TaskqRel rel, int more)
{
	for (int i = 0; i < n_caches; i++)
	{
		StaleRows *rows = caches[i];
		int		   max = Max(64, 2 * (rows->n + more));

		if (rows->rel != rel || rows->n + more <= rows->max)
			continue;
		rows->keys = rows->keys == NULL ? MemoryContextAllocHuge(TopMemoryContext, max * sizeof(NewsKey)) : repalloc_huge(rows->keys, max * sizeof(NewsKey));
		rows->max = max;
	}
}

/* Have a cache's rows marked from now on. */
void
StaleWatch(StaleRows *rows)
{
	if (rows->is_watched)
		return;
	Assert(n_caches < MAX_CACHES);
	rows->all = true;
	rows->is_watched = true;
	caches[n_caches++] = rows;
}

/* changes of this transaction ---------------------------------------------- */

/*
 * Have the command's changes visible, and tell others at commit.  What our own
 * invalidation says is known already.
 */
static void
Tell(TaskqRel rel)
{
	CacheInvalidateRelcacheByRelid(CatalogRel(NewsPresent() ? REL_NEWS : rel));
	telling = true;
	CommandCounterIncrement();
	telling = false;
	WakeConfigChanged();
}

static void
AddNote(TaskqRel rel, const NewsKey *key)
{
	if (n_notes == max_notes)
	{
		int max = Max(16, 2 * max_notes);

		notes = notes == NULL ? MemoryContextAllocHuge(TopMemoryContext, max * sizeof(Note)) : repalloc_huge(notes, max * sizeof(Note));
		max_notes = max;
	}
	if (key != NULL)
		Reserve(rel, n_notes + 2); /* for each note once, and for this change */
	notes[n_notes] = (Note){ GetCurrentTransactionNestLevel(), rel, key == NULL };
	if (key != NULL)
		notes[n_notes].key = *key;
	n_notes++;
}

static void
RowChanged(TaskqRel rel, const NewsKey *key)
{
	AddNote(rel, key);
	Tell(rel);
	MarkRow(rel, key);
}

void
ConfigNameChanged(TaskqRel rel, const char *name)
{
	NewsKey key = { 0 };

	Assert(strlen(name) < sizeof(key.bytes));
	strlcpy(key.bytes, name, sizeof(key.bytes));
	RowChanged(rel, &key);
}

void
ConfigNumberChanged(TaskqRel rel, int32 number)
{
	NewsKey key = { 0 };

	memcpy(key.bytes, &number, sizeof(number));
	RowChanged(rel, &key);
}

void
ConfigRowsChanged(TaskqRel rel)
{
	AddNote(rel, NULL);
	Tell(rel);
	MarkTable(rel);
}

void
ConfigAnythingChanged(void)
{
	static const TaskqRel tables[] = { REL_QUEUES, REL_HANDLERS, REL_ROUTES, REL_POOLS, REL_GRANTS, REL_INSTALLATION };

	for (int i = 0; i < lengthof(tables); i++)
		ConfigRowsChanged(tables[i]);
}

/* What was read since a note was made may not be there any more.  Cannot fail. */
static void
Undo(int first)
{
	for (int i = first; i < n_notes; i++)
		if (notes[i].all_rows)
			MarkTable(notes[i].rel);
		else
			MarkRow(notes[i].rel, &notes[i].key);
	n_notes = first;
}

/* Is there a note of this table before the one at a place? */
static bool
IsNotedBefore(int at, TaskqRel rel)
{
	for (int i = 0; i < at; i++)
		if (notes[i].rel == rel)
			return true;
	return false;
}

/* Tell the other processes.  Cannot fail. */
static void
Push(void)
{
	for (int i = 0; i < n_notes; i++)
	{
		if (n_notes <= MAX_PUSHED)
			NewsPush(notes[i].rel, notes[i].all_rows ? NULL : &notes[i].key);
		else if (i < MAX_PUSHED ? !IsNotedBefore(i, notes[i].rel) : notes[i].rel != notes[i - 1].rel)
			NewsPush(notes[i].rel, NULL);
	}
	n_notes = 0;
}

/* The invalidations of the tables are kept with the prepared transaction. */
static void
InvalidateTables(void)
{
	for (int i = 0; i < n_notes; i++)
		if ((i == 0 || notes[i].rel != notes[i - 1].rel) &&
			SearchSysCacheExists1(RELOID, ObjectIdGetDatum(RelOid(notes[i].rel))))
			CacheInvalidateRelcacheByRelid(RelOid(notes[i].rel));
}

static void
AtTransactionEnd(XactEvent event, void *arg)
{
	telling = false;
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
		telling = false;
		Undo(first);
	}
	for (int i = first; i < n_notes; i++)
		notes[i].level = level - 1;
}

/* changes of others -------------------------------------------------------- */

static void
ReadItem(const NewsItem *item)
{
	if (item->table == NEWS_ALL_TABLES)
		MarkEverything();
	else if (item->all_rows)
		MarkTable(item->table);
	else
	{
		Reserve(item->table, n_notes + 1);
		MarkRow(item->table, &item->key);
	}
}

/* A relation of ours was invalidated.  Cannot fail. */
static void
WatchRelations(TaskqRel rel)
{
	if (telling)
		return;
	if (rel == TASKQ_RELS)
	{
		MarkEverything();
		code_version++;
		judgement_version++;
	}
	else if (rel != REL_NEWS)
		MarkTable(rel);
	else if (!NewsPresent() || RecoveryInProgress())
		MarkEverything();
}

/* Learn of all that has changed up to now. */
void
StaleLook(void)
{
	NewsRead(ReadItem);

	/* messages of the time before the promotion are not in the ring */
	if (read_in_recovery && !RecoveryInProgress())
	{
		read_in_recovery = false;
		MarkEverything();
	}
	if (superusers_seen != taskq_allow_superuser_handlers)
	{
		superusers_seen = taskq_allow_superuser_handlers;
		Rejudge();
	}
}

/*
 * Learn of all changes that were committed before this call, for a decision that
 * must go by them.
 *
 * A change becomes visible before the news of it is sent.  So its transaction
 * announces it before it commits and withdraws that when the news has been sent
 * (wake.c).  A caller that finds an announcement does not know on which side of the
 * commit it is, and reads everything anew.  A caller that finds none is either before
 * the commit or after the news.  Without preload there are no announcements, and a
 * change may be missed until its COMMIT returns.
 */
void
ConfigCatchUp(void)
{
	bool commits = ShmemConfigCommits();

	AcceptInvalidationMessages();
	if (!commits)
		return;
	MarkEverything();
	CatalogOutdateWorkers();
}

/* Have everything read again by this process. */
void
StaleEverything(void)
{
	MarkEverything();
}

/* Rows are about to be read. */
void
StaleReading(void)
{
	if (RecoveryInProgress())
		read_in_recovery = true;
}

/* watch -------------------------------------------------------------------- */

static uint64
WatchKey(int cacheid, uint32 hash)
{
	return ((uint64) cacheid << 32) | hash;
}

static void
Watch(int cacheid, uint32 hash)
{
	uint64	key = WatchKey(cacheid, hash);
	HASHCTL ctl = { .keysize = sizeof(uint64), .entrysize = sizeof(uint64), .hcxt = TopMemoryContext };

	if (watched == NULL)
		watched = hash_create("taskq watched", 256, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	if (my_database_hash == 0)
		my_database_hash = GetSysCacheHashValue1(DATABASEOID, ObjectIdGetDatum(MyDatabaseId));
	(void) hash_search(watched, &key, HASH_ENTER, NULL);
}

void
WatchFunction(Oid function)
{
	Watch(PROCOID, GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(function)));
}

void
WatchFunctionName(Oid schema, const char *name, int n_args, const Oid *args)
{
	Watch(PROCNAMEARGSNSP, GetSysCacheHashValue3(PROCNAMEARGSNSP, CStringGetDatum(name), PointerGetDatum(buildoidvector(args, n_args)),
												 ObjectIdGetDatum(schema)));
}

void
WatchSchema(Oid schema)
{
	Watch(NAMESPACEOID, GetSysCacheHashValue1(NAMESPACEOID, ObjectIdGetDatum(schema)));
}

void
WatchSchemaName(const char *name)
{
	Watch(NAMESPACENAME, GetSysCacheHashValue1(NAMESPACENAME, CStringGetDatum(name)));
}

/* An entry of a system cache has changed; hash 0: any may have. */
static void
InvalidateWatched(Datum arg, int cacheid, uint32 hash)
{
	uint64 key = WatchKey(cacheid, hash);

	if (cacheid == PROCOID)
		code_version++;
	if (hash == 0 || (watched != NULL && hash_search(watched, &key, HASH_FIND, NULL) != NULL))
		Rejudge();
}

/* A role, who is a member of it, or the right to connect has changed. */
static void
InvalidateByRole(Datum arg, int cacheid, uint32 hash)
{
	if (cacheid != DATABASEOID || hash == 0 || my_database_hash == 0 || hash == my_database_hash)
		Rejudge();
}

/* versions ----------------------------------------------------------------- */

uint64
ConfigVersion(void)
{
	StaleLook();
	return config_version;
}

uint64
ConfigTableVersion(TaskqRel rel)
{
	StaleLook();
	return table_versions[rel];
}

uint64
ConfigCodeVersion(void)
{
	StaleLook();
	return code_version;
}

uint64
ConfigJudgementVersion(void)
{
	StaleLook();
	return judgement_version;
}

void
StaleInit(void)
{
	for (TaskqRel rel = 0; rel < TASKQ_RELS; rel++)
		table_versions[rel] = 1;
	CatalogWatch(WatchRelations);
	RegisterXactCallback(AtTransactionEnd, NULL);
	RegisterSubXactCallback(AtSubtransactionEnd, NULL);
	CacheRegisterSyscacheCallback(PROCOID, InvalidateWatched, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCNAMEARGSNSP, InvalidateWatched, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, InvalidateWatched, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACENAME, InvalidateWatched, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, InvalidateByRole, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, InvalidateByRole, (Datum) 0);
	CacheRegisterSyscacheCallback(DATABASEOID, InvalidateByRole, (Datum) 0);
}
