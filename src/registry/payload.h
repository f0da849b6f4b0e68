/*
 * payload.h
 *	  Are payloads as their task type's handler expects them?
 */
#ifndef TASKQ_PAYLOAD_H
#define TASKQ_PAYLOAD_H

#include "taskq.h"

extern void PayloadsCheck(const char *task_type, const Datum *payloads, int n);

#endif /* TASKQ_PAYLOAD_H */
