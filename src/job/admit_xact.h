/*
 * admit_xact.h
 *	  The admissions that a transaction has made, and those that it has ended.
 */
#ifndef TASKQ_ADMIT_XACT_H
#define TASKQ_ADMIT_XACT_H

#include "taskq.h"

#include "job/admit.h"
#include "job/transition.h"

#define ALL_RULES PG_UINT32_MAX

/* by Admit() and its rules */
extern void		  AdmissionBegin(const Admission *admission);
extern Admission  AdmissionStamped(int64 job_id, int64 epoch);
extern Admission *AdmissionLast(int64 job_id);
extern void		  AdmissionHeld(int64 job_id, uint32 rule);
extern void		  AdmissionRefused(int64 job_id);
extern void		  AdmissionReserve(uint64 worker_key, uint32 rule);
extern void		  AdmissionUnreserve(void);
extern bool		  AdmissionsMayHaveEnded(void);

/* by claims and the state machine */
extern void AdmissionObserve(const Transition *transition);

extern void AdmissionInit(void);

#endif /* TASKQ_ADMIT_XACT_H */
