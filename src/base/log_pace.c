/*
 * log_pace.c
 *	  Limit messages to one a minute on the same subject.
 *
 * A failure mostly recurs after a moment, and must not fill the log.  Each process
 * remembers the subjects of its last messages, so that messages on one subject do not
 * suppress those on another.
 */
#include "taskq.h"

#include "base/clock.h"
#include "base/log_pace.h"

#define LOG_EVERY USECS_PER_MINUTE
#define MAX_SUBJECTS 64
#define SUBJECT_SIZE 160

static struct
{
	char		subject[SUBJECT_SIZE];
	TimestampTz said_at; /* when the last message was logged; 0: the entry is free */
} said[MAX_SUBJECTS];

/*
 * Return whether a message on this subject may be logged now; if so, the caller logs
 * it.  If there are too many subjects, the one with the oldest message is forgotten.
 */
bool
LogIsDue(const char *subject)
{
	char key[SUBJECT_SIZE];
	int	 place = 0;

	Assert(subject[0] != '\0');
	strlcpy(key, subject, sizeof(key));
	for (int i = 0; i < MAX_SUBJECTS; i++)
	{
		if (said[i].said_at != 0 && strcmp(said[i].subject, key) == 0)
		{
			if (!ClockHasPassed(said[i].said_at, LOG_EVERY))
				return false;
			place = i;
			break;
		}
		if (said[i].said_at < said[place].said_at)
			place = i;
	}
	strlcpy(said[place].subject, key, sizeof(said[place].subject));
	said[place].said_at = ClockNow();
	return true;
}
