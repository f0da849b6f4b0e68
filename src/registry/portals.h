/*
 * portals.h
 *	  Hide the session's portals from users' code.
 */
#ifndef TASKQ_PORTALS_H
#define TASKQ_PORTALS_H

#include "taskq.h"

#include "utils/portal.h"

/* A hidden portal, and its state before it was hidden. */
typedef struct HiddenPortal
{
	Portal		 portal;
	PortalStatus status;
	bool		 visible;
	bool		 pinned;
} HiddenPortal;

typedef struct HiddenPortals
{
	int			  n;
	HiddenPortal *portals;
} HiddenPortals;

extern void PortalsHide(HiddenPortals *hidden);
extern void PortalsShow(HiddenPortals *hidden);

#endif /* TASKQ_PORTALS_H */
