/*
 * compiled.h
 *	  Keeping what a session has compiled apart from what users' code compiles.
 */
#ifndef TASKQ_COMPILED_H
#define TASKQ_COMPILED_H

#include "taskq.h"

extern void	  CompiledInit(void);
extern uint32 CompiledEnter(Oid role, const char *search_path);
extern void	  CompiledLeave(uint32 outer);

#endif /* TASKQ_COMPILED_H */
