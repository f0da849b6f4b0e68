/*
 * built.h
 *	  Values that success(), failure(), snooze() and decision() have built.
 */
#ifndef TASKQ_BUILT_H
#define TASKQ_BUILT_H

#include "taskq.h"

#include "utils/jsonb.h"

extern uint64 BuiltEnter(uint64 scope);
extern uint64 BuiltNewScope(void);
extern char	 *BuiltNonce(void);
extern void	  BuiltLeave(uint64 outer);
extern void	  BuiltNote(Jsonb *value);
extern bool	  BuiltHere(Jsonb *value);

#endif /* TASKQ_BUILT_H */
