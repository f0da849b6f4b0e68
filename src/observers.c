/*
 * observers.c
 *	  Who wants to know that a job has changed its state.
 *
 * The table is outside the rooms, because observers may be in any room, and the state
 * machine (job/transition.c) may call only its own and earlier rooms.  It is given the
 * table when the library is loaded.
 */
#include "taskq.h"

#include "job/admit_xact.h"
#include "job/cancel_requests.h"
#include "job/events.h"
#include "job/notices.h"
#include "job/recall.h"
#include "job/transition.h"
#include "observers.h"

/*
 * Observers are called in this order.  First come those that write tables, and so
 * may fail or wait; then those that keep notes in memory until the transaction
 * ends.  Wake-ups are last: whoever is woken must find all that the others noted.
 */
static const TransitionObserver observers[] = {
	{ "cancel requests", CancelObserve }, /* forgets those of a job that was cancelled or put back */
	{ "events", EventObserve },			  /* writes the log of events */
	{ "admission", AdmissionObserve },	  /* notes that a claim is stored, and that a run ends */
	{ "recall", RecallObserve },		  /* remembers where the row of a claim is */
	{ "statistics", NoticeStatistics },	  /* counts runs */
	{ "counts", NoticeCounts },			  /* counts the jobs of each route */
	{ "ready list", NoticeReadyList },	  /* hints of jobs that wait to be claimed */
	{ "wake-ups", NoticeWakeups },		  /* waiting processes and the scheduler */
};

void
ObserversInit(void)
{
	TransitionSetObservers(observers, lengthof(observers));
}
