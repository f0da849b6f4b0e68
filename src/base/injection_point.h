/*
 * injection_point.h
 *	  Places where a test can make a process wait while it observes other processes.
 *
 * A session that has set taskq.injection_point to the name of a place waits there
 * until no other session holds pg_advisory_lock(hashtext(name)).  Injection points
 * exist only in builds with TESTING=1.
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
