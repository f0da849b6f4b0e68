/*
 * admit_turn.c
 *	  Rule: groups of a fair queue take turns, as do the queues of a worker that has weights for
 *	  them, and a start costs one.
 *
 * The rule refuses nobody.  Claims choose who has the turn (ready/key_lane.c, claim/heads_order.c); what
 * has really been started is told here to those who keep the turns (shared/fair_share.c).
 * A claim that is rolled back has had its turn.
 */
#include "taskq.h"

#include "config/fair.h"
#include "job/admit_rules.h"
#include "job/lane.h"
#include "shared/fair_share.h"

typedef struct Turn
{
	ShareScope scope;
	int64	   member;
	uint64	   tag;
	int32	   cost;
} Turn;

/* The turns that a start of the job that is being admitted costs: of its group, and of its queue. */
static Turn turns[2];
static int	n_turns = 0;

static void
AddGroup(const Admitting *claim, const TaskqJob *job, const TaskqQueue *queue)
{
	Turn *turn = &turns[n_turns++];

	turn->scope = (ShareScope){ SHARE_GROUPS, (uint32) queue->queue_id };
	turn->member = GroupOfJob(job);
	turn->cost = FairCost(queue, turn->member);
	turn->tag = claim->job_id == 0 ? claim->tag : FairShareJoin(&turn->scope, turn->member);
}

static void
AddQueue(const Admitting *claim, const TaskqRoute *route)
{
	const Claimant *claimant = claim->claimant;

	turns[n_turns++] = (Turn){
		.scope = claimant->share,
		.member = route->queue_id,
		.cost = QueueWeightsCost(claimant->weights, route->queue),
		.tag = claim->job_id == 0 ? claim->queue_tag : FairShareJoin(&claimant->share, route->queue_id),
	};
}

static Verdict
AdmitJob(Admitting *claim, void *reserved, TaskqJob *job)
{
	int32 queue_id = LimitsOfRoute(job->route_id)->turns.queue_id;

	n_turns = 0;
	if (queue_id != 0)
		AddGroup(claim, job, QueueById(queue_id));
	if (claim->claimant->weights != NULL)
		AddQueue(claim, RouteById(job->route_id));
	return ADMIT_YES;
}

static void
StartJob(const Admission *admission)
{
	for (int i = 0; i < n_turns; i++)
		FairShareCharge(&turns[i].scope, turns[i].member, turns[i].tag, turns[i].cost);
	n_turns = 0;
}

const AdmissionRule admit_turn = {
	.name = "turn",
	.admit = AdmitJob,
	.started = StartJob,
};
