/*
 * ready.h
 *	  The ready list: hints in shared memory that say which jobs are due.
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

/* A job that is probably waiting, and where its row was. */
typedef struct ReadyHint
{
	ReadyKey		key;
	ItemPointerData tid;
} ReadyHint;

/* The greatest number of hints that a route has for one priority. */
#define READY_ROOM 64

/* What the list knows of a route's first due job. */
typedef enum ReadyLook
{
	READY_NOTHING, /* no job is due */
	READY_HINT,	   /* the first due job has the returned key */
	READY_FILL,	   /* the lane has no more hints: read the index from the returned key on */
	READY_UNKNOWN, /* the priorities of the route's jobs are not known yet */
	READY_UNLISTED /* the route has no list */
} ReadyLook;

/* One priority of a route, as ReadyLanes() copies it. */
typedef struct ReadyLaneInfo
{
	int16	 priority;
	int		 n_due;
	ReadyKey next; /* key of the first job that is not due, or the key below which the lane is complete */
} ReadyLaneInfo;

#define READY_MAX_LANES 64 /* the greatest number of priorities in a route's list */

typedef struct ReadyUsage
{
	int routes;
	int lanes;
	int max_lanes;
	int hints;
	int blocks; /* of READY_ROOM hints, in use */
	int max_blocks;
} ReadyUsage;

/* ready.c: the lists; ready_lane.c, ready_entry.c: their memory */
extern void		 ReadyLanesInit(void);
extern bool		 ReadyPresent(void);
extern bool		 ReadyInUse(void);
extern int		 ReadyCompare(const ReadyKey *a, const ReadyKey *b);
extern ReadyLook ReadyPeek(int32 route_id, TimestampTz now, int16 *priority, ReadyKey *key, TimestampTz *changes_at);
extern int		 ReadyTake(int32 route_id, int16 priority, TimestampTz now, const ReadyKey *bound, int most,
						   ReadyHint *hints, bool *low);
extern bool		 ReadyFillBegin(int32 route_id, int16 priority, ReadyKey *from);
extern void		 ReadyFillEnd(const ReadyHint *hints, int n, ReadyKey until);
extern uint64	 ReadyFills(void);
extern void		 ReadyFillAbandon(void);
extern uint64	 ReadyLearnBegin(int32 route_id);
extern void		 ReadyLearnEnd(int32 route_id, uint64 number, const int16 *priorities, int n, bool all);
extern bool		 ReadyPush(int32 route_id, int16 priority, const ReadyHint *hint, TimestampTz now);
extern void		 ReadyPushRest(int32 route_id, int16 priority, ReadyKey from);
extern void		 ReadyForget(void);
extern void		 ReadySweep(void);

/* ready_change.c: which routes have changed */
extern int ReadyChanges(uint64 *seen, int32 *route_ids, int most);

/* ready_aged.c: routes whose waiting jobs improve their priorities */
extern ReadyKey	 ReadyAged(ReadyKey key, int16 priority, int64 age_every);
extern ReadyLook ReadyPeekAged(int32 route_id, TimestampTz now, int64 age_every, int16 *priority, ReadyKey *key,
							   ReadyKey *second, TimestampTz *changes_at);

/* ready_look.c: what they hold */
extern int	ReadyLanes(int32 route_id, TimestampTz now, ReadyLaneInfo *lanes);
extern int	ReadyRoutes(int32 **route_ids);
extern void ReadyCountUsage(ReadyUsage *usage);

#ifdef TASKQ_TESTING
extern void ReadyMisbehave(const char *how);
#endif

/*
 * ready_xact.c: what a transaction takes from the lists and adds to them.  It has
 * "opened" a job that it makes wait, "holds" a hint that it has taken, and "has left"
 * a job that changes its state.  It drops a wrong hint, and puts back an unused one.
 */
extern void ReadyInit(void);
extern void ReadyOpened(int32 route_id, int16 priority, int64 lane, const ReadyHint *hint);
extern bool ReadyOpenedHere(int32 route_id);
extern bool ReadyOpenedAny(void);
extern void ReadyHeld(int32 route_id, int16 priority, int64 lane, const ReadyHint *hints, int n);
extern void ReadyReserve(int n);
extern void ReadyLeft(int64 job_id);
extern void ReadyLaneLeft(int64 lane);
extern void ReadyDrop(ReadyKey key);
extern void ReadyPutBack(ReadyKey key);

#endif /* TASKQ_READY_H */
