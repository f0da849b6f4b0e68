/*
 * key_values.h
 *	  Reading JSON that has something for single values of keys of jobs.
 */
#ifndef TASKQ_KEY_VALUES_H
#define TASKQ_KEY_VALUES_H

#include "taskq.h"

#include "utils/jsonb.h"

#include "config/limit.h"

typedef struct KeyReading KeyReading;

struct KeyReading
{
	uint8 keys;
	Size  item_size; /* of an item, which begins with its JobKeys */

	/* Read into an item, whose keys are set, what there is for a value.  Returns false and sets "problem" if it is not valid. */
	bool (*read)(KeyReading *reading, const JsonbValue *value, void *item);
	const void *arg; /* for that function */

	/* the result */
	char	   *items; /* in the order of their keys */
	int			n;
	const char *problem;
};

extern bool		   KeyValuesRead(KeyReading *reading, struct varlena *json);
extern const void *KeyValuesFind(const JobKeys *keys, const void *items, int n, Size item_size);
extern bool		   ReadWholeNumber(const JsonbValue *value, int32 least, int32 most, int32 *number);

#endif /* TASKQ_KEY_VALUES_H */
