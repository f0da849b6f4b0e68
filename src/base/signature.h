/*
 * signature.h
 *	  Check that a C function was called with the arguments that it reads.
 */
#ifndef TASKQ_SIGNATURE_H
#define TASKQ_SIGNATURE_H

#include "taskq.h"

#include "fmgr.h"

/* A call that was checked. */
typedef struct CheckedCall
{
	Oid	   function;
	uint32 version; /* signature_version then */
	int	   nargs;
} CheckedCall;

/*
 * Every SQL-callable function calls this first.  It is a macro, because it needs the
 * function's name, and keeps what it has found for the next call of the same function.
 */
#define CheckCall(fcinfo)                                                               \
	do                                                                                  \
	{                                                                                   \
		static CheckedCall checked = { InvalidOid, 0, 0 };                              \
                                                                                        \
		if ((fcinfo)->flinfo == NULL || (fcinfo)->flinfo->fn_oid != checked.function || \
			(fcinfo)->nargs != checked.nargs || signature_version != checked.version)   \
			CheckCallOf(fcinfo, __func__, &checked);                                    \
	} while (0)

extern uint32 signature_version;

extern void CheckCallOf(FunctionCallInfo fcinfo, const char *name, CheckedCall *checked);

#endif /* TASKQ_SIGNATURE_H */
