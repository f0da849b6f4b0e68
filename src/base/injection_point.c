/*
 * injection_point.c
 *	  Injection points: places where a process waits for as long as a test wants.
 *	  They exist only in builds with TESTING=1.
 */
#include "taskq.h"

#include "catalog/pg_collation.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "base/guc.h"
#include "base/injection_point.h"

/*
 * Wait at a named place if this session has set taskq.injection_point to its name.
 * The caller must not hold an LWLock or a spinlock.
 */
void
InjectionPoint(const char *name)
{
	Datum key;

	if (taskq_injection_point == NULL || strcmp(taskq_injection_point, name) != 0)
		return;
	key = Int64GetDatum(DatumGetInt32(DirectFunctionCall1Coll(hashtext, DEFAULT_COLLATION_OID, CStringGetTextDatum(name))));
	(void) DirectFunctionCall1(pg_advisory_lock_shared_int8, key);
	(void) DirectFunctionCall1(pg_advisory_unlock_shared_int8, key);
}
