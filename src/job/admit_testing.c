/*
 * admit_testing.c
 *	  Rule for tests, which logs each admission and its end.  Only in builds with
 *	  TESTING=1.
 *
 * If the file taskq_test_admissions exists in the data directory, each call appends
 * a line to it.  The file outlives processes and crashes.
 */
#include "taskq.h"

#ifdef TASKQ_TESTING

#include <fcntl.h>
#include <unistd.h>

#include "job/admit_rules.h"

/*
 * Append a line.  This is also called at the end of a transaction, so it must not
 * allocate memory or fail.
 */
static void
Note(const char *what, int64 job_id)
{
	char line[64];
	int	 file = open("taskq_test_admissions", O_WRONLY | O_APPEND);
	int	 length;

	if (file < 0)
		return;
	length = snprintf(line, sizeof(line), "%s " INT64_FORMAT "\n", what, job_id);
	(void) !write(file, line, length);
	close(file);
}

static Verdict
AdmitJob(Admitting *claim, TaskqJob *job)
{
	Note("admit", job->job_id);
	return ADMIT_YES;
}

static void
LeaveJob(const Admission *admission, LeaveHow how)
{
	static const char *const words[] = { [LEAVE_ENDED] = "ended", [LEAVE_PREPARED] = "prepared", [LEAVE_UNDONE] = "undone" };

	if (admission->job_id != 0)
		Note(words[how], admission->job_id);
}

const AdmissionRule admit_testing = {
	.name = "testing",
	.admit = AdmitJob,
	.leave = LeaveJob,
};

#endif /* TASKQ_TESTING */
