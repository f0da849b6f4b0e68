/*
 * owner.h
 *	  Running taskq's own statements as the extension's owner.
 */
#ifndef TASKQ_OWNER_H
#define TASKQ_OWNER_H

#include "taskq.h"

#include "executor/spi.h"

typedef struct OwnerScope
{
	Oid	 caller;
	int	 sec_context;
	int	 guc_level; /* only used with SPI, like "snapshot" */
	bool snapshot;	/* a snapshot was pushed */
} OwnerScope;

extern void OwnerEnter(OwnerScope *scope);
extern void OwnerLeave(OwnerScope *scope);
extern bool OwnerIsIn(void);
#define AssertOwner() Assert(OwnerIsIn())

extern void	  OwnerEnterSpi(OwnerScope *scope);
extern void	  OwnerLeaveSpi(OwnerScope *scope);
extern bool	  OwnerIsExecuting(void);
extern uint64 OwnerExecute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls);
extern uint64 OwnerRun(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls);

#endif /* TASKQ_OWNER_H */
