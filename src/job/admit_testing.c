/*
 * admit_testing.c
 *	  A rule that writes down each admission and its end, for tests.  Only in builds
 *	  with TESTING=1.
 *
 * While there is a file taskq_test_admissions in the data directory, a line is
 * added to it for each call.  The file outlives processes and crashes.
 */
#include "taskq.h"

#include <fcntl.h>
#include <unistd.h>

#include "job/admit_rules.h"

/* Also called when a transaction ends: it neither allocates nor fails. */
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
