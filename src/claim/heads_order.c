/*
 * heads_order.c
 *	  The order of a claim's routes: the heaps of their first due jobs (heads.c).
 *
 * The routes of a fair queue are ordered by the turns of their groups, and not by their
 * jobs.  Among routes of other queues, that would be no order.  So such a queue has a heap of
 * its own, as has each queue of a worker that has weights for them.  All other routes are
 * in one heap.  Between the heaps, the first jobs decide, or the turns of the queues.
 */
#include "taskq.h"

#include "claim/heads_int.h"

bool
HeadPrecedes(const JobKey *a, const JobKey *b)
{
	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (a->run_at != b->run_at)
		return a->run_at < b->run_at;
	return a->job_id < b->job_id;
}

/* heap ----------------------------------------------------------------------- */

static bool
Precedes(const ClaimCursor *a, const ClaimCursor *b)
{
	if (a->rank != b->rank)
		return a->rank < b->rank;
	if (a->tag != b->tag)
		return TagPrecedes(a->tag, b->tag);
	return HeadPrecedes(&a->head, &b->head);
}

/* The first of a pairing heap is the greatest. */
static int
CompareQueues(const pairingheap_node *left, const pairingheap_node *right, void *arg)
{
	const HeadsQueue *a = pairingheap_const_container(HeadsQueue, node, left);
	const HeadsQueue *b = pairingheap_const_container(HeadsQueue, node, right);

	if (a->heap[0]->rank != b->heap[0]->rank)
		return a->heap[0]->rank < b->heap[0]->rank ? 1 : -1;
	if (a->tag != b->tag)
		return TagPrecedes(a->tag, b->tag) ? 1 : -1;
	return HeadPrecedes(&a->heap[0]->head, &b->heap[0]->head) ? 1 : -1;
}

/* Put a queue where it belongs, after a change of its heap. */
static void
HeadsReorder(ClaimHeads *heads, HeadsQueue *queue)
{
	if (heads->n_queues == 1)
		return;
	if (queue->is_listed)
		pairingheap_remove(&heads->first, &queue->node);
	else if (queue->n_heap > 0 && heads->share.kind != SHARE_NONE)
		queue->tag = FairShareJoin(&heads->share, queue->queue_id);
	queue->is_listed = queue->n_heap > 0;
	if (queue->is_listed)
		pairingheap_add(&heads->first, &queue->node);
}

static void
Place(HeadsQueue *queue, ClaimCursor *cursor, int at)
{
	queue->heap[at] = cursor;
	cursor->heap_at = at;
}

/* Move a cursor up or down from this place in its heap to where it belongs. */
void
HeadsSift(ClaimHeads *heads, ClaimCursor *cursor, int at)
{
	HeadsQueue *queue = cursor->queue;

	while (at > 0 && Precedes(cursor, queue->heap[(at - 1) / 2]))
	{
		Place(queue, queue->heap[(at - 1) / 2], at);
		at = (at - 1) / 2;
	}
	for (;;)
	{
		int child = 2 * at + 1;

		if (child + 1 < queue->n_heap && Precedes(queue->heap[child + 1], queue->heap[child]))
			child++;
		if (child >= queue->n_heap || !Precedes(queue->heap[child], cursor))
			break;
		Place(queue, queue->heap[child], at);
		at = child;
	}
	Place(queue, cursor, at);
	HeadsReorder(heads, queue);
}

/* Put a cursor into its heap, or move it after its head has changed. */
void
HeadsPut(ClaimHeads *heads, ClaimCursor *cursor)
{
	if (cursor->heap_at == NOT_IN_HEAP)
		HeadsSift(heads, cursor, cursor->queue->n_heap++);
	else
		HeadsSift(heads, cursor, cursor->heap_at);
}

void
HeadsRemove(ClaimHeads *heads, ClaimCursor *cursor)
{
	HeadsQueue	*queue = cursor->queue;
	int			 at = cursor->heap_at;
	ClaimCursor *last;

	if (at == NOT_IN_HEAP)
		return;
	cursor->heap_at = NOT_IN_HEAP;
	last = queue->heap[--queue->n_heap];
	if (last != cursor)
		HeadsSift(heads, last, at);
	else
		HeadsReorder(heads, queue);
}

/* queues ----------------------------------------------------------------------- */

static int
CompareByQueue(const void *a, const void *b)
{
	int32 left = (*(ClaimCursor *const *) a)->queue_id;
	int32 right = (*(ClaimCursor *const *) b)->queue_id;

	return (left > right) - (left < right);
}

/* Let all routes have one heap. */
static void
MakeOneQueue(ClaimHeads *heads, ClaimCursor **heap)
{
	heads->n_queues = 1;
	heads->queues = palloc0(sizeof(HeadsQueue));
	heads->queues->heap = heap;
	for (int i = 0; i < heads->n; i++)
		heads->cursors[i].queue = heads->queues;
}

