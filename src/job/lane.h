/*
 * lane.h
 *	  The keys of a job by which it may be limited, and its lane.
 */
#ifndef TASKQ_LANE_H
#define TASKQ_LANE_H

#include "taskq.h"

#include "config/limit.h"
#include "job/job.h"
#include "shared/counts.h"

extern const JobKeys *KeysOfRow(int32 route_id, TupleTableSlot *row, JobKeys *keys);
extern const JobKeys *KeysOfJob(const TaskqJob *job, JobKeys *keys);
extern int64		  JobLane(const TaskqJob *job);
extern int64		  GroupOfRow(int32 route_id, TupleTableSlot *row);
extern int64		  GroupOfJob(const TaskqJob *job);
extern void			  JobMoveToLane(Store *jobs, TaskqJob *job);
extern void			  JobCountIn(const TaskqJob *job, int32 route_id, CountClass class);
extern bool			  JobMoveToTenant(Store *jobs, TaskqJob *job);
extern bool			  LimitsRelease(int64 job_id, int64 epoch);

#endif /* TASKQ_LANE_H */
