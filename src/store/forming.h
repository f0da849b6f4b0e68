/*
 * forming.h
 *	  Forming tuples whose columns are known when this library is compiled.
 *
 * FORM_FUNCTION makes a function of a list of columns.  It makes what heap_form_tuple()
 * makes, with one difference: there is always a bitmap of nulls.
 */
#ifndef TASKQ_FORMING_H
#define TASKQ_FORMING_H

#include "taskq.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "base/compat.h"

/* types -------------------------------------------------------------------- */

/*
 * Return the length of a type's values, or -1 if it varies.  "type" is a constant in all
 * calls by the functions that form tuples, so nothing is left of these switches there.
 */
static pg_attribute_always_inline int
Length(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
			return sizeof(char);
		case INT2OID:
			return sizeof(int16);
		case INT4OID:
		case OIDOID:
		case DATEOID:
			return sizeof(int32);
		case INT8OID:
		case TIMESTAMPTZOID:
			return sizeof(int64);
		case INTERVALOID:
			return sizeof(Interval);
		case TEXTOID:
		case JSONBOID:
		case TEXTARRAYOID:
		case NUMERICOID:
			return -1;
		default:
			return 0; /* no function forms such a column */
	}
}

static pg_attribute_always_inline char
Alignment(Oid type)
{
	switch (Length(type))
	{
		case sizeof(char):
			return TYPALIGN_CHAR;
		case sizeof(int16):
			return TYPALIGN_SHORT;
		case sizeof(int64):
		case sizeof(Interval):
			return TYPALIGN_DOUBLE;
		default:
			return TYPALIGN_INT;
	}
}

/* Return how much room a value takes at most, with what aligns it. */
static pg_attribute_always_inline Size
Room(Oid type, Datum value, bool isnull)
{
	/* a fixed length is always counted, so that the compiler can add them up */
	if (Length(type) > 0)
		return Length(type) + Min(Length(type), ALIGNOF_DOUBLE) - 1;
	return isnull ? 0 : VARSIZE_ANY(DatumGetPointer(value)) + ALIGNOF_INT - 1;
}

/* forming ------------------------------------------------------------------- */

/* A tuple that is being formed. */
typedef struct Forming
{
	HeapTuple tuple;
	char	 *data;	   /* where the values begin */
	Size	  offset;  /* how much of it is used */
	uint64	  present; /* the columns that are not NULL, a bit each */
	uint16	  infomask;
} Forming;

/*
 * Put a value of variable length, as heap_form_tuple() does: one that fits gets a short
 * header, and only a long header is aligned.
 */
static inline void
PutVarlena(Forming *forming, const struct varlena *value)
{
	char *at = forming->data + forming->offset;
	Size  length;

	forming->infomask |= HEAP_HASVARWIDTH;
	if (VARATT_CAN_MAKE_SHORT(value))
	{
		length = VARATT_CONVERTED_SHORT_SIZE(value);
		SET_VARSIZE_SHORT(at, length);
		memcpy(at + VARHDRSZ_SHORT, VARDATA(value), length - VARHDRSZ_SHORT);
		forming->offset += length;
		return;
	}
	length = VARSIZE_ANY(value);
	if (VARATT_IS_EXTERNAL(value))
	{
		/* other pointers lead into the memory of this process */
		if (!VARATT_IS_EXTERNAL_ONDISK(value))
			elog(ERROR, "cannot store a value that is expanded in memory");
		forming->infomask |= HEAP_HASEXTERNAL;
	}
	else if (!VARATT_IS_SHORT(value))
	{
		forming->offset = INTALIGN(forming->offset);
		at = forming->data + forming->offset;
	}
	memcpy(at, value, length);
	forming->offset += length;
}

/* Put a value of a column that is not NULL. */
static pg_attribute_always_inline void
Put(Forming *forming, int attnum, Oid type, Datum value)
{
	forming->present |= UINT64CONST(1) << (attnum - 1);
	switch (Length(type))
	{
		case sizeof(char):
			forming->data[forming->offset] = DatumGetChar(value);
			break;
		case sizeof(int16):
			forming->offset = SHORTALIGN(forming->offset);
			*(int16 *) (forming->data + forming->offset) = DatumGetInt16(value);
			break;
		case sizeof(int32):
			forming->offset = INTALIGN(forming->offset);
			*(int32 *) (forming->data + forming->offset) = DatumGetInt32(value);
			break;
		case sizeof(int64):
			forming->offset = DOUBLEALIGN(forming->offset);
			*(int64 *) (forming->data + forming->offset) = DatumGetInt64(value);
			break;
		case sizeof(Interval):
			forming->offset = DOUBLEALIGN(forming->offset);
			memcpy(forming->data + forming->offset, DatumGetPointer(value), sizeof(Interval));
			break;
		default:
			PutVarlena(forming, (const struct varlena *) DatumGetPointer(value));
			return;
	}
	forming->offset += Length(type);
}

static pg_attribute_always_inline void
Begin(Forming *forming, int natts, Size room)
{
	Size	  header = MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(natts));
	HeapTuple tuple = palloc(HEAPTUPLESIZE + header + room);

	/* the bytes between values are zero, as of any tuple */
	memset(tuple, 0, HEAPTUPLESIZE + header + room);
	tuple->t_data = (HeapTupleHeader) ((char *) tuple + HEAPTUPLESIZE);
	tuple->t_data->t_hoff = header;
	forming->tuple = tuple;
	forming->data = (char *) tuple->t_data + header;
	forming->offset = 0;
	forming->present = 0;
	forming->infomask = HEAP_HASNULL;
}

static pg_attribute_always_inline HeapTuple
End(const Forming *forming, int natts)
{
	HeapTuple		tuple = forming->tuple;
	HeapTupleHeader header = tuple->t_data;

	tuple->t_len = header->t_hoff + forming->offset;
	ItemPointerSetInvalid(&tuple->t_self);
	ItemPointerSetInvalid(&header->t_ctid);
	HeapTupleHeaderSetNatts(header, natts);
	header->t_infomask = forming->infomask;
	for (int i = 0; i < BITMAPLEN(natts); i++)
		header->t_bits[i] = (uint8) (forming->present >> (8 * i));
	return tuple;
}

#define ADD_ROOM(t, column, type, ...) +Room(type, values[Anum_##t##_##column - 1], isnull[Anum_##t##_##column - 1])
#define PUT_COLUMN(t, column, type, ...)  \
	if (!isnull[Anum_##t##_##column - 1]) \
		Put(&forming, Anum_##t##_##column, type, values[Anum_##t##_##column - 1]);

#define FORM_FUNCTION(name, t, LIST)                            \
	static HeapTuple                                            \
	name(const Datum *values, const bool *isnull)               \
	{                                                           \
		Forming forming;                                        \
                                                                \
		Begin(&forming, Anum_##t##_end - 1, LIST(ADD_ROOM, t)); \
		LIST(PUT_COLUMN, t)                                     \
		return End(&forming, Anum_##t##_end - 1);               \
	}

#endif /* TASKQ_FORMING_H */
