/*
 * confine.h
 *	  What users' code outside handlers may not do in somebody else's session.
 */
#ifndef TASKQ_CONFINE_H
#define TASKQ_CONFINE_H

#include "taskq.h"

#include "registry/portals.h"

/* What has to be undone on every way out. */
typedef struct Confinement
{
	bool		confined;
	HiddenPortals hidden;
} Confinement;

extern void ConfineInit(void);
extern void ConfineBegin(Confinement *confinement);
extern void ConfineEnd(Confinement *confinement);

#endif							/* TASKQ_CONFINE_H */
