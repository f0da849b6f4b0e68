/*
 * codec.c
 *	  Forming and reading the tuples of the tables that are used most.
 *
 * heap_form_tuple() looks at the descriptor of each column twice, and takes longer than
 * all that we do to fill in the values.  The columns of these tables are known when this
 * library is compiled, so a function for each table is made of the list of its columns
 * (columns.h).  It makes what heap_form_tuple() makes, with one difference: there is
 * always a bitmap of nulls.  Another function reads tuples, whoever has formed them.
 *
 * What the functions assume of the columns is compared with the table's descriptor
 * before they are used, see CodecFor().
 */
#include "taskq.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "store/columns.h"
#include "store/codec.h"

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
static void
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

FORM_FUNCTION(FormJob, jobs, JOBS_COLUMNS)
FORM_FUNCTION(FormEnded, job_history, JOB_HISTORY_COLUMNS)

/* reading ------------------------------------------------------------------- */

/* Return the columns of a tuple that are not NULL, a bit each. */
static uint64
Present(HeapTuple tuple)
{
	HeapTupleHeader header = tuple->t_data;
	uint64			present = 0;

	if (!HeapTupleHasNulls(tuple))
		return ~UINT64CONST(0);
	for (int i = 0; i < BITMAPLEN(HeapTupleHeaderGetNatts(header)); i++)
		present |= (uint64) header->t_bits[i] << (8 * i);
	return present;
}

/* Read the value at the offset, and move the offset behind it. */
static pg_attribute_always_inline Datum
Take(const char *data, Size *offset, Oid type)
{
	const char *at;

	switch (Alignment(type))
	{
		case TYPALIGN_SHORT:
			*offset = SHORTALIGN(*offset);
			break;
		case TYPALIGN_DOUBLE:
			*offset = DOUBLEALIGN(*offset);
			break;
		case TYPALIGN_INT:
			/* a short header is not aligned, and its first byte is not zero as those before a long one */
			if (Length(type) > 0 || !VARATT_NOT_PAD_BYTE(data + *offset))
				*offset = INTALIGN(*offset);
			break;
	}
	at = data + *offset;
	*offset += Length(type) > 0 ? Length(type) : VARSIZE_ANY(at);
	switch (Length(type))
	{
		case sizeof(char):
			return CharGetDatum(*at);
		case sizeof(int16):
			return Int16GetDatum(*(const int16 *) at);
		case sizeof(int32):
			return Int32GetDatum(*(const int32 *) at);
		case sizeof(int64):
			return Int64GetDatum(*(const int64 *) at);
		default:
			return PointerGetDatum(at);
	}
}

#define TAKE_COLUMN(t, column, type, ...)                               \
	isnull[Anum_##t##_##column - 1] =                                   \
		(present & (UINT64CONST(1) << (Anum_##t##_##column - 1))) == 0; \
	values[Anum_##t##_##column - 1] =                                   \
		isnull[Anum_##t##_##column - 1] ? (Datum) 0 : Take(data, &offset, type);

#define READ_FUNCTION(name, t, LIST)                                       \
	static void                                                            \
	name(HeapTuple tuple, Datum *values, bool *isnull)                     \
	{                                                                      \
		const char *data = (char *) tuple->t_data + tuple->t_data->t_hoff; \
		uint64		present = Present(tuple);                              \
		Size		offset = 0;                                            \
                                                                           \
		LIST(TAKE_COLUMN, t)                                               \
	}

READ_FUNCTION(ReadJob, jobs, JOBS_COLUMNS)
READ_FUNCTION(ReadEnded, job_history, JOB_HISTORY_COLUMNS)

/* codecs -------------------------------------------------------------------- */

static const Codec job_codec = { FormJob, ReadJob };
static const Codec ended_codec = { FormEnded, ReadEnded };

/* Is the column as the functions assume? */
static bool
IsAsAssumed(Form_pg_attribute attribute)
{
	int length = Length(attribute->atttypid);

	/* a value of variable length is stored with a long header if its storage is plain */
	return length != 0 && attribute->attlen == length &&
		   attribute->attalign == Alignment(attribute->atttypid) &&
		   (length > 0 || attribute->attstorage != TYPSTORAGE_PLAIN);
}

StaticAssertDecl(Anum_jobs_end - 1 <= 64, "a set of columns is a uint64");
StaticAssertDecl(Anum_job_history_end - 1 <= 64, "a set of columns is a uint64");

/*
 * Return the codec for the tuples of a table, or NULL if the server's functions must be
 * used, as for a table to which a user has added a column.  The caller has compared the
 * names and types of the columns with the list.
 */
const Codec *
CodecFor(TaskqRel rel, TupleDesc desc)
{
	Assert(ColumnsFirstOther(rel, desc) == 0);
	if (desc->natts != ColumnsCount(rel))
		return NULL;
	for (int i = 0; i < desc->natts; i++)
		if (!IsAsAssumed(TupleDescAttr(desc, i)))
			return NULL;
	switch (rel)
	{
		case REL_JOBS:
			return &job_codec;
		case REL_HISTORY:
		case REL_HISTORY_OVERFLOW:
			return &ended_codec;
		default:
			return NULL;
	}
}
