/*
 * registry.h
 *	  Register handlers.
 */
#ifndef TASKQ_REGISTRY_H
#define TASKQ_REGISTRY_H

#include "taskq.h"

extern HandlerForm HandlerCheckFunction(Oid function, Oid run_as);

#endif /* TASKQ_REGISTRY_H */
