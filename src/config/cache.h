/*
 * cache.h
 *	  The configuration in memory: rows of small tables that every process needs.
 *
 * Each table has a ConfigCache, which says how a row is read.  A row that was changed
 * is read again by its key.  A table is read as a whole only when it is not known
 * which rows have changed.
 *
 * LIFETIME.  A value that was looked up does not change, and stays where it is until
 * the end of the transaction.  A row that has changed makes a new value.  So a caller
 * may keep the pointer over any call, but not over the end of the transaction, and
 * sees the row as it was at the time of the look-up.  A caller that needs the current
 * row looks it up again.
 *
 * Look-ups need a transaction, and raise an error if taskq is not installed.
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
	/* Filled in by the file that owns the cache. */
	TaskqRel	rel;
	const char *name;	   /* of the memory context */
	bool		by_number; /* the key is an int32; otherwise a zero-padded name.  A value begins with its key. */

	/* Make a value of a row, in CurrentMemoryContext.  Returns NULL if the row is not kept. */
	void *(*read)(TupleTableSlot *slot);

	/* Make the value that exists even without a row.  NULL if there is no such value. */
	void *(*make_default)(void);

	/* A second key, which several values may share.  The size is 0 if there is none. */
	Size second_size;
	void (*second_key)(const void *value, void *key);

	/* The role whose values are counted.  NULL if they are not counted by role. */
	Oid (*owner)(const void *value);

	/* Private to cache.c. */
	MemoryContext		 context;
	HTAB				*by_key;
	HTAB				*by_second;
	HTAB				*by_owner; /* the number of values of each role */
	struct ConfigEntry **entries;  /* in the order in which they were added; NULL where one was removed */
	struct ConfigEntry	*found;	   /* what the last look-up of a key has found, or NULL */
	int					 n_entries;
	int					 max_entries;
	int					 n_live;
	int					 n_replaced; /* values that are not current any more, but still in the context */
	bool				 loading;	 /* rows are being read, or an error has ended the reading */
	bool				 may_be_old; /* rows were read with the snapshot of a parallel query */
	StaleRows			 stale;		 /* rows that must be read again */
} ConfigCache;

/* A key is a name, or a pointer to a number. */
extern void	 *ConfigFind(ConfigCache *cache, const void *key);
extern void	 *ConfigFindSecond(ConfigCache *cache, const void *key);
extern void	 *ConfigNextSecond(ConfigCache *cache, const void *value);
extern void **ConfigAll(ConfigCache *cache, int *n);
extern int	  ConfigCount(ConfigCache *cache);
extern int	  ConfigCountOf(ConfigCache *cache, Oid owner);
extern void	  ConfigScanRow(ConfigCache *cache, const void *key, StoreRowFunction function, void *arg);
extern void	  ConfigReadAgain(ConfigCache *cache, const void *key);
extern char	 *ConfigString(ConfigCache *cache, const char *string);
extern void	 *ConfigCopy(ConfigCache *cache, const void *value, Size size);

#endif /* TASKQ_CACHE_H */
