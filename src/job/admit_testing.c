/*
 * admit_testing.c
 *	  Rule for tests, which logs each admission and its end.  Only in builds with
 *	  TESTING=1.
 *
 * If the file taskq_test_admissions exists in the data directory, each call appends
 * a line to it.  The file outlives processes and crashes.  While the file
 * taskq_test_closed exists, external workers are given no jobs.  So the rule is a
 * limit, too, which other code knows nothing of.
 */
#include "taskq.h"

#ifdef TASKQ_TESTING

#include <fcntl.h>
#include <unistd.h>

#include "job/admit_rules.h"
#include "shared/wake.h"

#define CLOSED UINT64CONST(0x636c6f736564) /* key of the limit */

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

static bool
IsClosed(void)
{
	return access("taskq_test_closed", F_OK) == 0;
}

static int
Begin(Admitting *claim, void **reserved, int most)
{
	if (claim->claimant->background || !IsClosed())
		return most;
	claim->limit_key = CLOSED;
	return 0;
}

static Verdict
AdmitJob(Admitting *claim, void *reserved, TaskqJob *job)
{
	Note("admit", job->job_id);
	return ADMIT_YES;
}

static void
LeaveJob(const Admission *admission, LeaveHow how)
{
	static const char *const words[] = { [LEAVE_ENDED] = "ended", [LEAVE_PREPARED] = "prepared", [LEAVE_UNDONE] = "undone" };

	Note(words[how], admission->job_id);
	if (how != LEAVE_PREPARED)
		WakeForLimit(CLOSED);
}

static bool
Explain(const AdmissionQuestion *question, Refusal *refusal)
{
	if (question->worker == NULL || !IsClosed())
		return false;
	refusal->reason_code = REASON_TESTING;
	return true;
}

const AdmissionRule admit_testing = {
	.name = "testing",
	.begin = Begin,
	.admit = AdmitJob,
	.leave = LeaveJob,
	.explain = Explain,
};

#endif /* TASKQ_TESTING */
