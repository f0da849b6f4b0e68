/*
 * payload.h
 *	  Check payloads by the contract of their task type's handler.
 */
#ifndef TASKQ_PAYLOAD_H
#define TASKQ_PAYLOAD_H

#include "taskq.h"

extern void PayloadsCheck(const char *task_type, const Datum *payloads, int n);

#endif /* TASKQ_PAYLOAD_H */
