/*
 * confine.h
 *	  What users' code outside handlers may not do in somebody else's session.
 */
#ifndef TASKQ_CONFINE_H
#define TASKQ_CONFINE_H

#include "taskq.h"

#include "nodes/nodes.h"

#include "registry/portals.h"

/* What has to be undone on every way out. */
typedef struct Confinement
{
	bool		  confined;
	HiddenPortals hidden;
} Confinement;

extern void ConfineInit(void);
extern void ConfineBegin(Confinement *confinement);
extern void ConfineEnd(Confinement *confinement);

/* for confine_plan.c */
extern bool ConfineIsOn(void);
extern void ConfineCheckFunction(Oid function);
extern void ConfineCheckCommand(CmdType command);
extern void ConfineRefuseXmlTable(void);

#endif /* TASKQ_CONFINE_H */
