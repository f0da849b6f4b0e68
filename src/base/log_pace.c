/*
 * log_pace.c
 *	  At most one message a minute on one subject.
 *
 * What goes wrong once mostly goes wrong again a moment later.  Each process
 * remembers the subjects of its last messages, so that one subject does not
 * suppress the messages on another.
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
	TimestampTz said_at; /* 0: the entry is free */
} said[MAX_SUBJECTS];

/*
 * Is a message on this subject due?  The caller then writes it.  When there are too
 * many subjects, the one whose message is the oldest is forgotten.
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
