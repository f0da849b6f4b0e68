/*
 * compiled.h
 *	  Compiling functions separately for the session and for users' code in it.
 */
#ifndef TASKQ_COMPILED_H
#define TASKQ_COMPILED_H

#include "taskq.h"

extern void	  CompiledInit(void);
extern uint32 CompiledEnter(Oid role, const char *search_path);
extern void	  CompiledLeave(uint32 outer);

#endif /* TASKQ_COMPILED_H */
