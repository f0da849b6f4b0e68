/*
 * columns.h
 *	  The columns of taskq's tables, by their types.
 */
#ifndef TASKQ_COLUMNS_H
#define TASKQ_COLUMNS_H

#include "taskq.h"

#include "store/rels.h"

/* The columns that this library knows.  Users may have added others after them. */
typedef struct TaskqColumns
{
	int		   n;
	const Oid *types;
} TaskqColumns;

extern const TaskqColumns *ColumnsOf(TaskqRel rel);

#endif /* TASKQ_COLUMNS_H */
