/*
 * codec.h
 *	  Forming and reading the tuples of the tables that are used most.
 */
#ifndef TASKQ_CODEC_H
#define TASKQ_CODEC_H

#include "taskq.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"

#include "store/rels.h"

typedef struct Codec
{
	/* Form a tuple, like heap_form_tuple(). */
	HeapTuple (*form)(const Datum *values, const bool *isnull);

	/* Read a tuple, like heap_deform_tuple().  It has all columns. */
	void (*read)(HeapTuple tuple, Datum *values, bool *isnull);

	/* Read the first n_start columns of a tuple.  Returns where they end, or 0 if one of them is NULL. */
	Size (*read_start)(HeapTuple tuple, Datum *values, bool *isnull);
	AttrNumber n_start;
} Codec;

extern const Codec *CodecFor(TaskqRel rel, TupleDesc desc);
extern uint64		CodecPresent(HeapTuple tuple);
extern void			CodecReadStart(const Codec *codec, TupleTableSlot *slot, AttrNumber n);

#endif /* TASKQ_CODEC_H */
