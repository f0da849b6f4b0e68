/*
 * rates_int.h
 *	  The memory of rates and quotas, for the files rates*.c only.
 */
#ifndef TASKQ_RATES_INT_H
#define TASKQ_RATES_INT_H

#include "taskq.h"

#include "lib/pairingheap.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "utils/hsearch.h"

#include "shared/rates.h"

#define MAX_RATES 4096 /* limits of all databases together; there are taskq_max_rate_values for values of keys beside them */
#define MAX_HELD_UP 16 /* routes; with more than these, everybody is woken */
#define MAX_COLLECTED (4 * MAX_HELD_UP)
#define NOBODY (-1)
#define PARTS_KEPT (QUOTA_PARTS + 1)

/*
 * A limit, or one value of its keys.  A limit for each value has an entry without a value,
 * too, which says since when starts are counted.
 */
typedef struct RateKey
{
	Oid	  dboid;
	Oid	  relid;
	int32 limit_id;
	char  value[HELD_VALUE_SIZE];
} RateKey;

typedef struct RatesDatabase
{
	pg_atomic_uint32  wanted;		   /* a claim waits for a portion */
	pg_atomic_uint32  short_of_memory; /* a job waits because there was no room for its value */
	int				  n_values;
	pairingheap_node *wanting; /* values that need a portion, by the moments when there is one */
} RatesDatabase;

/* Moments are those of ClockSteady(). */
typedef struct RateEntry
{
	RateKey key;
	uint64	number;	 /* no other entry has had it; 0 after the entry was removed */
	bool	is_new;	 /* the starts of such a limit were never counted here */
	bool	known;	 /* nothing is stored of earlier starts, or it was read */
	int64	in_hand; /* weight of the starts that are paid for and have no time yet */

	/* the rate: a bucket of tokens */
	int64 token; /* nanoseconds; 0 without a rate */
	int64 burst;
	bool  lasting;
	int64 level; /* nanoseconds: the tokens in the bucket, each worth "token" of them */
	int64 filled_at;
	int64 lost_from; /* the time of which starts that were undone have lost the tokens (RateLoss()) */
	int64 lost_to;

	/* the quota: how much has started in each part of the window */
	int64 quota; /* 0 without a quota */
	int64 part_length;
	int64 part; /* number of the newest part */
	int32 used[PARTS_KEPT];

	/* what a limit that outlives a restart may start before the scheduler stores more */
	int64 portion;
	int64 wanted;	/* the heaviest job that waits for a portion, or 0 */
	int64 retry_at; /* there is no portion before this moment */

	/* if this is a value: it is among those for which the scheduler is to reserve a portion */
	bool			 is_wanting;
	RatesDatabase	*database;
	pairingheap_node node;

	int	   watcher; /* slot of the process that wakes up when the next job may start, or NOBODY */
	int64  watched; /* how heavy the job is for which it watches */
	uint32 noted;	/* how many times a route was noted */
	int	   n_held_up;
	int32  held_up[MAX_HELD_UP]; /* routes whose jobs wait */
} RateEntry;

typedef struct Rates
{
	LWLock		  lock; /* guards everything but the atomics */
	int			  n_values;
	uint64		  numbers;
	RatesDatabase databases[FLEXIBLE_ARRAY_MEMBER];
} Rates;

extern Rates *rates; /* NULL without preload */
extern HTAB	 *rate_entries;

/* rates.c */
extern RateKey		  RateKeyOf(Oid relid, int32 limit_id, const char *value);
extern RateEntry	 *RatesFind(const RateKey *key);
extern RateEntry	 *RatesMake(const RateKey *key, const RateLimit *limit);
extern bool			  RatesFull(const RateKey *key);
extern void			  RateInit(RateEntry *entry);
extern void			  RatesRemove(RateEntry *entry);
extern RatesDatabase *RatesMine(void);
extern RatesAnswer	  RateAsk(RateEntry *entry, const RateLimit *limit, int32 weight, int64 now, int64 *until);
extern void			  RatesNoteHeldUp(RateEntry *entry, int32 route_id);

/* rates_value.c */
extern bool	   RateIsValue(const RateKey *key);
extern RateKey RateLimitKey(const RateKey *key);
extern void	   RateInitValue(RateEntry *entry, const RateLimit *limit, const RateEntry *counted);
extern void	   RateWant(RateEntry *entry);
extern void	   RateUnwant(RateEntry *entry);
extern void	   RateRetryAt(RateEntry *entry, int64 moment);

/* rates_count.c */
extern bool	 RateReserves(const RateEntry *entry);
extern void	 RateCatchUp(RateEntry *entry, const RateLimit *limit, int64 now);
extern void	 RateAdvance(RateEntry *entry, int64 now);
extern void	 RateCap(RateEntry *entry);
extern void	 RateCapPortion(RateEntry *entry);
extern int64 RateLoss(RateEntry *entry, int64 since, int64 now, int64 most);
extern int64 RateUsed(const RateEntry *entry);
extern int64 RateTokensAt(const RateEntry *entry, int64 weight, int64 now);
extern int64 RateQuotaAt(const RateEntry *entry, int64 weight, int64 now);

/* rates_keep.c */
extern RateEntry *RatesCopy(const RateKey *key, const RateLimit *limit, RateEntry *copy);
extern bool		  RateIsLow(const RateEntry *entry);

/* rates_wait.c */
typedef struct RateWake
{
	bool all;
	int	 n;
	struct
	{
		RateEntry *entry;
		uint64	   number; /* of the entry */
		uint32	   noted;
		int32	   route_id;
	} routes[MAX_COLLECTED];
} RateWake;

extern void RatesCollect(RateEntry *entry, RateWake *wake);
extern void RatesWake(const RateWake *wake, int most);
extern void RatesNoteRefused(RateEntry *entry, int64 weight);

#endif /* TASKQ_RATES_INT_H */
