/*
 * key_lane_int.h
 *	  The memory of lanes, for the files key_lane*.c only.
 */
#ifndef TASKQ_KEY_LANE_INT_H
#define TASKQ_KEY_LANE_INT_H

#include "taskq.h"

#include "lib/ilist.h"
#include "lib/pairingheap.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/hsearch.h"

#include "ready/key_lane.h"

typedef struct LaneRouteKey
{
	Oid	  dboid;
	int32 route_id;
} LaneRouteKey;

/* The lanes of a route. */
typedef struct LaneRoute
{
	LaneRouteKey	  key;
	bool			  known; /* every lane with a waiting job is here */
	bool			  short_of_memory;
	uint64			  learning; /* number of the learning under way, or 0 */
	TimestampTz		  learn_at; /* the lanes are not learnt before this moment */
	int				  n_lanes;
	int				  n_waits;
	int				  n_waits_for[HELD_MEMORY + 1]; /* by their kinds */
	int				  n_taken;						/* lanes that claims have taken */
	int				  n_behind;						/* lanes in LANE_BEHIND */
	LaneTurns		  turns;						/* as of the last claim that has looked here */
	pg_atomic_uint32  missed;						/* claims that have found no job while there were such lanes */
	dlist_node		  node;							/* in LaneMemory.stopped, if n_waits or n_behind is not 0, or the lanes are not known */
	pairingheap_node *first;						/* lanes with a due job, by their first ones */
	pairingheap_node *later;						/* lanes in which a job becomes due, by the time */

	/* moments are those of ClockSteady() */
	pairingheap_node *timed;	  /* LaneWaits that have a moment, by it */
	int				  watcher;	  /* number of the slot of the process that sleeps until watched_at; 0: nobody does */
	int64			  watched_at; /* only with a watcher */
} LaneRoute;

typedef struct LaneWaitKey
{
	Oid		  dboid;
	int32	  route_id;
	HeldValue value;
} LaneWaitKey;

/* The lanes of a route that wait until there is room for a value of a limit. */
typedef struct LaneWait
{
	LaneWaitKey		  key;
	int32			  most;	  /* how many jobs may run with the value; see HeldWait */
	int32			  weight; /* of the job that waits */
	int64			  until;  /* a lane is let go at this moment of ClockSteady(); HELD_NEVER: at none */
	pairingheap_node  timed_node;
	LaneRoute		 *route;
	int				  n_lanes; /* these lanes, and those that were let go and not tried yet */
	pairingheap_node *first;
} LaneWait;

typedef struct LaneEntryKey
{
	Oid	  dboid;
	int32 route_id;
	int64 lane;
} LaneEntryKey;

/*
 * The lanes with due jobs of a group in one route, if a limit asks for more keys than make
 * the group.  Only the first of them is in LaneRoute.first.
 */
typedef struct LaneGroup
{
	LaneEntryKey	  key; /* with the number of the group */
	struct LaneEntry *head;
	pairingheap_node *others;
} LaneGroup;

typedef enum LaneState
{
	LANE_EMPTY,	 /* no job is due */
	LANE_LISTED, /* in LaneRoute.first */
	LANE_WAITS,	 /* in LaneWait.first */
	LANE_BEHIND, /* no job can start until the first one leaves the lane, or is due */
	LANE_TAKEN	 /* a claim tries its first job */
} LaneState;

typedef struct LaneEntry
{
	LaneEntryKey	 key;
	LaneRoute		*route;
	LaneState		 state;
	bool			 wakes;				/* it has waited for a rate, so processes may wait that can take its next jobs */
	bool			 is_exact;			/* the first due job probably is that of the hint; otherwise none precedes it */
	bool			 is_whole;			/* if the first one is exact, no job is due but that and those ahead */
	int				 n_ahead;			/* 0 unless the first one is exact */
	LaneHint		 first;				/* if LANE_BEHIND: only its job_id counts */
	LaneHint		 ahead[LANE_AHEAD]; /* the due jobs that follow the first one */
	LaneHint		 pushed;			/* the first of the jobs that were added while the first one was not known */
	uint32			 turn;				/* incremented when the first one becomes unknown */
	uint64			 taken;				/* number of the taking; only if LANE_TAKEN */
	uint64			 tag;				/* in a fair queue: when the lane has its turn, or had it if something was started for its group since */
	int64			 group;				/* in a fair queue; only if it knows it */
	bool			 knows_group;
	LaneGroup		*in_group; /* if LANE_LISTED: the group in which it is, or NULL */
	TimestampTz		 due_at;   /* when another job may become the first; DT_NOEND: none */
	LaneWait		*wait;	   /* for what it waits; or it was let go from there, and was not tried yet */
	pairingheap_node node;	   /* see "state" */
	pairingheap_node due_node;
} LaneEntry;

