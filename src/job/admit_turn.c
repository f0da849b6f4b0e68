/*
 * admit_turn.c
 *	  Rule: groups of a fair queue take turns, and a start costs one.
 *
 * The rule refuses nobody.  Claims choose the group that has its turn (ready/key_lane.c); what
 * has really been started is told here to those who keep the turns (shared/fair_share.c).
 * A claim that is rolled back has had its turn.
 */
#include "taskq.h"

#include "config/fair.h"
#include "job/admit_rules.h"
#include "job/lane.h"
#include "shared/fair_share.h"

/* The turn that a start of the job that is being admitted costs. */
static struct
{
	bool	   is_due;
	ShareScope scope;
	int64	   group;
	uint64	   tag;
	int32	   cost;
} turn;

static Verdict
AdmitJob(Admitting *claim, void *reserved, TaskqJob *job)
{
	int32 queue_id = LimitsOfRoute(job->route_id)->turns.queue_id;

	turn.is_due = queue_id != 0;
	if (!turn.is_due)
		return ADMIT_YES;
	turn.scope = (ShareScope){ SHARE_GROUPS, (uint32) queue_id };
	turn.group = GroupOfJob(job);
	turn.cost = FairCost(QueueById(queue_id), turn.group);
	turn.tag = claim->job_id == 0 ? claim->tag : FairShareJoin(&turn.scope, turn.group);
	return ADMIT_YES;
}

static void
StartJob(const Admission *admission)
{
	if (turn.is_due)
		FairShareCharge(&turn.scope, turn.group, turn.tag, turn.cost);
	turn.is_due = false;
}

const AdmissionRule admit_turn = {
	.name = "turn",
	.admit = AdmitJob,
	.started = StartJob,
};
