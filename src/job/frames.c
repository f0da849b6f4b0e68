/*
 * frames.c
 *	  Frames: the messages of a run, kept in order while it runs.
 *
 * A run is one transaction.  Nobody could read its rows before it ends, and those of
 * a failed run would be lost.  So frames are kept in shared memory, in a buffer for
 * each slot.  The settle writes them into taskq.frame_log, in the same commit.  A
 * full buffer loses its oldest frames, which leaves a gap in the numbers.
 *
 * The messages of a handler in a background worker come through emit_log_hook.  The
 * worker's session sets log_min_messages lower than the role does, so that they reach
 * the hook, which keeps those out of the server's log that are not meant for it.  If a
 * session runs a job by hand, it gets the messages itself, and there is no hook.
 *
 * The lock of a slot protects its buffer.  Only the owner of the slot writes to it.
 */
#include "taskq.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/compat.h"
#include "base/guc.h"
#include "base/text.h"
#include "job/frames.h"
#include "job/job.h"
#include "shared/shmem.h"
#include "store/catalog.h"
#include "store/owner.h"
#include "store/row.h"

/* A frame in a buffer, followed by its message, aligned.  The oldest frame is first. */
typedef struct StoredFrame
{
	int32		number;
	int32		level;
	int32		sqlstate;
	int32		length; /* length of the message, with its zero byte */
	TimestampTz at;
} StoredFrame;

struct FrameBuffer
{
	int64 job_id; /* 0 if there is no run */
	int64 epoch;
	int32 attempt;
	int32 last; /* number of the last frame */
	Size  size; /* size of "data" */
	Size  used;
	char  data[FLEXIBLE_ARRAY_MEMBER];
};

static char				 *buffers = NULL;	 /* one for each slot */
static FrameBuffer		 *current = NULL;	 /* buffer of the current run */
static bool				  listening = false; /* the handler of the current run is being called */
static bool				  lowered = false;	 /* log_min_messages was lowered, to get all messages */
static int				  server_level;		 /* level for the server's log */
static emit_log_hook_type previous_hook = NULL;

/* buffers ------------------------------------------------------------------ */

static Size
BufferSize(void)
{
	return (Size) taskq_frame_memory * 1024;
}

static FrameBuffer *
BufferOfSlot(int slot)
{
	return (FrameBuffer *) (buffers + slot * BufferSize());
}

static Size
FrameShmemSize(void)
{
	return mul_size(BufferSize(), ShmemCountSlots());
}

static void
FrameShmemStartup(void)
{
	bool found;

	if (taskq_frame_memory == 0)
		return;
	buffers = ShmemInitStruct("taskq frames", FrameShmemSize(), &found);
	for (int i = 0; !found && i < ShmemCountSlots(); i++)
		memset(BufferOfSlot(i), 0, offsetof(FrameBuffer, data));
}

void
FramesInit(void)
{
	ShmemRegister(FrameShmemSize, FrameShmemStartup);
}

/* Return the lock of a buffer, or NULL if no other process reads it. */
static LWLock *
Lock(const FrameBuffer *buffer)
{
	TaskqSlot *slot = ShmemMySlot();

	return slot != NULL && buffers != NULL && buffer == BufferOfSlot(slot - taskq_slots) ? &slot->lock : NULL;
}

static void
AcquireLock(const FrameBuffer *buffer)
{
	if (Lock(buffer) != NULL)
		LWLockAcquire(Lock(buffer), LW_EXCLUSIVE);
}

static void
ReleaseLock(const FrameBuffer *buffer)
{
	if (Lock(buffer) != NULL)
		LWLockRelease(Lock(buffer));
}

static Size
FrameSize(int length)
{
	return MAXALIGN(sizeof(StoredFrame)) + MAXALIGN(length);
}

static void
DropOldest(FrameBuffer *buffer)
{
	Size size = FrameSize(((StoredFrame *) buffer->data)->length);

	memmove(buffer->data, buffer->data + size, buffer->used - size);
	buffer->used -= size;
}

/*
 * Add a frame.  This may be called at any point, so it allocates no memory and
 * cannot fail.
 */
static void
Add(FrameBuffer *buffer, int level, int sqlstate, const char *message)
{
	int			 length = pg_mbcliplen(message, strlen(message), MAX_FRAME_MESSAGE - 1);
	StoredFrame *frame;

	AcquireLock(buffer);
	while (buffer->used > 0 && buffer->size - buffer->used < FrameSize(length + 1))
		DropOldest(buffer);
	if (buffer->size - buffer->used >= FrameSize(length + 1))
	{
		frame = (StoredFrame *) (buffer->data + buffer->used);
		frame->number = ++buffer->last;
		frame->level = level;
		frame->sqlstate = sqlstate;
		frame->length = length + 1;
		frame->at = ClockNow();
		memcpy((char *) frame + MAXALIGN(sizeof(StoredFrame)), message, length);
		((char *) frame + MAXALIGN(sizeof(StoredFrame)))[length] = '\0';
		MakeValidText((char *) frame + MAXALIGN(sizeof(StoredFrame)), length);
		buffer->used += FrameSize(length + 1);
	}
	ReleaseLock(buffer);
}

/*
 * Read the frame at a position, and advance the position.  The first position is 0.
 * Returns false if there are no more frames.
 */
bool
FrameNext(const FrameBuffer *buffer, Size *position, Frame *frame)
{
	const StoredFrame *stored = (const StoredFrame *) (buffer->data + *position);

	if (*position >= buffer->used)
		return false;
	frame->number = stored->number;
	frame->at = stored->at;
	frame->level = stored->level;
	frame->sqlstate = stored->sqlstate;
	frame->message = (const char *) stored + MAXALIGN(sizeof(StoredFrame));
	*position += FrameSize(stored->length);
	return true;
}

