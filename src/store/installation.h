/*
 * installation.h
 *	  Finding the extension in the system catalogs.
 */
#ifndef TASKQ_INSTALLATION_H
#define TASKQ_INSTALLATION_H

#include "taskq.h"

/* The extension in this database.  All fields are zero if there is none. */
typedef struct Installation
{
	Oid	 extension;
	Oid	 schema;
	Oid	 owner;
	bool newer;		   /* its version is newer than the library's */
	bool same_version; /* its version is the library's */
} Installation;

extern Installation InstallationFind(void);
extern bool			InstallationIsSame(const Installation *a, const Installation *b);

#endif /* TASKQ_INSTALLATION_H */
