/*
 * worker_name.c
 *	  The name of an external worker: its id, and which of its instances.
 */
#include "taskq.h"

#include "common/hashfn.h"
#include "fmgr.h"

#include "base/compat.h"
#include "shared/locks.h"
#include "shared/worker_name.h"

/* Make a name.  Without an instance_id it is that of the default instance.  The strings are not copied. */
WorkerName
WorkerNameOf(const char *worker_id, const char *instance_id)
{
	WorkerName worker = { .worker_id = worker_id, .instance_id = worker_id, .key = NameKey(worker_id) };

	if (instance_id != NULL && strcmp(instance_id, worker_id) != 0)
	{
		worker.instance_id = instance_id;
		worker.key = hash_combine64(worker.key, NameKey(instance_id));
	}
	return worker;
}

static uint64
TextKey(const text *name)
{
	return hash_bytes_extended((const unsigned char *) VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), 0);
}

/* Return the key of the name that a job's row has. */
uint64
WorkerKey(struct varlena *worker_id, struct varlena *instance_id)
{
	text *worker = DatumGetTextPP(PointerGetDatum(worker_id));
	text *instance = DatumGetTextPP(PointerGetDatum(instance_id));

	if (VARSIZE_ANY_EXHDR(worker) == VARSIZE_ANY_EXHDR(instance) &&
		memcmp(VARDATA_ANY(worker), VARDATA_ANY(instance), VARSIZE_ANY_EXHDR(worker)) == 0)
		return TextKey(worker);
	return hash_combine64(TextKey(worker), TextKey(instance));
}

bool
WorkerNamesEqual(const WorkerName *a, const WorkerName *b)
{
	return a->key == b->key && strcmp(a->worker_id, b->worker_id) == 0 && strcmp(a->instance_id, b->instance_id) == 0;
}

/* Return the name as messages show it. */
const char *
WorkerNameText(const WorkerName *worker)
{
	if (IsDefaultInstance(worker))
		return psprintf("worker \"%s\"", worker->worker_id);
	return psprintf("instance \"%s\" of worker \"%s\"", worker->instance_id, worker->worker_id);
}
