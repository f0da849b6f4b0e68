/*
 * register_handler.h
 *	  register_handler(): register the handler of a task type.
 */
#ifndef TASKQ_REGISTER_HANDLER_H
#define TASKQ_REGISTER_HANDLER_H

#include "taskq.h"

extern HandlerForm HandlerCheckFunction(Oid function, Oid run_as);

#endif /* TASKQ_REGISTER_HANDLER_H */
