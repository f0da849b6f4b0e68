/*
 * injection_point.c
 *	  Injection points: places where a process waits for as long as a test wants.
 *	  They exist only in builds with TESTING=1.
 */
#include "taskq.h"

#ifdef TASKQ_TESTING

#include "catalog/pg_collation.h"
#include "fmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/guc.h"
#include "base/injection_point.h"

/*
 * Wait at a named place if this session has set taskq.injection_point to its name.
 * The caller must not hold an LWLock or a spinlock.  The wait lasts as long as the test
 * wants, whatever lock_timeout is.
 */
void
InjectionPoint(const char *name)
{
	Datum key;
	int	  lock_timeout = LockTimeout;

	if (taskq_injection_point == NULL || strcmp(taskq_injection_point, name) != 0)
		return;
	key = Int64GetDatum(DatumGetInt32(DirectFunctionCall1Coll(hashtext, DEFAULT_COLLATION_OID, CStringGetTextDatum(name))));
	LockTimeout = 0;
	PG_TRY();
	{
		(void) DirectFunctionCall1(pg_advisory_lock_shared_int8, key);
	}
	PG_FINALLY();
	{
		LockTimeout = lock_timeout;
	}
	PG_END_TRY();
	(void) DirectFunctionCall1(pg_advisory_unlock_shared_int8, key);
}

#endif /* TASKQ_TESTING */
