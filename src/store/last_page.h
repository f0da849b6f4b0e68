/*
 * last_page.h
 *	  Inserting at the end of a b-tree without a search.
 */
#ifndef TASKQ_LAST_PAGE_H
#define TASKQ_LAST_PAGE_H

#include "taskq.h"

#include "utils/relcache.h"

/* What this process has learnt of an index; zeroed before its first use. */
typedef struct LastPage
{
	bool told;	 /* the b-tree was told its last page */
	int	 used;	 /* entries that were then inserted before the b-tree has forgotten it */
	int	 pause;	 /* entries to insert before the b-tree is told again */
	int	 paused; /* how long the last pause was */
} LastPage;

extern void LastPageTell(LastPage *last, Relation index);

#endif /* TASKQ_LAST_PAGE_H */
