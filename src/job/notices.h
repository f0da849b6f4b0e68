/*
 * notices.h
 *	  Telling earlier rooms about a job's change.
 */
#ifndef TASKQ_NOTICES_H
#define TASKQ_NOTICES_H

#include "taskq.h"

#include "job/transition.h"

extern void NoticeStatistics(const Transition *transition);
extern void NoticeCounts(const Transition *transition);
extern void NoticeReadyList(const Transition *transition);
extern void NoticeWakeups(const Transition *transition);

#endif /* TASKQ_NOTICES_H */
