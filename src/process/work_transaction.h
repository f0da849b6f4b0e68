/*
 * work_transaction.h
 *	  Transactions of the scheduler's work, and what happens to their errors.
 */
#ifndef TASKQ_WORK_TRANSACTION_H
#define TASKQ_WORK_TRANSACTION_H

#include "taskq.h"

extern void WorkTransactionInit(void);
extern void WorkResetMemory(void);
extern bool WorkTry(const char *what, void (*function)(void *), void *arg);
extern bool WorkInTransaction(const char *what, void (*function)(void *), void *arg);

#endif /* TASKQ_WORK_TRANSACTION_H */
