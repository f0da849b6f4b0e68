/*
 * waitpoint.h
 *	  Places where a test can hold a process, to look at what others do meanwhile.
 *
 * A session that has set taskq.waitpoint to the name of a place waits there for
 * whoever has pg_advisory_lock(hashtext(name)).  Only in builds with TESTING=1.
 */
#ifndef TASKQ_WAITPOINT_H
#define TASKQ_WAITPOINT_H

#ifdef TASKQ_TESTING
extern void Waitpoint(const char *name);
#define WAITPOINT(name) Waitpoint(name)
#else
#define WAITPOINT(name) ((void) 0)
#endif

#endif							/* TASKQ_WAITPOINT_H */
