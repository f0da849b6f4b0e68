/*
 * claim_job.h
 *	  Claims by external workers.
 */
#ifndef TASKQ_CLAIM_JOB_H
#define TASKQ_CLAIM_JOB_H

extern char *ClaimSessionWorkerId(void);

#endif							/* TASKQ_CLAIM_JOB_H */
