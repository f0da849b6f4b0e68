/*
 * memory.h
 *	  Limit the memory of a run, and measure the memory of this process.
 */
#ifndef TASKQ_MEMORY_H
#define TASKQ_MEMORY_H

#include "taskq.h"

extern bool	 MemoryLimit(void);
extern void	 MemoryUnlimit(void);
extern void	 MemoryStatementBegins(void);
extern void	 MemoryAtMessage(void);
extern void	 MemoryInit(void);
extern int64 MemoryUsed(void);

#endif /* TASKQ_MEMORY_H */
