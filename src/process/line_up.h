/*
 * line_up.h
 *	  Putting the waiting jobs of a queue in order that has become ordered.
 */
#ifndef TASKQ_LINE_UP_H
#define TASKQ_LINE_UP_H

#include "taskq.h"

extern bool LineUpPending(void);
extern bool LineUp(void);

#endif /* TASKQ_LINE_UP_H */
