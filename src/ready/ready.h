/*
 * ready.h
 *	  The ready list: hints in shared memory at the jobs that are due.
 */
#ifndef TASKQ_READY_H
#define TASKQ_READY_H

#include "taskq.h"

#include "storage/itemptr.h"
#include "utils/timestamp.h"

/* A place in the order of one route's jobs of one priority. */
typedef struct ReadyKey
{
	TimestampTz run_at;
	int64		job_id;
} ReadyKey;

#define READY_BEGIN ((ReadyKey){ DT_NOBEGIN, PG_INT64_MIN })
#define READY_END ((ReadyKey){ DT_NOEND, PG_INT64_MAX })

/* A job that may be waiting there. */
typedef struct ReadyHint
{
	ReadyKey		key;
	ItemPointerData tid;
} ReadyHint;

/* So many hints of one route and priority at most. */
#define READY_ROOM 64

/* What the list knows of a route's first due job. */
typedef enum ReadyLook
{
	READY_NOTHING, /* none is due */
	READY_HINT,	   /* it is at the key */
	READY_FILL,	   /* it may be at the key or behind it, so look there */
	READY_UNKNOWN, /* the priorities of its jobs are not known yet */
	READY_UNLISTED /* there is no list for this route */
} ReadyLook;

/* One priority of a route, as ReadyLanes() copies it. */
typedef struct ReadyLaneInfo
{
	int16	 priority;
	int		 n_due;
	ReadyKey next; /* behind the due ones */
} ReadyLaneInfo;

#define READY_MAX_LANES 64 /* priorities of a route that the list can tell apart */

typedef struct ReadyUsage
{
	int routes;
	int lanes;
	int max_lanes;
	int hints;
	int blocks; /* of READY_ROOM hints, in use */
	int max_blocks;
} ReadyUsage;

/* ready.c: the lists */
extern void		 ReadyLanesInit(void);
extern bool		 ReadyPresent(void);
extern bool		 ReadyInUse(void);
extern int		 ReadyCompare(const ReadyKey *a, const ReadyKey *b);
extern ReadyLook ReadyPeek(int32 route_id, TimestampTz now, int16 *priority, ReadyKey *key);
extern int		 ReadyTake(int32 route_id, int16 priority, TimestampTz now, const ReadyKey *bound, int most,
						   ReadyHint *hints, bool *low);
extern bool		 ReadyFillBegin(int32 route_id, int16 priority, ReadyKey *from);
extern void		 ReadyFillEnd(const ReadyHint *hints, int n, ReadyKey until);
extern void		 ReadyFillAbandon(void);
extern uint64	 ReadyLearnBegin(int32 route_id);
extern void		 ReadyLearnEnd(int32 route_id, uint64 number, const int16 *priorities, int n, bool all);
extern bool		 ReadyPush(int32 route_id, int16 priority, const ReadyHint *hint, TimestampTz now);
extern void		 ReadyPushRest(int32 route_id, int16 priority, ReadyKey from);
extern void		 ReadyForget(void);
extern void		 ReadySweep(void);
extern int		 ReadyLanes(int32 route_id, TimestampTz now, ReadyLaneInfo *lanes);
extern int		 ReadyRoutes(int32 **route_ids);
extern void		 ReadyCountUsage(ReadyUsage *usage);

#ifdef TASKQ_TESTING
extern void ReadyMisbehave(const char *how);
#endif

/* ready_xact.c: what a transaction takes and puts in */
extern void ReadyInit(void);
extern void ReadyOpened(int32 route_id, int16 priority, const ReadyHint *hint);
extern bool ReadyOpenedHere(int32 route_id);
extern void ReadyHeld(int32 route_id, int16 priority, const ReadyHint *hints, int n);
extern void ReadyReserve(int n);
extern void ReadyLeft(int64 job_id);
extern void ReadyDrop(ReadyKey key);
extern void ReadyPutBack(ReadyKey key);

#endif /* TASKQ_READY_H */
