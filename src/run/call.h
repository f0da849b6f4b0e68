/*
 * call.h
 *	  Call a handler.
 */
#ifndef TASKQ_CALL_H
#define TASKQ_CALL_H

#include "taskq.h"

#include "config/handler.h"
#include "job/job.h"

/* A run of a job in this process, from its claim to its settle. */
typedef struct Run
{
	TaskqJob			job;
	Store				jobs;
	char				task_type[TASKQ_NAME_MAX + 1];
	Oid					function;
	HandlerForm			form;
	bool				is_given;	   /* the caller named the handler; it is not the registered one */
	bool				is_here;	   /* a run by hand, in the caller's session and transaction */
	bool				shares;		   /* other jobs may run in the same transaction */
	bool				commits_async; /* the commit need not wait for the disk */
	bool				is_bare;	   /* no subtransaction: an error is passed on, and the transaction must be rolled back */
	bool				has_undone;	   /* such an error was passed on */
	char			   *search_path;
	int64				timeout;		/* microseconds; 0: none */
	int64				lock_timeout;	/* microseconds; NO_MICROSECONDS: lock_timeout is not set */
	TimestampTz			deadline;		/* 0: none */
	TimestampTz			outer_deadline; /* deadline of the run inside which this one runs, to be restored */
	struct FrameBuffer *outer_frames;	/* frames of that outer run, to be restored */
	bool				has_memory_limit;
	uint64				scope; /* identifies what success() and the like build in this run; see built.c */
	Datum				result;
	bool				result_is_null;
	TimestampTz			snoozed_until; /* when the job runs again, if the handler returned snooze(); else 0 */
	bool				timed_out;	   /* the deadline passed before the handler ended */
	int					refused;	   /* SQLSTATE with which a row-level policy refused a row; 0: none did */
	bool				on_trial;	   /* the task type is paused, and this run tries whether the pause can end */
	bool				interrupted;   /* the server interrupted the handler, even if the handler caught that */
	ErrorData		   *error;		   /* the handler's error, or NULL if the handler returned */
} Run;

extern void RunHandler(Run *run);
extern void RunInit(void);

/* for stepwise.c, which calls procedures, and for run.c */
extern Datum	  RunArgument(const Run *run);
extern void		  RunDescribe(void *arg);
extern const Run *RunEnter(Run *run);
extern void		  RunLeave(Run *run, const Run *outer);
extern void		  RunPassInterrupt(void);
extern void		  RunSetBounds(Run *run);
extern void		  RunLiftBounds(Run *run);

#endif /* TASKQ_CALL_H */
