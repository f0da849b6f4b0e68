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

/* Is the name one of those in the setting?  They are separated by spaces. */
static bool
IsSet(const char *name)
{
	Size length = strlen(name);

	for (const char *at = taskq_injection_point; at != NULL && *at != '\0'; at += strspn(at, " "))
	{
		Size of_setting = strcspn(at, " ");

		if (of_setting == length && strncmp(at, name, length) == 0)
			return true;
		at += of_setting;
	}
	return false;
}

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

	if (!IsSet(name))
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
