/*
 * compat_assert.h
 *	  Test builds check taskq's assertions also on servers without assertions.
 *
 * From 19 on they cannot: inline functions in the server's headers assert things of
 * variables that only a server with assertions has.  This part of compat.h is included by
 * every file, so it includes no other header.
 */
#ifndef TASKQ_COMPAT_ASSERT_H
#define TASKQ_COMPAT_ASSERT_H

#define TASKQ_NORETURN __attribute__((noreturn))

/* This comes after PostgreSQL's own definition, which would call a function that the server lacks. */
#if defined(TASKQ_TESTING) && !defined(USE_ASSERT_CHECKING) && PG_VERSION_NUM < 190000
#define TASKQ_OWN_ASSERTIONS
#undef Assert
#define Assert(condition) ((condition) ? (void) 0 : AssertionFailed(#condition, __FILE__, __LINE__))
TASKQ_NORETURN extern void AssertionFailed(const char *condition, const char *file, int line);
#endif

#endif /* TASKQ_COMPAT_ASSERT_H */
