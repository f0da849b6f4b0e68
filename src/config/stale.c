/*
 * stale.c
 *	  Keeping track of which rows of the configuration must be read again.
 *
 * The caches (cache.c) register the rows that they keep.  A change marks rows as
 * stale, and raises the versions that it concerns.  A process learns of changes in
 * these ways:
 *
 * - Its own changes are marked when they are made, and again when they are rolled
 *	 back (changes.c).
 * - Commits of others write the keys of their rows to the ring in shared memory
 *	 (shared/news.c).  The ring is read before each look-up.
 * - COMMIT PREPARED, DDL such as TRUNCATE, and all commits in a server without shared
 *	 memory invalidate the table in the relation cache.  All its rows are marked.
 *	 Without the ring, invalidations are accepted before each look-up.
 * - On a standby, a commit arrives as an invalidation of REL_NEWS.  All rows of all
 *	 tables are marked.
 * - Changes of functions, schemas and roles mark no rows.  They raise the version of
 *	 judgements, by which handlers are judged again (depends_on.c).
 */
#include "taskq.h"

#include "access/xlog.h"
#include "utils/inval.h"

#include "base/grow.h"
#include "base/guc.h"
#include "config/stale.h"
#include "shared/shmem.h"
#include "store/catalog.h"

#define MAX_CACHES 12
static StaleRows *caches[MAX_CACHES];
static int		  n_caches = 0;

static uint64 config_version = 1;
static uint64 n_not_seen = 0; /* by how much ConfigCatchUp() has raised it without a change */
static uint64 table_versions[TASKQ_RELS];
static uint64 code_version = 1;
static uint64 judgement_version = 1;

static TaskqRel expected = TASKQ_RELS;	  /* see StaleExpect() */
static bool		read_in_recovery = false; /* rows were read before the standby was promoted */
static bool		superusers_seen = false;  /* the setting by which handlers were judged */

/* marks -------------------------------------------------------------------- */

/* Is the table a part of the configuration?  Changes of other tables are not announced. */
bool
StaleIsConfiguration(TaskqRel rel)
{
	return rel == REL_QUEUES || rel == REL_HANDLERS || rel == REL_ROUTES || rel == REL_POOLS || rel == REL_GRANTS ||
		   rel == REL_INSTALLATION || rel == REL_LIMITS || rel == REL_BUDGETS ||
		   rel == REL_BOUND_TENANTS;
}

/* Raise the versions that a change of rows of this table concerns. */
static void
RaiseVersions(TaskqRel rel)
{
	config_version++;
	table_versions[rel]++;
	if (rel == REL_HANDLERS)
		code_version++;
	if (rel == REL_INSTALLATION)
		judgement_version++;
}

/*
 * Any row of the table may have changed.  Routes contain the names of their queues
 * (route.c).  taskq does not rename queues, but a statement by hand may.
 */
void
StaleMarkTable(TaskqRel rel)
{
	Assert(StaleIsConfiguration(rel));
	RaiseVersions(rel);
	for (int i = 0; i < n_caches; i++)
		if (caches[i]->rel == rel || (rel == REL_QUEUES && caches[i]->rel == REL_ROUTES))
			caches[i]->all = true;
}

/* Any row of any table may have changed. */
void
StaleMarkEverything(void)
{
	for (TaskqRel rel = 0; rel < TASKQ_RELS; rel++)
		if (StaleIsConfiguration(rel))
			StaleMarkTable(rel);
}

