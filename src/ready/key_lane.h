/*
 * key_lane.h
 *	  Lanes: the waiting jobs of a route that have the same values of the keys by which
 *	  they are limited, in shared memory.
 */
#ifndef TASKQ_KEY_LANE_H
#define TASKQ_KEY_LANE_H

#include "taskq.h"

#include "ready/ready.h"
#include "shared/fair_share.h"
#include "shared/holders.h"

/*
 * The number of a lane begins with the set of keys of which it has the values.  The group of
 * a job in a fair queue is numbered as the lane of the keys by which the queue is fair.
 */
#define LANE_KEYS_SHIFT 61
#define LANE_FIRST(keys) ((int64) (keys) << LANE_KEYS_SHIFT) /* no lane of these keys, or of a greater set, is less */
#define LANE_KEYS(lane) ((uint8) ((lane) >> LANE_KEYS_SHIFT))

/*
 * The lanes of an ordered queue have no keys.  The jobs of one with a negative number start in
 * the order of their ids, and jobs of other routes that are in the same lane are in the same
 * order.
 */
#define LANE_IN_ORDER(lane) ((lane) < 0)

/* Whether the lanes of a route take turns. */
typedef struct LaneTurns
{
	int32 queue_id; /* the fair queue of the route, or 0 */
	uint8 fair_by;	/* the keys whose values are its groups */
} LaneTurns;

/* A place in the order of a route's jobs. */
typedef struct LaneKey
{
	int16	 priority;
	ReadyKey key;
} LaneKey;

#define LANE_KEY_BEGIN ((LaneKey){ PG_INT16_MIN, READY_BEGIN })
#define LANE_KEY_END ((LaneKey){ PG_INT16_MAX, READY_END })

/* A job that is probably waiting in a lane, and where its row was. */
typedef struct LaneHint
{
	LaneKey			key;
	ItemPointerData tid;
} LaneHint;

#define LANE_AHEAD 15 /* jobs of a lane that are known beside the first one */

/* The first due jobs of a lane, as they were read. */
typedef struct LaneJobs
{
	int		 n;
	bool	 is_whole; /* there are no others */
	LaneHint jobs[1 + LANE_AHEAD];
} LaneJobs;

/* What is known of the lanes of a route. */
typedef enum LaneLook
{
	LANE_LOOK_NOTHING, /* no job is due in a lane that does not wait */
	LANE_LOOK_HEAD,	   /* the first due job has the key */
	LANE_LOOK_READ,	   /* no due job precedes the key; read the lane from there on to know more */
	LANE_LOOK_UNKNOWN, /* the lanes are not known yet */
	LANE_LOOK_UNLISTED /* there is no memory for them */
} LaneLook;

/* A lane that is to be read. */
typedef struct LanePlace
{
	int64	lane;
	LaneKey key;  /* from here on */
	uint64	tag;  /* in a fair queue, when the lane has its turn; lower ones come first */
	uint32	turn; /* what is read is of no use if the lane has another one then */
} LanePlace;

/* For what the lanes of a route wait. */
typedef struct LaneWaits
{
	HeldKind kind;	/* HELD_JOBS if any waits for that; else HELD_RATE if any waits for that */
	int64	 until; /* when the first of them is tried again, by ClockSteady(); or HELD_NEVER */
} LaneWaits;

typedef struct LaneUsage
{
	int lanes;
	int max_lanes;
	int waiting; /* lanes without room under a limit */
} LaneUsage;

/* Up to where a claim may take a lane: to a tag in a fair queue, otherwise to a key. */
typedef struct LaneBound
{
	uint64	tag;
	LaneKey key;
} LaneBound;

/* A lane that a claim has taken. */
typedef struct LaneTaken
{
	int64	 lane;
	LaneHint first; /* its first job */
	uint64	 tag;
	bool	 knows_group; /* otherwise KeyLaneGroup() must be called */
} LaneTaken;

/* key_lane.c: their memory, and what commits add to it */
extern void	  KeyLanesInit(void);
extern bool	  KeyLanesAbsent(void);
extern void	  KeyLanesNoteAbsent(uint64 seen);
extern uint64 KeyLanesState(void);
extern bool	  KeyLanesUnknown(uint64 state);
extern void	  KeyLanesStray(void);
extern bool	  KeyLanesStrayed(bool clear);
extern void	  KeyLanesNoteUnseen(void);
extern bool	  KeyLanesUnseen(bool clear);
extern void	  KeyLanesNotePresent(void);
extern int	  LaneCompare(const LaneKey *a, const LaneKey *b);
extern void	  KeyLanePush(int32 route_id, int64 lane, const LaneHint *hint, bool is_only, TimestampTz now);
extern void	  KeyLanesForget(void);
extern void	  KeyLanesForgetDatabase(Oid dboid);
extern void	  KeyLanesUsage(LaneUsage *usage);

/* key_lane_look.c: what claims see of it */
extern LaneLook KeyLanePeek(int32 route_id, const LaneTurns *turns, TimestampTz now, LanePlace *place, TimestampTz *changes_at, bool *timed);
extern void		KeyLaneRead(int32 route_id, const LanePlace *place, const LaneJobs *found, TimestampTz next_due);
extern void		KeyLaneBehind(int32 route_id, const LanePlace *place, int64 job_id, TimestampTz due_at);
extern void		KeyLaneLookAgain(int32 route_id, int64 lane);
extern bool		KeyLanesAllWait(int32 route_id, LaneWaits *waits);
extern int		KeyLanesBefore(int32 route_id, int64 lane, int most);
extern int		KeyLanesListed(int32 route_id, int64 *lane_ids, int most);

/* key_lane_take.c: what they take from it, and what releases let go */
extern bool KeyLaneTake(int32 route_id, const LaneBound *bound, LaneTaken *lane);
extern bool KeyLaneGroup(int64 group);
extern void KeyLaneLetGo(bool passed, const HeldWait *waits_for);
extern void KeyLaneStall(void);
extern void KeyLaneLeft(int64 lane);
extern void KeyLanesFreed(const HeldValue *value, int most);
extern void KeyLanesFreeAll(void);

/* key_lane_time.c: lanes that wait for a moment */
extern int64 KeyLanesMoment(void);
extern void	 KeyLanesPassTime(void);

/* key_lane_learn.c: making it */
extern uint64 KeyLanesLearnBegin(int32 route_id);
extern bool	  KeyLanesLearn(int32 route_id, uint64 number, int64 lane, const LaneHint *hint, bool is_only, TimestampTz due_at);
extern void	  KeyLanesLearnEnd(int32 route_id, uint64 number, bool all);

#endif /* TASKQ_KEY_LANE_H */
