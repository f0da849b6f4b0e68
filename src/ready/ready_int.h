/*
 * ready_int.h
 *	  The structures of the ready list in shared memory; for ready*.c only.
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
	int		  next; /* the next free block, if this block is free */
	ReadyHint hints[READY_ROOM];
} ReadyBlock;

typedef struct ReadyLane
{
	int		 next; /* the route's next lane, by priority; or the next free lane */
	int16	 priority;
	int		 block; /* NONE while there are no hints */
	int		 first; /* index of the first hint in the block */
	int		 n;
	ReadyKey until;	  /* each due job below it has a hint here, or is taken */
	uint64	 filling; /* number of the fill under way; 0 if there is none */
	ReadyKey missed;  /* the lowest key that commits have left out during the fill */
} ReadyLane;

typedef struct ReadyEntry
{
	LWLock			 lock;	/* guards all fields except "next"; they are changed only with it */
	Oid				 dboid; /* InvalidOid if the entry is free; dboid and route_id change only under Ready.lock, too */
	int32			 route_id;
	int				 next;			 /* next entry of the bucket, or next free entry; guarded by Ready.lock */
	bool			 known;			 /* each priority of the route's jobs has a lane */
	bool			 was_known;		 /* "known", when the head was shown last */
	bool			 short_of_lanes; /* a lane could not be made since learning began */
	bool			 aged;			 /* claims take jobs in the order of ready_aged.c */
	uint64			 learning;		 /* number of the learning under way; 0 if what was read is out of date */
	int				 first_lane;
	TimestampTz		 learn_at; /* the priorities are not learnt before this moment */
	TimestampTz		 claimed_at;
	pg_atomic_uint64 due_at; /* an int64: no job is due before this moment */

	/* The first lane's head, for processes that hold no lock.  "head_changes" is odd while the head changes. */
	pg_atomic_uint64 head_changes;
	bool			 head_known; /* "known", and there is a lane */
	bool			 head_hint;	 /* the lane has hints */
	int16			 head_priority;
	ReadyKey		 head;
} ReadyEntry;

#define READY_CHANGES 1024

typedef struct Ready
{
	LWLock			 lock;	  /* guards the buckets and the free entries */
	slock_t			 mutex;	  /* guards the free lanes and blocks */
	int				 n_lanes; /* also the number of entries and of buckets */
	int				 n_blocks;
	int				 free_route;
	int				 free_lane;
	int				 free_block;
	int				 lanes_used;
	int				 blocks_used;
	TimestampTz		 swept_at;
	pg_atomic_uint64 version;	/* incremented when an entry is made or removed */
	pg_atomic_uint64 fills;		/* last number given to a fill or to learning */
	pg_atomic_uint64 n_changes; /* see ready_change.c */
	pg_atomic_uint64 changes[READY_CHANGES];
	int				 buckets[FLEXIBLE_ARRAY_MEMBER]; /* there are n_lanes of them */
} Ready;

/* ready_lane.c */
extern Ready	  *ready; /* NULL if there is none */
extern ReadyEntry *ready_entries;
extern ReadyLane  *ready_lanes;
extern ReadyBlock *ready_blocks;

extern ReadyHint *LaneHints(ReadyLane *lane);
extern ReadyKey	  LaneHead(ReadyLane *lane);
extern void		  LaneSetCount(ReadyLane *lane, int n);
extern void		  LaneCut(ReadyLane *lane, ReadyKey until);
extern void		  LaneInsert(ReadyLane *lane, const ReadyHint *hint);
extern ReadyLane *LaneFind(ReadyEntry *entry, int16 priority);
extern ReadyLane *LaneMake(ReadyEntry *entry, int16 priority, ReadyKey until);
extern void		  LanesFree(ReadyEntry *entry);

/* ready_change.c */
extern void ReadyNoteChange(int32 route_id);

/* ready_entry.c */
extern ReadyEntry *EntryFindOrMake(int32 route_id);
extern bool		   EntryIs(const ReadyEntry *entry, int32 route_id);
extern ReadyEntry *EntryLock(int32 route_id, LWLockMode mode);
extern void		   EntryUnlock(ReadyEntry *entry);
extern void		   EntrySetDueAt(ReadyEntry *entry, TimestampTz due_at);
extern void		   EntryShowHead(ReadyEntry *entry);
extern ReadyLook   EntryPeekHead(ReadyEntry *entry, int32 route_id, TimestampTz now, int16 *priority, ReadyKey *key);

#endif /* TASKQ_READY_INT_H */
