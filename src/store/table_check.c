/*
 * table_check.c
 *	  Checking, before taskq's tables are used, that no code of users is attached to
 *	  them.
 *
 * table_guard.c refuses such code when it is created.  But in a server without
 * preload, it does not see what sessions do that have not loaded this library.
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "store/catalog.h"
#include "store/table_check.h"

/* The tables that were checked, and whether all are still unchanged. */
static Oid *checked = NULL;
static int	n_checked = 0;
static int	max_checked = 0;
static bool all_checked = false;

static void
RefuseToUse(Relation rel, const char *what, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table %s.%s has %s", TASKQ_SCHEMA, RelationGetRelationName(rel), what),
			 errdetail("Its code would run as the extension's owner, so the tables of taskq take none."),
			 errhint("%s", hint)));
}

/* Check a table before it is read or written as the owner. */
void
TableCheck(Relation rel)
{
	if (rel->trigdesc != NULL)
		RefuseToUse(rel, "a trigger", "Drop the trigger, or the foreign key that refers to the table.");
	if (rel->rd_rules != NULL)
		RefuseToUse(rel, "a rule", "Drop the rule.");
	if (rel->rd_rel->relrowsecurity)
		RefuseToUse(rel, "row-level security", "ALTER TABLE ... DISABLE ROW LEVEL SECURITY.");
}

static void
Remember(Oid relid)
{
	if (n_checked == max_checked)
	{
		max_checked = max_checked == 0 ? 64 : 2 * max_checked;
		checked = checked == NULL ? MemoryContextAlloc(TopMemoryContext, max_checked * sizeof(Oid)) : repalloc(checked, max_checked * sizeof(Oid));
	}
	checked[n_checked++] = relid;
}

/*
 * Check a table by its flags in pg_class.  Tables without these flags have nothing
 * attached; a flag may be set although there is nothing any more.
 */
static void
CheckTable(Oid relid)
{
	HeapTuple	  tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	bool		  suspect;
	bool		  parent;

	if (!HeapTupleIsValid(tuple))
		return;
	Remember(relid);
	form = (Form_pg_class) GETSTRUCT(tuple);
	suspect = form->relhastriggers || form->relhasrules || form->relrowsecurity;
	parent = form->relkind == RELKIND_PARTITIONED_TABLE;
	ReleaseSysCache(tuple);
	if (suspect)
	{
		Relation rel = RelationIdGetRelation(relid);

		if (RelationIsValid(rel))
		{
			TableCheck(rel);
			RelationClose(rel);
		}
	}
	if (parent)
	{
		ListCell *cell;

		foreach (cell, find_inheritance_children(relid, NoLock))
			CheckTable(lfirst_oid(cell));
	}
}

/* Check that the columns of a table are those that this library knows. */
static void
CheckColumnsOf(TaskqRel rel, Oid relid)
{
	Relation opened = RelationIdGetRelation(relid);

	if (!RelationIsValid(opened))
		return;
	CatalogCheckColumns(rel, opened);
	RelationClose(opened);
}

/* Check all tables before statements use them as the owner. */
void
TableCheckAll(void)
{
	if (all_checked)
		return;

	/* set this first, so that an invalidation during the check clears it */
	all_checked = true;
	n_checked = 0;
	PG_TRY();
	{
		for (TaskqRel rel = 0; rel < TASKQ_RELS; rel++)
		{
			Oid	 relid = CatalogRelIfThere(rel);
			char kind = get_rel_relkind(relid);

			if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
				continue;
			CheckTable(relid);
			if (CatalogMatches())
				CheckColumnsOf(rel, relid);
		}
	}
	PG_CATCH();
	{
		all_checked = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

static void
TableChanged(Datum arg, Oid relid)
{
	if (!OidIsValid(relid))
		all_checked = false;
	for (int i = 0; i < n_checked && all_checked; i++)
		if (checked[i] == relid)
			all_checked = false;
}

void
TableCheckInit(void)
{
	CacheRegisterRelcacheCallback(TableChanged, (Datum) 0);
}
