/*
 * codec.h
 *	  Forming and reading the tuples of the tables that are used most.
 */
#ifndef TASKQ_CODEC_H
#define TASKQ_CODEC_H

#include "taskq.h"

#include "access/htup.h"
#include "access/tupdesc.h"

#include "store/rels.h"

/* More columns than this are left to the server's functions. */
#define CODEC_MAX_COLUMNS 64

typedef struct Codec
{
	/*
	 * Form a tuple of all columns, like heap_form_tuple().  "natts" is the number of
	 * columns of the descriptor.  Those that this library does not know are NULL.
	 */
	HeapTuple (*form)(const Datum *values, const bool *isnull, int natts);

	/* Read the columns that this library knows.  The tuple has all of them. */
	void (*read)(HeapTuple tuple, Datum *values, bool *isnull);
} Codec;

extern const Codec *CodecFor(TaskqRel rel, TupleDesc desc);

#endif /* TASKQ_CODEC_H */
