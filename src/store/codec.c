/*
 * codec.c
 *	  Forming and reading the tuples of the tables that are used most.
 *
 * heap_form_tuple() looks at the descriptor of each column twice, and takes longer than
 * all that we do to fill in the values.  The columns of these tables are known when this
 * library is compiled, so a function for each table is made of the list of its columns
 * (columns.h; forming.h).  Another function reads tuples, whoever has formed them.
 *
 * What the functions assume of the columns is compared with the table's descriptor
 * before they are used, see CodecFor().
 */
#include "taskq.h"

#include "store/codec.h"
#include "store/columns.h"
#include "store/forming.h"

/* forming ------------------------------------------------------------------- */

FORM_FUNCTION(FormJob, jobs, JOBS_COLUMNS)
FORM_FUNCTION(FormEnded, job_history, JOB_HISTORY_COLUMNS)

/* reading ------------------------------------------------------------------- */

/* Return the columns of a tuple that are not NULL, a bit each.  It has at most 64. */
uint64
CodecPresent(HeapTuple tuple)
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
		uint64		present = CodecPresent(tuple);                         \
		Size		offset = 0;                                            \
                                                                           \
		LIST(TAKE_COLUMN, t)                                               \
	}

READ_FUNCTION(ReadJob, jobs, JOBS_COLUMNS)
READ_FUNCTION(ReadEnded, job_history, JOB_HISTORY_COLUMNS)

/*
 * The first columns of these tables have fixed lengths and are never NULL.  So their places in
 * a tuple are known when this library is compiled.  Most indexes have only such columns.
 */
#define START_jobs Anum_jobs_state
#define START_job_history Anum_job_history_superseded

/* Does a tuple have no NULL in its first n columns? */
static bool
HasStart(HeapTuple tuple, int n)
{
	uint64 start = (UINT64CONST(1) << n) - 1;

	return HeapTupleHeaderGetNatts(tuple->t_data) >= n && (CodecPresent(tuple) & start) == start;
}

#define TAKE_START(t, column, type, ...)                             \
	if (Anum_##t##_##column <= START_##t)                            \
	{                                                                \
		isnull[Anum_##t##_##column - 1] = false;                     \
		values[Anum_##t##_##column - 1] = Take(data, &offset, type); \
	}

#define START_FUNCTION(name, t, LIST)                                      \
	static Size                                                            \
	name(HeapTuple tuple, Datum *values, bool *isnull)                     \
	{                                                                      \
		const char *data = (char *) tuple->t_data + tuple->t_data->t_hoff; \
		Size		offset = 0;                                            \
                                                                           \
		if (!HasStart(tuple, START_##t))                                   \
			return 0;                                                      \
		LIST(TAKE_START, t)                                                \
		return offset;                                                     \
	}

START_FUNCTION(StartOfJob, jobs, JOBS_COLUMNS)
START_FUNCTION(StartOfEnded, job_history, JOB_HISTORY_COLUMNS)

/* Read at least the first n columns of the row in a slot, like slot_getsomeattrs().  "codec" may be NULL. */
void
CodecReadStart(const Codec *codec, TupleTableSlot *slot, AttrNumber n)
{
	HeapTuple tuple = NULL;
	Size	  end = 0;

	if (slot->tts_nvalid >= n)
		return;
	if (slot->tts_nvalid == 0 && (TTS_IS_BUFFERTUPLE(slot) || TTS_IS_HEAPTUPLE(slot)))
		tuple = ((HeapTupleTableSlot *) slot)->tuple;
	if (codec != NULL && n <= codec->n_start && tuple != NULL)
		end = codec->read_start(tuple, slot->tts_values, slot->tts_isnull);
	if (end > 0)
		SlotSetRead_compat(slot, codec->n_start, end);
	if (slot->tts_nvalid < n)
		slot_getsomeattrs(slot, n);
}

/* codecs -------------------------------------------------------------------- */

static const Codec job_codec = { FormJob, ReadJob, StartOfJob, START_jobs };
static const Codec ended_codec = { FormEnded, ReadEnded, StartOfEnded, START_job_history };

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