/* Let the queue of each route that has turns have a heap of its own, and the other routes have one together. */
void
HeadsMakeQueues(ClaimHeads *heads, const RouteSet *routes)
{
	ClaimCursor **heap = palloc(sizeof(ClaimCursor *) * Max(heads->n, 1));
	ClaimCursor **sorted;
	HeadsQueue	 *queue = NULL;

	if (routes->turns == NULL || heads->n == 0)
	{
		MakeOneQueue(heads, heap);
		return;
	}
	sorted = palloc(sizeof(ClaimCursor *) * heads->n);
	for (int i = 0; i < heads->n; i++)
	{
		const RouteTurn *turn = &routes->turns[i];

		heads->cursors[i].queue_id = turn->fair || routes->share.kind != SHARE_NONE ? turn->queue_id : 0;
		sorted[i] = &heads->cursors[i];
	}
	qsort(sorted, heads->n, sizeof(ClaimCursor *), CompareByQueue);
	heads->queues = palloc0(sizeof(HeadsQueue) * heads->n);
	for (int i = 0; i < heads->n; i++)
	{
		if (queue == NULL || queue->queue_id != sorted[i]->queue_id)
		{
			queue = &heads->queues[heads->n_queues++];
			queue->queue_id = sorted[i]->queue_id;
			queue->heap = heap + i;
		}
		sorted[i]->queue = queue;
	}
	pfree(sorted);
	heads->first.ph_compare = CompareQueues;
	heads->share = routes->share;
}

/* Return the queue that comes first, or NULL if no job is due. */
HeadsQueue *
HeadsFirstQueue(ClaimHeads *heads)
{
	if (heads->n_queues == 1)
		return heads->queues[0].n_heap > 0 ? &heads->queues[0] : NULL;
	if (pairingheap_is_empty(&heads->first))
		return NULL;
	return pairingheap_container(HeadsQueue, node, pairingheap_first(&heads->first));
}

/* Find out up to where jobs of a queue's first route precede those of its others. */
static void
BoundInQueue(const HeadsQueue *queue, HeadsBound *bound)
{
	bound->key = JOB_KEY_END;
	bound->tag = queue->heap[0]->tag + PG_INT64_MAX / 2;
	bound->starts = PG_INT32_MAX;
	for (int i = 1; i <= 2 && i < queue->n_heap; i++)
	{
		const ClaimCursor *cursor = queue->heap[i];

		if (cursor->rank != queue->heap[0]->rank)
			continue;
		if (HeadPrecedes(&cursor->head, &bound->key))
			bound->key = cursor->head;
		if (TagPrecedes(cursor->tag, bound->tag))
			bound->tag = cursor->tag;
	}
}

/* Find out up to where jobs of the first queue precede those of other queues. */
static void
BoundOfQueue(ClaimHeads *heads, HeadsQueue *queue, HeadsBound *bound)
{
	const HeadsQueue *second;

	if (heads->n_queues == 1)
		return;
	pairingheap_remove(&heads->first, &queue->node);
	second = HeadsFirstQueue(heads);
	pairingheap_add(&heads->first, &queue->node);
	if (second == NULL || second->heap[0]->rank != queue->heap[0]->rank)
		return;
	if (heads->share.kind != SHARE_NONE)
		bound->starts = 1;
	else if (HeadPrecedes(&second->heap[0]->head, &bound->key))
		bound->key = second->heap[0]->head;
}

/* If something was started for the queue since it has its tag, its turn comes later.  Returns whether it does. */
bool
HeadsQueueIsLate(ClaimHeads *heads, HeadsQueue *queue)
{
	uint64 tag;

	if (heads->n_queues == 1 || heads->share.kind == SHARE_NONE)
		return false;
	tag = FairShareStay(&heads->share, queue->queue_id, queue->tag);
	if (tag == queue->tag)
		return false;
	pairingheap_remove(&heads->first, &queue->node);
	queue->tag = tag;
	pairingheap_add(&heads->first, &queue->node);
	return true;
}

/* Has the head of a cursor become a later one? */
bool
HeadsIsLater(const ClaimHeads *heads, const ClaimCursor *cursor, uint64 tag, const JobKey *head)
{
	if (cursor->tag != tag && heads->n_queues == 1)
		return TagPrecedes(tag, cursor->tag);
	return TagPrecedes(tag, cursor->tag) || HeadPrecedes(head, &cursor->head);
}

/* Find out up to where jobs of the first route precede those of others. */
void
HeadsFindBound(ClaimHeads *heads, HeadsQueue *queue, HeadsBound *bound)
{
	BoundInQueue(queue, bound);
	BoundOfQueue(heads, queue, bound);
}
