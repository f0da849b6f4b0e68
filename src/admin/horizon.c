/*
 * horizon.c
 *	  Who keeps dead rows from being removed.
 *
 * A queue lives by its dead rows going away.  Whoever holds an old snapshot keeps
 * them all, of every table.  Claims by the ready list do not meet them, but the
 * tables grow, and whatever reads them from their head has to step over them.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "admin/horizon.h"
#include "base/clock.h"
#include "store/owner.h"

/*
 * The oldest holder in words, if it is older than a minute; NULL: there is none.
 * A replication slot has no age but in transactions.
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
