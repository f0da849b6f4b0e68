/*
 * suspects_file.c
 *	  Suspects that one postmaster leaves to the next.
 *
 * With restart_after_crash = off a crash ends the postmaster, and the memory of
 * blame.c with it.  The postmaster then writes the suspects to a file in the data
 * directory.  The file is not flushed: a power failure loses nothing but blame.
 * Nothing here keeps the server from starting.
 */
#include "taskq.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/xlog.h"
#include "common/file_perm.h"
#include "port/pg_crc32c.h"

#include "shared/suspects_file.h"

#define SUSPECTS_FILE "pg_taskq_suspects"
#define SUSPECTS_MAGIC 0x74715301

typedef struct SuspectsHeader
{
	uint32	  magic;
	uint32	  n_suspects;
	uint64	  system_identifier;
	pg_crc32c crc; /* of the suspects */
} SuspectsHeader;

/* Kept, as shared memory has gone when the postmaster saves the suspects. */
static uint64 system_identifier;

static pg_crc32c
Checksum(const BlameSuspect *suspects, size_t size)
{
	pg_crc32c crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, suspects, size);
	FIN_CRC32C(crc);
	return crc;
}

void
SuspectsSave(const BlameSuspect *suspects, int n)
{
	SuspectsHeader header = { SUSPECTS_MAGIC };
	size_t		   size = sizeof(BlameSuspect) * n;
	int			   fd = open(SUSPECTS_FILE, O_WRONLY | O_CREAT | O_TRUNC | PG_BINARY, pg_file_create_mode);
	bool		   written;

	header.n_suspects = n;
	header.system_identifier = system_identifier;
	header.crc = Checksum(suspects, size);
	written = fd >= 0 && write(fd, &header, sizeof(header)) == sizeof(header) && write(fd, suspects, size) == size;
	if (!written)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not write file \"%s\": %m", SUSPECTS_FILE),
				 errdetail("taskq will not know which jobs may have crashed the server.")));
	if (fd >= 0)
		close(fd);
	if (!written)
		(void) unlink(SUSPECTS_FILE);
}

static int
ReadSuspects(int fd, BlameSuspect *suspects)
{
	SuspectsHeader header;
	size_t		   size;

	if (read(fd, &header, sizeof(header)) != sizeof(header) || header.magic != SUSPECTS_MAGIC ||
		header.n_suspects > MAX_SUSPECTS || header.system_identifier != system_identifier)
		return -1;
	size = sizeof(BlameSuspect) * header.n_suspects;
	if (read(fd, suspects, size) != size || !EQ_CRC32C(Checksum(suspects, size), header.crc))
		return -1;
	return (int) header.n_suspects;
}

/* Read the file and remove it, when the postmaster starts.  Returns the number of suspects; there is room for MAX_SUSPECTS. */
int
SuspectsLoad(BlameSuspect *suspects)
{
	int fd = open(SUSPECTS_FILE, O_RDONLY | PG_BINARY, 0);
	int n = 0;

	system_identifier = GetSystemIdentifier();
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", SUSPECTS_FILE)));
	else
	{
		n = ReadSuspects(fd, suspects);
		close(fd);
		if (n < 0)
			ereport(LOG,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("file \"%s\" is damaged or belongs to another cluster, and is ignored", SUSPECTS_FILE),
					 errdetail("taskq does not know which jobs may have crashed the server.")));
	}
	if (unlink(SUSPECTS_FILE) != 0)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", SUSPECTS_FILE)));
	return Max(n, 0);
}
