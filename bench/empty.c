/*
 * empty.c
 *	  A handler in C that does nothing.  Compiled and used by bench/run.
 */
#include "postgres.h"
#include "fmgr.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(empty_c);

Datum
empty_c(PG_FUNCTION_ARGS)
{
	PG_RETURN_NULL();
}
