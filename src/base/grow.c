/*
 * grow.c
 *	  Arrays that live as long as the process and grow.
 */
#include "taskq.h"

#include "utils/memutils.h"

#include "base/grow.h"

/*
 * Make room for "wanted" elements of a size in an array of *max elements, which is
 * NULL at first.  Returns the array, which may have moved.
 */
void *
GrowArray(void *array, Size size, int *max, int wanted)
{
	int more;

	if (wanted <= *max)
		return array;
	more = Max(wanted, Max(16, *max * 2));
	if (array == NULL)
		array = MemoryContextAllocHuge(TopMemoryContext, size * more);
	else
		array = repalloc_huge(array, size * more);
	*max = more;
	return array;
}
