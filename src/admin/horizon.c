/*
 * horizon.c
 *	  Find out who keeps dead rows from being removed.
 *
 * A queue makes many dead rows, and needs them to be removed.  An old snapshot
 * prevents that for all tables.  Claims through the ready list do not meet dead rows,
 * but the tables grow, and scans from the head of an index must skip the dead
 * entries.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "admin/horizon.h"
#include "base/clock.h"
#include "store/owner.h"

/*
 * Return a description of the session, prepared transaction or replication slot that
 * holds the oldest snapshot, or NULL.  Sessions and prepared transactions count if
 * they are older than a minute.  The age of a replication slot is known only in
 * transactions, so it counts if it is older than 10000 of them.
 */
char *
HorizonHolder(void)
{
	Oid			  types[] = { TIMESTAMPTZOID };
	Datum		  values[] = { TimestampTzGetDatum(ClockNow()) };
	MemoryContext caller = CurrentMemoryContext;
	char		 *holder = NULL;
	OwnerScope	  scope;

	OwnerEnterSpi(&scope);
	if (OwnerExecute("SELECT format('%s, %s transactions ago', holder, age) FROM ("
					 " SELECT format('session of %s, pid %s%s, since %s s', COALESCE(usename, '?'), pid,"
					 "   COALESCE(', ' || NULLIF(application_name, ''), ''), EXTRACT(epoch FROM $1 - xact_start)::bigint) AS holder,"
					 "  age(backend_xmin) AS age"
					 " FROM pg_stat_activity"
					 " WHERE pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker' AND xact_start < $1 - interval '1 min'"
					 "  AND (datname = current_database() OR datname IS NULL)"
					 " UNION ALL"
					 " SELECT format('prepared transaction %s of %s, since %s s', gid, owner, EXTRACT(epoch FROM $1 - prepared)::bigint), age(transaction)"
					 " FROM pg_prepared_xacts"
					 " WHERE database = current_database() AND prepared < $1 - interval '1 min'"
					 " UNION ALL"
					 " SELECT format('replication slot %s', slot_name), age(xmin)"
					 " FROM pg_replication_slots WHERE age(xmin) > 10000) h"
					 " WHERE age IS NOT NULL ORDER BY age DESC LIMIT 1",
					 1, types, values, NULL) > 0)
		holder = MemoryContextStrdup(caller, SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1));
	OwnerLeaveSpi(&scope);
	return holder;
}
