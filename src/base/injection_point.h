/*
 * injection_point.h
 *	  Places where a test can hold a process, to look at what others do meanwhile.
 *
 * A session that has set taskq.injection_point to the name of a place waits there for
 * whoever has pg_advisory_lock(hashtext(name)).  Only in builds with TESTING=1.
 */
#ifndef TASKQ_INJECTION_POINT_H
#define TASKQ_INJECTION_POINT_H

#ifdef TASKQ_TESTING
extern void InjectionPoint(const char *name);
#define TASKQ_INJECTION_POINT(name) InjectionPoint(name)
#else
#define TASKQ_INJECTION_POINT(name) ((void) 0)
#endif

#endif /* TASKQ_INJECTION_POINT_H */
