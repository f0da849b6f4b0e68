/*
 * news.h
 *	  Telling all processes which rows of the configuration have changed.
 */
#ifndef TASKQ_NEWS_H
#define TASKQ_NEWS_H

#include "taskq.h"

/* The key of a row: a name, or a number in the first four bytes.  The rest is zero. */
typedef struct NewsKey
{
	char bytes[TASKQ_NAME_MAX + 1];
} NewsKey;

#define NEWS_ALL_TABLES (-1)

/* A change that was committed. */
typedef struct NewsItem
{
	Oid		dboid;
	int		table;	  /* a TaskqRel, or NEWS_ALL_TABLES */
	bool	all_rows; /* any row may have changed; otherwise only the row of the key */
	NewsKey key;
} NewsItem;

#define NEWS_KEPT 512 /* number of items; a process that has missed more reads everything again */

typedef void (*NewsFunction)(const NewsItem *item);

extern void NewsInit(void);
extern bool NewsPresent(void);
extern void NewsPush(int table, const NewsKey *key);
extern void NewsRead(NewsFunction function);

#endif /* TASKQ_NEWS_H */