/* A row has changed.  If there is no room for its key, the whole table is marked. */
void
StaleMarkRow(TaskqRel rel, const NewsKey *key)
{
	Assert(StaleIsConfiguration(rel));
	RaiseVersions(rel);
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

/* A function has changed. */
void
StaleMarkCode(void)
{
	code_version++;
}

/* Something has changed on which it depends whether handlers can run. */
void
StaleMarkJudgements(void)
{
	judgement_version++;
	config_version++;
}

/* Make room for the keys of "more" more rows of a table.  May fail. */
void
StaleReserve(TaskqRel rel, int more)
{
	for (int i = 0; i < n_caches; i++)
		if (caches[i]->rel == rel)
			caches[i]->keys = GrowArray(caches[i]->keys, sizeof(NewsKey), &caches[i]->max, caches[i]->n + more);
}

/* Register the rows of a cache, so that they are marked from now on. */
void
StaleWatch(StaleRows *rows)
{
	if (rows->is_watched)
		return;
	Assert(n_caches < MAX_CACHES);
	Assert(StaleIsConfiguration(rows->rel));
	rows->all = true;
	rows->is_watched = true;
	caches[n_caches++] = rows;
}

/* invalidations ------------------------------------------------------------ */

/*
 * Ignore the next invalidation of this relation.  It is this transaction's own, and
 * its rows are marked already.  With TASKQ_RELS no invalidation is ignored.  If the
 * invalidation of another transaction arrives first, that one is ignored, and our own
 * one marks the table, so no change is missed.
 */
void
StaleExpect(TaskqRel rel)
{
	expected = rel;
}

/*
 * Called when a relation of taskq's was invalidated, or with TASKQ_RELS, when all
 * were.  It does not read the catalog and cannot fail.
 */
static void
InvalidateRelation(TaskqRel rel)
{
	if (rel == TASKQ_RELS)
	{
		StaleMarkEverything();
		StaleMarkCode();
		StaleMarkJudgements();
	}
	else if (rel == expected)
		expected = TASKQ_RELS;
	else if (StaleIsConfiguration(rel))
		StaleMarkTable(rel);
	else if (rel == REL_NEWS && (!NewsPresent() || RecoveryInProgress()))
		StaleMarkEverything();
}

/* changes of others -------------------------------------------------------- */

static void
MarkItem(const NewsItem *item)
{
	if (item->table == NEWS_ALL_TABLES)
		StaleMarkEverything();
	else if (item->all_rows)
		StaleMarkTable(item->table);
	else
	{
		StaleReserve(item->table, 1);
		StaleMarkRow(item->table, &item->key);
	}
}

/* Mark all rows that other processes have changed up to now. */
void
StaleLook(void)
{
	/* if other processes write to no ring, their changes come as invalidations */
	if (!NewsPresent() || RecoveryInProgress())
		AcceptInvalidationMessages();
	NewsRead(MarkItem);

	/* changes from before the promotion of a standby are not in the ring */
	if (read_in_recovery && !RecoveryInProgress())
	{
		read_in_recovery = false;
		StaleMarkEverything();
	}
	if (superusers_seen != taskq_allow_superuser_handlers)
	{
		superusers_seen = taskq_allow_superuser_handlers;
		StaleMarkJudgements();
	}
}

/* Called before rows are read. */
void
StaleReading(void)
{
	if (RecoveryInProgress())
		read_in_recovery = true;
}

/*
 * Make sure that all changes that were committed before this call are seen, for a
 * decision that must not ignore them.
 *
 * A change becomes visible before it is added to the ring.  So its transaction
 * announces it before the commit, and withdraws the announcement when the change has
 * been added (wake.c).  A caller that finds an announcement does not know whether
 * the commit has happened yet, and reads everything again.  A caller that finds none
 * is either before the commit or after the change was added.  Without preload there
 * are no announcements, and a change may be missed until its COMMIT returns.
 */
void
ConfigCatchUp(void)
{
	bool   commits = ShmemConfigCommits();
	uint64 before;

	AcceptInvalidationMessages();
	if (!commits)
		return;
	before = config_version;
	StaleMarkEverything();
	n_not_seen += config_version - before;
	CatalogOutdateWorkers();
}

/* Return a number that every change raises when it is seen, but ConfigCatchUp() does not. */
uint64
ConfigChanges(void)
{
	StaleLook();
	return config_version - n_not_seen;
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
	CatalogWatch(InvalidateRelation);
}
