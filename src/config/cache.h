/*
 * cache.h
 *	  The configuration in memory: rows of small tables that every process asks for.
 *
 * Each table has a ConfigCache, which says how a row is read.  What this process,
 * or a commit of another one, changes is read again by its key; a table is read as
 * a whole only when the changes are not known.
 *
 * LIFETIME.  A value that ConfigFind() and its like return does not change, and
 * stays where it is until the end of the transaction, whatever is read again
 * meanwhile: a row that has changed makes a new value.  So a caller may keep the
 * pointer over any call, but not over the end of the transaction, and it sees the
 * row as it was when it asked.  Whoever must know better asks again.
 */
#ifndef TASKQ_CACHE_H
#define TASKQ_CACHE_H

#include "taskq.h"

#include "executor/tuptable.h"
#include "utils/hsearch.h"

#include "config/stale.h"
#include "store/catalog.h"
#include "store/store.h"

typedef struct ConfigCache
{
	/* What the owner of the cache says. */
	TaskqRel	rel;
	const char *name;	   /* for memory contexts */
	bool		by_number; /* a value begins with its key: an int32, or else a name in a zero-padded array */

	/* Make a value of a row, in CurrentMemoryContext; NULL: the row is not wanted. */
	void *(*read)(TupleTableSlot *slot);

	/* A value that is there without a row, too; NULL: there is none. */
	void *(*make_default)(void);

	/* Another key by which values are found, several of them maybe; size 0: there is none. */
	Size second_size;
	void (*second_key)(const void *value, void *key);

	/* The rest belongs to cache.c. */
	MemoryContext		 context;
	HTAB				*by_key;
	HTAB				*by_second;
	struct ConfigEntry **entries; /* in the order in which they came; NULL where one has gone */
	int					 n_entries;
	int					 max_entries;
	int					 n_live;
	int					 n_replaced; /* values that take up memory in the context, and are no more */
	bool				 loading;	 /* just now; or an error has ended the load */
	bool				 may_be_old; /* read with the snapshot of a parallel query */
	StaleRows			 stale;		 /* what must be read again */
} ConfigCache;

/* look-up; a number is given by a pointer to it */
extern void	 *ConfigFind(ConfigCache *cache, const void *key);
extern void	 *ConfigFindSecond(ConfigCache *cache, const void *key);
extern void	 *ConfigNextSecond(ConfigCache *cache, const void *value);
extern void **ConfigAll(ConfigCache *cache, int *n);
extern int	  ConfigCount(ConfigCache *cache);
extern void	  ConfigScanRow(ConfigCache *cache, const void *key, StoreRowFunction function, void *arg);
extern void	  ConfigReadAgain(ConfigCache *cache, const void *key);
extern char	 *ConfigString(ConfigCache *cache, const char *string);
extern void	 *ConfigCopy(ConfigCache *cache, const void *value, Size size);

#endif /* TASKQ_CACHE_H */
