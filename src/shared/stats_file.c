/*
 * stats_file.c
 *	  Keeping the statistics over a restart of the server.
 *
 * They are written when the server stops and read when it starts.  After a crash
 * they begin anew, as PostgreSQL's own do.  Only the postmaster calls this, when it
 * has no children.
 */
#include "taskq.h"

#include <unistd.h>

#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#include "shared/stats.h"
#include "shared/stats_file.h"

#define STATS_FILE PGSTAT_STAT_PERMANENT_DIRECTORY "/taskq.stat"
#define STATS_FILE_NEW STATS_FILE ".tmp"
#define STATS_FILE_MAGIC 0x7441514b

typedef struct StatsFileHeader
{
	uint32 magic;
	uint32 entry_size; /* a file of another version is not read */
	uint32 n;
} StatsFileHeader;

/* Read the file into the empty table.  Returns false if we have not written it, or not all of it. */
static bool
ReadEntries(FILE *file)
{
	StatsFileHeader header;
	StatsEntry		entry;

	if (fread(&header, sizeof(header), 1, file) != 1 ||
		header.magic != STATS_FILE_MAGIC || header.entry_size != sizeof(StatsEntry))
		return false;
	for (uint32 i = 0; i < header.n; i++)
	{
		if (fread(&entry, sizeof(entry), 1, file) != 1)
			return false;
		StatsRestore(&entry);
	}
	return true;
}

/* Was the server shut down properly? */
static bool
WasShutDown(void)
{
	bool			 crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);
	bool			 was = crc_ok && (control->state == DB_SHUTDOWNED || control->state == DB_SHUTDOWNED_IN_RECOVERY);

	pfree(control);
	return was;
}

/* Read the file, and remove it so that it is not read again after a crash. */
void
StatsFileLoad(void)
{
	FILE *file = AllocateFile(STATS_FILE, PG_BINARY_R);

	if (file == NULL)
		return;
	if (WasShutDown() && !ReadEntries(file))
		ereport(LOG,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("file \"%s\" was not written by this version of taskq, so the statistics begin anew", STATS_FILE)));
	FreeFile(file);
	(void) unlink(STATS_FILE);
}

static bool
WriteEntries(FILE *file)
{
	int				n;
	StatsEntry	   *entries = StatsCopyAll(InvalidOid, &n);
	StatsFileHeader header = { STATS_FILE_MAGIC, sizeof(StatsEntry), (uint32) n };

	return fwrite(&header, sizeof(header), 1, file) == 1 &&
		   fwrite(entries, sizeof(StatsEntry), n, file) == n;
}

static void
Save(int code, Datum arg)
{
	FILE *file;
	bool  written;

	/* After a crash the table may be damaged. */
	if (code != 0)
		return;
	file = AllocateFile(STATS_FILE_NEW, PG_BINARY_W);
	written = file != NULL && WriteEntries(file);
	if (file != NULL && FreeFile(file) != 0)
		written = false;
	if (written && durable_rename(STATS_FILE_NEW, STATS_FILE, LOG) == 0)
		return;
	if (!written)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", STATS_FILE_NEW)));
	(void) unlink(STATS_FILE_NEW);
}

void
StatsFileSaveAtExit(void)
{
	on_shmem_exit(Save, (Datum) 0);
}
