/*
 * cache_int.h
 *	  The entries of a ConfigCache, for cache.c and cache_entries.c.
 */
#ifndef TASKQ_CACHE_INT_H
#define TASKQ_CACHE_INT_H

#include "taskq.h"

#include "config/cache.h"

struct ConfigEntry
{
	void			   *value;
	int					at;	  /* in entries[] */
	struct ConfigEntry *next; /* with the same second key */
};

extern void				   CacheMakeTables(ConfigCache *cache);
extern struct ConfigEntry *CacheFindEntry(ConfigCache *cache, const void *key);
extern struct ConfigEntry *CacheFindSecond(ConfigCache *cache, const void *key);
extern void				   CachePut(ConfigCache *cache, void *value);
extern void				   CacheRemove(ConfigCache *cache, const void *key);
extern int				   CacheCountOf(ConfigCache *cache, Oid owner);

#endif /* TASKQ_CACHE_INT_H */
