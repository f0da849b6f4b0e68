/*
 * portals.c
 *	  Keeping the session's portals out of users' code's reach.
 *
 * Portals belong to the session, not to whoever has opened them: code that runs
 * as somebody else could fetch from its caller's cursors, or close one and open
 * another of the same name, which the caller would then run as itself.  So the
 * portals that are there are marked as active while such code runs.  One that is
 * active can be neither run nor closed, by any command or language, and passes
 * unharmed through the end of subtransactions that it was not made in.
 *
 * PostgreSQL has no list of them to offer but pg_cursor(), which leaves out the
 * invisible ones.  But the memory context of each lies below one that all share,
 * with the portal's name for its identifier; a portal has no other name to be
 * found by.
 */
#include "taskq.h"

#include "nodes/memnodes.h"
#include "utils/memutils.h"

#include "registry/portals.h"

/* The context above those of all portals; it lives as long as the process. */
static MemoryContext
PortalsContext(void)
{
	static MemoryContext found = NULL;

	if (found != NULL)
		return found;
	for (MemoryContext child = TopMemoryContext->firstchild; child != NULL; child = child->nextchild)
		if (strcmp(child->name, "TopPortalContext") == 0)
			found = child;
	if (found == NULL)
		elog(ERROR, "could not find the session's portals");
	return found;
}

/* NULL: it is no portal's, or that of one which nobody can find any more. */
static Portal
PortalOfContext(MemoryContext context)
{
	Portal portal;

	if (strcmp(context->name, "PortalContext") != 0)
		return NULL;
	if (context->ident == NULL)
		elog(ERROR, "could not find the name of a portal");
	portal = GetPortalByName(context->ident);
	if (portal == NULL || portal->portalContext != context)
		portal = GetPortalByName(""); /* shown as another name */
	return portal != NULL && portal->portalContext == context ? portal : NULL;
}

/* Hide all portals; call PortalsShow() on every way out. */
void
PortalsHide(HiddenPortals *hidden)
{
	MemoryContext top = PortalsContext();
	int			  most = 0;

	hidden->n = 0;
	for (MemoryContext child = top->firstchild; child != NULL; child = child->nextchild)
		most++;
	hidden->portals = palloc(Max(most, 1) * sizeof(HiddenPortal));

	/* nothing can fail from the first one on that is changed */
	for (MemoryContext child = top->firstchild; child != NULL; child = child->nextchild)
	{
		Portal		  portal = PortalOfContext(child);
		HiddenPortal *saved = &hidden->portals[hidden->n];

		if (portal == NULL)
			continue;
		saved->portal = portal;
		saved->status = portal->status;
		saved->visible = portal->visible;
		saved->pinned = portal->portalPinned;
		hidden->n++;
	}
	for (int i = 0; i < hidden->n; i++)
	{
		hidden->portals[i].portal->status = PORTAL_ACTIVE;
		hidden->portals[i].portal->visible = false;
	}
}

/* Have them as they were.  None of them can have gone. */
void
PortalsShow(HiddenPortals *hidden)
{
	for (int i = 0; i < hidden->n; i++)
	{
		hidden->portals[i].portal->status = hidden->portals[i].status;
		hidden->portals[i].portal->visible = hidden->portals[i].visible;

		/* PL/Perl unpins a portal before it tries to close it */
		hidden->portals[i].portal->portalPinned = hidden->portals[i].pinned;
	}
	hidden->n = 0;
}
