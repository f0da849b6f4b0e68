/*
 * portals.c
 *	  Hide the session's portals from users' code.
 *
 * Portals belong to the session and not to the role that has opened them.  Code that
 * runs as another role could fetch from its caller's cursors, or close one and open
 * another of the same name, which the caller would then run with its own rights.  So
 * while such code runs, all portals that exist are marked as active.  No command and
 * no language can run or close an active portal.  It also survives the end of a
 * subtransaction, unless it was created in that.
 *
 * PostgreSQL offers no list of portals except pg_cursor(), which leaves out invisible
 * ones.  But the memory contexts of all portals have one parent, and the identifier
 * of each context is the name of its portal, by which the portal is found.
 */
#include "taskq.h"

#include "nodes/memnodes.h"
#include "utils/memutils.h"

#include "registry/portals.h"

/* Return the parent of all portals' memory contexts.  It lives as long as the process. */
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

/*
 * Return the portal of a memory context, or NULL if the context is not a portal's or
 * its portal cannot be found by name any more.
 */
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
		portal = GetPortalByName(""); /* the identifier of the unnamed portal is another text */
	return portal != NULL && portal->portalContext == context ? portal : NULL;
}

/* Hide all portals.  The caller must call PortalsShow() in any case, also after an error. */
void
PortalsHide(HiddenPortals *hidden)
{
	MemoryContext top = PortalsContext();
	int			  most = 0;

	hidden->n = 0;
	for (MemoryContext child = top->firstchild; child != NULL; child = child->nextchild)
		most++;
	hidden->portals = palloc(Max(most, 1) * sizeof(HiddenPortal));

	/* Collect all portals first: the loop that changes them cannot fail. */
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

/* Restore the portals.  None of them can have been dropped in the meantime. */
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
