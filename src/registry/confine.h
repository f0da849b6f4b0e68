/*
 * confine.h
 *	  Confine users' code outside handlers.
 */
#ifndef TASKQ_CONFINE_H
#define TASKQ_CONFINE_H

#include "taskq.h"

#include "nodes/nodes.h"

#include "registry/portals.h"

/* State that ConfineEnd() restores. */
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
