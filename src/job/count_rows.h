/*
 * count_rows.h
 *	  Counting the live jobs of each route in their rows.
 */
#ifndef TASKQ_COUNT_ROWS_H
#define TASKQ_COUNT_ROWS_H

#include "taskq.h"

#include "utils/timestamp.h"

#include "shared/counts.h"

typedef bool (*CountStopFunction)(void);

extern CountClass CountClassOf(char state, TimestampTz run_at, TimestampTz created_at);
extern bool		  CountIsShort(void);
extern void		  CountRows(CountStopFunction must_stop);

#endif /* TASKQ_COUNT_ROWS_H */
