/*
 * observers.h
 *	  Who wants to know that a job has changed its state.
 */
#ifndef TASKQ_OBSERVERS_H
#define TASKQ_OBSERVERS_H

extern void ObserversInit(void);

#endif /* TASKQ_OBSERVERS_H */
