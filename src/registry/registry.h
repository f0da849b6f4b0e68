/*
 * registry.h
 *	  Changing the registry.
 */
#ifndef TASKQ_REGISTRY_H
#define TASKQ_REGISTRY_H

#include "taskq.h"

extern HandlerForm HandlerCheckFunction(Oid function, Oid run_as);

#endif /* TASKQ_REGISTRY_H */