/*
 * Return a copy of the buffer of a slot, and whose run it is.  Returns NULL if
 * there are no buffers.
 */
FrameBuffer *
FrameCopy(int slot, int64 *job_id, int64 *epoch, int32 *attempt)
{
	FrameBuffer *copy;

	if (buffers == NULL)
		return NULL;
	copy = palloc(BufferSize());
	LWLockAcquire(&taskq_slots[slot].lock, LW_SHARED);
	memcpy(copy, BufferOfSlot(slot), BufferSize());
	LWLockRelease(&taskq_slots[slot].lock);
	*job_id = copy->job_id;
	*epoch = copy->epoch;
	*attempt = copy->attempt;
	return copy;
}

/* levels ------------------------------------------------------------------- */

static const struct
{
	const char *name;
	int			level;
} levels[] = {
	{ "info", INFO },
	{ "notice", NOTICE },
	{ "warning", WARNING },
	{ "error", ERROR },
};

const char *
FrameLevelName(int level)
{
	for (int i = 0; i < lengthof(levels); i++)
		if (levels[i].level == level)
			return levels[i].name;
	return "error";
}

bool
FrameLevelByName(const char *name, int *level)
{
	for (int i = 0; i < lengthof(levels); i++)
		if (strcmp(levels[i].name, name) == 0)
		{
			*level = levels[i].level;
			return true;
		}
	return false;
}

/*
 * Would this message be in the server's log without the lowered level?  The rule is
 * that of elog.c.
 */
static bool
IsForServerLog(int elevel)
{
	if (elevel == LOG || elevel == LOG_SERVER_ONLY)
		return server_level == LOG || server_level <= ERROR;
	if (server_level == LOG)
		return elevel >= FATAL;
	return elevel >= server_level;
}

/* runs --------------------------------------------------------------------- */

static void
HearMessage(ErrorData *error)
{
	if (listening && error->elevel >= INFO && error->elevel <= WARNING &&
		error->elevel >= taskq_frame_level && error->message != NULL)
		Add(current, error->elevel, error->sqlerrcode, error->message);
	if (lowered && error->elevel >= LOG && !IsForServerLog(error->elevel))
		error->output_to_server = false;
	if (error->output_to_server && previous_hook != NULL)
		previous_hook(error);
}

/* Called once in each background worker. */
void
FrameInit(void)
{
	previous_hook = emit_log_hook;
	emit_log_hook = HearMessage;
}

/* Return the buffer of the current run, or NULL. */
FrameBuffer *
FrameInHand(void)
{
	return current;
}

/*
 * Begin a run, in the caller's own transaction or in a worker's.  Returns the
 * buffer of the previous run, for FrameEnd().
 */
FrameBuffer *
FrameBegin(const TaskqJob *job, bool is_here)
{
	FrameBuffer *outer = current;

	if (taskq_frame_memory == 0)
		return outer;
	current = is_here ? palloc(BufferSize()) : BufferOfSlot(ShmemMySlot() - taskq_slots);
	AcquireLock(current);
	current->job_id = job->job_id;
	current->epoch = job->epoch;
	current->attempt = job->attempt;
	current->last = 0;
	current->size = BufferSize() - offsetof(FrameBuffer, data);
	current->used = 0;
	ReleaseLock(current);
	return outer;
}

/* End a run.  It is settled, or never will be. */
void
FrameEnd(FrameBuffer *outer)
{
	if (current != NULL && outer == NULL)
	{
		AcquireLock(current);
		current->job_id = 0;
		ReleaseLock(current);
	}
	current = outer;
	if (outer == NULL)
		listening = false;
}

/*
 * Begin or stop to record the messages of a handler.  The setting stays for later
 * runs, see PrepareSession().
 */
void
FrameListen(bool listen)
{
	listening = listen && current != NULL;
	if (!listening || (lowered && LogMinMessages_compat() == INFO))
		return;
	server_level = LogMinMessages_compat();
	lowered = !IsForServerLog(INFO);
	if (lowered)
		(void) set_config_option("log_min_messages", "info", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
}

/* Prepare to reload the server's settings. */
void
FrameReload(void)
{
	if (lowered)
		SetConfigOption("log_min_messages", NULL, PGC_SUSET, PGC_S_SESSION);
	lowered = false;
}

/*
 * Add a frame to the current run, unless frames are switched off.  Returns false if
 * there is no current run.
 */
bool
FrameAppend(int level, int sqlstate, const char *message)
{
	if (current == NULL)
		return false;
	if (taskq_frame_level <= ERROR)
		Add(current, level, sqlstate, message);
	return true;
}

/* rows --------------------------------------------------------------------- */

/* Write one frame.  The current user is the owner. */
void
FrameInsert(int64 job_id, int64 epoch, int32 attempt, const Frame *frame)
{
	Store	 log;
	FrameRow row = {
		.job_id = job_id,
		.epoch = epoch,
		.frame = frame->number,
		.attempt = attempt,
		.at = frame->at,
		.level = (char *) FrameLevelName(frame->level),
		.sqlstate = frame->sqlstate == 0 ? NULL : unpack_sql_state(frame->sqlstate),
		.message = (char *) frame->message,
	};

	Assert(job_id != 0 && epoch != 0);
	StoreOpenRel(&log, REL_FRAMES);
	RowWriteFrame(&row, StoreNewRow(&log));
	StoreInsert(&log);
	StoreClose(&log, true);
}

/* Write the frames of the current run.  The current user is the owner. */
void
FrameWrite(void)
{
	Size  position = 0;
	Frame frame;

	AssertOwner();
	while (current != NULL && FrameNext(current, &position, &frame))
		FrameInsert(current->job_id, current->epoch, current->attempt, &frame);
}
