/*
 * slow_clock.c
 *	  Makes time pass 100 times slower in a process under callgrind, which is about as
 *	  much slower itself.  Else time limits (of a shared commit, between reports of
 *	  statistics) would be reached after fewer jobs than usual, and not after the same
 *	  number each time.  Loaded by LD_PRELOAD, see bench/instructions.sh.
 */
#include <sys/time.h>
#include <time.h>

#define SLOWER 100

extern void SlowClock(void);
extern int	gettimeofday(struct timeval *restrict tv, void *restrict tz);

static long long start = 0; /* when time began to pass slower, or 0 */

static long long
Microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

/* From now on, time passes slower in this process. */
void
SlowClock(void)
{
	if (start == 0)
		start = Microseconds();
}

int
gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	long long now = Microseconds();

	(void) tz;
	if (start != 0)
		now = start + (now - start) / SLOWER;
	tv->tv_sec = now / 1000000;
	tv->tv_usec = now % 1000000;
	return 0;
}
