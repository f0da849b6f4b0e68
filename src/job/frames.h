/*
 * frames.h
 *	  Frames: the messages of a run while it runs.
 */
#ifndef TASKQ_FRAMES_H
#define TASKQ_FRAMES_H

#include "taskq.h"

#include "job/job.h"
#include "utils/timestamp.h"

/* Limit of frames that an external worker may append to an attempt. */
#define MAX_FRAMES 1000

/* Maximum length of a frame's message, in bytes. */
#define MAX_FRAME_MESSAGE 1024

typedef struct FrameBuffer FrameBuffer;

/* One frame, read from a buffer. */
typedef struct Frame
{
	int32		number; /* from 1 */
	TimestampTz at;
	int			level; /* of ereport() */
	int			sqlstate;
	const char *message; /* ends with a zero byte */
} Frame;

extern void			FramesInit(void);
extern void			FrameInit(void);
extern FrameBuffer *FrameInHand(void);
extern FrameBuffer *FrameBegin(const TaskqJob *job, bool is_here);
extern void			FrameEnd(FrameBuffer *outer);
extern void			FrameListen(bool listen);
extern void			FrameReload(void);
extern bool			FrameAppend(int level, int sqlstate, const char *message);
extern void			FrameWrite(void);
extern FrameBuffer *FrameCopy(int slot, int64 *job_id, int64 *epoch, int32 *attempt);
extern bool			FrameNext(const FrameBuffer *buffer, Size *position, Frame *frame);
extern const char  *FrameLevelName(int level);
extern bool			FrameLevelByName(const char *name, int *level);
extern void			FrameInsert(int64 job_id, int64 epoch, int32 attempt, const Frame *frame);

#endif /* TASKQ_FRAMES_H */
