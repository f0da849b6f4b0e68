/*
 * group.c
 *	  Deciding which runs of a shared commit need no subtransaction of their own.
 *
 * A subtransaction lets a run fail alone, but most runs do not fail.  It takes about a
 * microsecond, and more if the run writes, as it has a transaction id of its own then.
 * So the first runs of a transaction are a group without subtransactions.  If one of them fails, the whole transaction is rolled
 * back, and its jobs run again with a subtransaction each (dispatch.c).
 *
 * A failure then costs the time that the transaction has taken up to the run.  The
 * allowance of a task type is the time that its runs may risk in this way.  It doubles
 * at intervals until a run of the type fails.  Each failure halves it, and from then on
 * it grows by a quarter of a microsecond for each run.  So if one of n runs fails, the
 * allowance stays below n / 2 microseconds, and a failure costs less time than the
 * subtransactions that were saved since the last failure would have taken.
 */
#include "taskq.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "run/group.h"

#define FIRST_ALLOWANCE 16		   /* microseconds */
#define MAX_ALLOWANCE (100 * 1000) /* microseconds; longer than any shared commit */
#define INTERVAL 32				   /* runs that succeed, after which the allowance grows */
#define EARNED 8				   /* microseconds by which the allowance grows then, if a run has failed */

typedef struct TypeGroup
{
	char task_type[TASKQ_NAME_MAX + 1]; /* hash key */
	int	 allowance;						/* microseconds */
	int	 succeeded;						/* runs since the allowance has changed */
	bool has_failed;
} TypeGroup;

static HTAB		 *groups = NULL;
static TypeGroup *last = NULL;

/* Return what is known of a task type in this process. */
static TypeGroup *
GroupOf(const char *task_type)
{
	HASHCTL ctl = { .keysize = TASKQ_NAME_MAX + 1, .entrysize = sizeof(TypeGroup) };
	bool	found;

	if (last != NULL && strcmp(last->task_type, task_type) == 0)
		return last;
	if (groups == NULL)
		groups = hash_create("taskq groups", 32, &ctl, HASH_ELEM | HASH_STRINGS);
	last = hash_search(groups, task_type, HASH_ENTER, &found);
	if (!found)
	{
		last->allowance = 0;
		last->succeeded = 0;
		last->has_failed = false;
	}
	return last;
}

/* May a run of this type go without a subtransaction, if its transaction has taken so many microseconds? */
bool
GroupMayTake(const char *task_type, int64 at_stake)
{
	return Max(at_stake, 0) < GroupOf(task_type)->allowance; /* it is negative if the clock was set back */
}

/* Note the end of a run, with or without a subtransaction. */
void
GroupNote(const char *task_type, bool failed)
{
	TypeGroup *group = GroupOf(task_type);

	if (failed)
	{
		group->has_failed = true;
		group->allowance = group->allowance / 2 < FIRST_ALLOWANCE ? 0 : group->allowance / 2;
		group->succeeded = 0;
	}
	else if (++group->succeeded == INTERVAL)
	{
		int more = group->has_failed ? EARNED : Max(group->allowance, FIRST_ALLOWANCE);

		group->allowance = Min(group->allowance + more, MAX_ALLOWANCE);
		group->succeeded = 0;
	}
}