typedef struct LaneDatabase
{
	pg_atomic_uint64 state;	  /* the high half is the oid of the database */
	pg_atomic_uint32 strays;  /* a claim has met a job that belongs into a lane, and is in none */
	pg_atomic_uint32 unseen;  /* a claim has read lanes of which a release of a limit does not know */
	int64			 planned; /* the scheduler looks at this moment of ClockSteady() */
} LaneDatabase;

typedef struct LaneMemory
{
	LWLock			 lock; /* guards everything but the atomics */
	uint64			 numbers;
	dlist_head		 stopped;	/* routes of which jobs may wait for a value of a limit, or for another job */
	pg_atomic_uint32 n_stopped; /* their number */
	LaneDatabase	 databases[FLEXIBLE_ARRAY_MEMBER];
} LaneMemory;

extern LaneMemory *lane_memory; /* NULL without preload */
extern HTAB		  *lane_entries;
extern HTAB		  *lane_routes;
extern HTAB		  *lane_waits;
extern HTAB		  *lane_groups;

extern LaneRoute *LaneRouteFind(int32 route_id);
extern void		  LaneRouteShow(LaneRoute *route);
extern void		  LaneRouteClear(LaneRoute *route);
extern LaneEntry *LaneFindEntry(int32 route_id, int64 lane);
extern LaneEntry *LaneMakeEntry(LaneRoute *route, int64 lane);
extern void		  LaneLeaveUntried(LaneEntry *entry);
extern void		  LanePutBehind(LaneEntry *entry, int64 job_id);
extern void		  LaneForgetFirst(LaneEntry *entry);
extern void		  LaneReread(LaneEntry *entry);
extern void		  LaneAdd(LaneEntry *entry, const LaneHint *hint);
extern void		  LaneMayHaveMore(LaneEntry *entry);
extern void		  LaneDue(LaneEntry *entry, TimestampTz due_at);
extern void		  LaneUndue(LaneEntry *entry);
extern void		  LaneFindGroup(LaneEntry *entry);
extern void		  LaneJoin(LaneEntry *entry);
extern bool		  LaneIsLate(const LaneEntry *entry, uint64 *tag);
extern void		  LaneList(LaneEntry *entry);
extern void		  LaneUnlist(LaneEntry *entry);
extern void		  LaneSetTag(LaneEntry *entry, uint64 tag);
extern LaneGroup *LaneMakeGroup(const LaneEntry *entry);
extern void		  LaneWaitFor(LaneEntry *entry, LaneWait *wait);
extern void		  LanesTakeTurns(LaneRoute *route, const LaneTurns *turns);
extern void		  LanesRemove(Oid dboid, const LaneRoute *route);
extern void		  LaneRemoveIfEmpty(LaneEntry *entry);
extern void		  LaneLeaveWait(LaneEntry *entry);
extern bool		  LaneLetNextGo(LaneWait *wait);
extern LaneEntry *LaneFirst(pairingheap_node *first);
extern LaneEntry *LaneNextDue(const LaneRoute *route);

/* key_lane_time.c */
extern void	 LaneWaitUntil(LaneWait *wait, int64 until);
extern int64 LaneFirstMoment(const LaneRoute *route);
extern bool	 LaneTimeHasPassed(const LaneRoute *route);
extern int	 LanePassTime(LaneRoute *route);
extern bool	 LaneIsUnwatched(const LaneRoute *route);
extern void	 LaneNoteRoute(int32 route_id);
extern bool	 LaneIsNoted(int32 route_id);
extern void	 LaneWakeFor(int32 route_id, int n);

extern const struct WaitWatch lane_watch;

#endif /* TASKQ_KEY_LANE_INT_H */
