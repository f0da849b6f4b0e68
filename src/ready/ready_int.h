/*
 * ready_int.h
 *	  The ready list from inside, for ready*.c only: what lies in shared memory.
 *
 * Lock order: Ready.lock, one entry's lock, Ready.mutex.
 */
#ifndef TASKQ_READY_INT_H
#define TASKQ_READY_INT_H

#include "taskq.h"

#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "ready/ready.h"

#define NONE (-1)

typedef struct ReadyBlock
{
	int		  next; /* free one */
	ReadyHint hints[READY_ROOM];
} ReadyBlock;

typedef struct ReadyLane
{
	int		 next; /* of the route, by priority; or free one */
	int16	 priority;
	int		 block; /* NONE while there are no hints */
	int		 first; /* in the block */
	int		 n;
	ReadyKey until;	  /* all due jobs below it are here, or taken */
	uint64	 filling; /* who does; 0: nobody */
	ReadyKey missed;  /* the lowest left out since then */
} ReadyLane;

typedef struct ReadyEntry
{
	LWLock			 lock;	/* of all but the next three */
	Oid				 dboid; /* InvalidOid: free.  Changed under Ready.lock too. */
	int32			 route_id;
	int				 next;			 /* of the same bucket, or free one */
	bool			 known;			 /* each priority of its jobs has a lane */
	bool			 short_of_lanes; /* since it was begun to learn them */
	uint64			 learning;		 /* those who do; 0: what they read does not count */
	int				 first_lane;
	TimestampTz		 learn_at; /* not before */
	TimestampTz		 claimed_at;
	pg_atomic_uint64 due_at; /* nothing is due before, as an int64 */
} ReadyEntry;

typedef struct Ready
{
	LWLock			 lock;	  /* of buckets and free routes */
	slock_t			 mutex;	  /* of free lanes and blocks */
	int				 n_lanes; /* of routes, too */
	int				 n_blocks;
	int				 free_route;
	int				 free_lane;
	int				 free_block;
	int				 lanes_used;
	int				 blocks_used;
	TimestampTz		 swept_at;
	pg_atomic_uint64 version;						 /* raised when a route comes or goes */
	pg_atomic_uint64 fills;							 /* begun so far */
	int				 buckets[FLEXIBLE_ARRAY_MEMBER]; /* n_lanes */
} Ready;

/* ready_lane.c */
extern Ready	  *ready; /* NULL: there is none */
extern ReadyEntry *ready_entries;
extern ReadyLane  *ready_lanes;
extern ReadyBlock *ready_blocks;

extern ReadyHint *LaneHints(ReadyLane *lane);
extern ReadyKey	  LaneHead(ReadyLane *lane);
extern void		  LaneSetCount(ReadyLane *lane, int n);
extern void		  LaneLower(ReadyLane *lane, ReadyKey until);
extern void		  LaneInsert(ReadyLane *lane, const ReadyHint *hint);
extern ReadyLane *LaneFind(ReadyEntry *entry, int16 priority);
extern ReadyLane *LaneMake(ReadyEntry *entry, int16 priority, ReadyKey until);
extern void		  LanesFree(ReadyEntry *entry);

/* ready_entry.c */
extern ReadyEntry *EntryFindOrMake(int32 route_id);
extern bool		   EntryIs(const ReadyEntry *entry, int32 route_id);
extern ReadyEntry *EntryLock(int32 route_id, LWLockMode mode);
extern void		   EntryUnlock(ReadyEntry *entry);

#endif /* TASKQ_READY_INT_H */
