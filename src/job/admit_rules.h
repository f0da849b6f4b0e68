/*
 * admit_rules.h
 *	  The rules of admission, each in a file of its own.  The list is in admit.c.
 */
#ifndef TASKQ_ADMIT_RULES_H
#define TASKQ_ADMIT_RULES_H

#include "taskq.h"

#include "job/admit.h"

extern const AdmissionRule admit_running;
extern const AdmissionRule admit_suspect;
extern const AdmissionRule admit_alone;
extern const AdmissionRule admit_cancelled;
extern const AdmissionRule admit_trial;
extern const AdmissionRule admit_permit;
extern const AdmissionRule admit_limit;
extern const AdmissionRule admit_order;
extern const AdmissionRule admit_rate;
extern const AdmissionRule admit_budget;
extern const AdmissionRule admit_turn;
#ifdef TASKQ_TESTING
extern const AdmissionRule admit_testing;
#endif

#endif /* TASKQ_ADMIT_RULES_H */
