/*
 * call.h
 *	  Calling a handler.
 */
#ifndef TASKQ_CALL_H
#define TASKQ_CALL_H

#include "taskq.h"

#include "config/handler.h"
#include "job/job.h"

/* One run, from claim to settle. */
typedef struct Run
{
	TaskqJob			job;
	Store				jobs;
	char				task_type[TASKQ_NAME_MAX + 1];
	Oid					function;
	HandlerForm			form;
	bool				is_given; /* a handler that the caller named, not the registered one */
	bool				is_here;  /* in the caller's own transaction */
	bool				shares;	  /* its transaction may run other jobs too */
	char			   *search_path;
	int64				timeout;		/* microseconds; 0: none */
	int64				lock_timeout;	/* microseconds; NO_MICROSECONDS: as it is */
	TimestampTz			deadline;		/* 0: none */
	TimestampTz			outer_deadline; /* of the run inside which this one was started */
	struct FrameBuffer *outer_frames;	/* of that run */
	bool				has_memory_limit;
	uint64				scope; /* of what success() and the like build in this run; see built.c */
	Datum				result;
	bool				result_is_null;
	TimestampTz			snoozed_until; /* the handler wishes to run again then; 0: it does not */
	bool				timed_out;	   /* its time was over before it was */
	int					refused;	   /* SQLSTATE of an error that concerns this job's data alone; 0: none */
	bool				on_trial;	   /* the type is paused, and this run is to show whether that can end */
	bool				interrupted;   /* the server has interrupted it, whatever it made of that */
	ErrorData		   *error;		   /* NULL: the handler returned */
} Run;

extern void RunHandler(Run *run);

/* for runs that are called in another way */
extern Datum	  RunArgument(const Run *run);
extern void		  RunDescribe(void *arg);
extern const Run *RunEnter(Run *run);
extern void		  RunLeave(Run *run, const Run *outer);
extern void		  RunPassInterrupt(void);
extern void		  RunSetBounds(Run *run);
extern void		  RunLiftBounds(Run *run);

#endif /* TASKQ_CALL_H */
