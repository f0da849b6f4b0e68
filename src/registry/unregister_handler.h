/*
 * unregister_handler.h
 *	  Change existing registrations.
 */
#ifndef TASKQ_UNREGISTER_HANDLER_H
#define TASKQ_UNREGISTER_HANDLER_H

#include "taskq.h"

#include "config/handler.h"

extern void HandlerCheckMayChange(const TaskqHandler *handler);
extern void HandlerRecordChange(const char *task_type, const char *change, Oid by);

#endif /* TASKQ_UNREGISTER_HANDLER_H */
