/*
 * holders_int.h
 *	  The memory of the holders of limits, for the files holders*.c only.
 */
#ifndef TASKQ_HOLDERS_INT_H
#define TASKQ_HOLDERS_INT_H

#include "taskq.h"

#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/hsearch.h"

#include "shared/holders.h"

#define MAX_LIMITS 4096									/* of all databases together */
#define MAX_VALUES (2 * taskq_max_held_jobs + MAX_HELD) /* of all limits */
#define MAX_BLOCKED 16									/* routes; with more than these, everybody is woken */

typedef struct LimitKey
{
	Oid	  dboid;
	Oid	  relid;
	int32 limit_id;
} LimitKey;

typedef struct LimitEntry
{
	LimitKey key;
	bool	 armed;		   /* all jobs that hold it are known */
	bool	 lacks_memory; /* there was no room for all of them */
	int		 in_use;
	uint32	 noted;		/* how many times a route was noted */
	int		 n_blocked; /* more than MAX_BLOCKED: not all of them are noted */
	int32	 blocked[MAX_BLOCKED];
} LimitEntry;

/* A limit for one value of its keys, as long as a job holds it. */
typedef struct ValueKey
{
	Oid	  dboid;
	Oid	  relid;
	int32 limit_id;
	char  value[HELD_VALUE_SIZE];
} ValueKey;

typedef struct ValueEntry
{
	ValueKey key;
	int		 in_use;
} ValueEntry;

typedef struct HolderKey
{
	Oid	   dboid;
	uint32 zero; /* there is no padding in a key */
	int64  job_id;
	int64  epoch;
} HolderKey;

typedef struct Holder
{
	HolderKey key;
	bool	  released; /* the claim has ended while the rows are being added */
	int		  slot;		/* of the process that has claimed the job, or -1 */
	uint64	  claims;	/* TaskqSlot.claims of its transaction */
	Oid		  relid;
	int		  n;
	struct
	{
		int32		limit_id;
		ValueEntry *value; /* NULL if the limit is for all its jobs alike */
	} held[MAX_HELD];
} Holder;

/* What there is for each database. */
typedef struct HoldersDatabase
{
	Oid				 dboid;
	int				 n_holders;
	bool			 counting; /* running rows are being added */
	int				 n_awaited;
	int				 awaited[MAX_AWAITED]; /* process ids */
	pg_atomic_uint32 used;				   /* 0: there are no entries, and no rows are being added */
	pg_atomic_uint32 arming;			   /* the scheduler waits for the end of claims */
	pg_atomic_uint32 doubt;
	pg_atomic_uint32 short_of_memory; /* jobs wait because there was no room */
} HoldersDatabase;

typedef struct Holders
{
	LWLock			 lock;			  /* guards everything but the atomics */
	pg_atomic_uint32 short_of_memory; /* jobs of a database wait because there was no room */
	HoldersDatabase	 databases[FLEXIBLE_ARRAY_MEMBER];
} Holders;

extern Holders *holders; /* NULL without preload */
extern HTAB	   *limit_entries;
extern HTAB	   *holder_entries;
extern HTAB	   *value_entries;

extern HoldersDatabase *HoldersMine(void);
extern HolderKey		HolderKeyOf(int64 job_id, int64 epoch);
extern HoldersAnswer	HoldersWhyUnarmed(const LimitEntry *entry);
extern LimitEntry	   *HoldersFindLimit(Oid relid, int32 limit_id);
extern void				HoldersSetUsed(HoldersDatabase *mine);
extern Holder		   *HoldersEnter(HoldersDatabase *mine, Oid relid, int64 job_id, int64 epoch);
extern void				HolderLeaveValue(ValueEntry *value);
extern uint32			HoldersHashValue(const void *key, Size size);
extern ValueEntry	   *HoldersFindValue(Oid relid, int32 limit_id, const char *value, HASHACTION action);
extern HoldersAnswer	HolderAdd(Holder *holder, LimitEntry *entry, const HeldLimit *limit);

#endif /* TASKQ_HOLDERS_INT_H */
