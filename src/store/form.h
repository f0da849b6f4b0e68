/*
 * form.h
 *	  Forming the tuples of the tables that are written most.
 */
#ifndef TASKQ_FORM_H
#define TASKQ_FORM_H

#include "taskq.h"

#include "access/htup.h"
#include "access/tupdesc.h"

#include "store/rels.h"

/* The columns of a descriptor of which such a function can form a tuple. */
#define FORM_MAX_COLUMNS 64

/*
 * Form a tuple of all columns of a table, like heap_form_tuple().  "natts" is the number
 * of columns of the descriptor; those that this library does not know are NULL.
 */
typedef HeapTuple (*FormFunction)(const Datum *values, const bool *isnull, int natts);

extern FormFunction FormFunctionFor(TaskqRel rel, TupleDesc desc);

#endif /* TASKQ_FORM_H */
