/*
 * roles.h
 *	  Roles that handlers run as.
 */
#ifndef TASKQ_ROLES_H
#define TASKQ_ROLES_H

#include "taskq.h"

extern char		  *RoleNameOrOid(Oid role);
extern bool		   RoleMayLogin(Oid role);
extern void		   RoleRefuseSuperuser(Oid role);
extern void		   RoleCheckExecute(Oid role, Oid function);
extern void		   RoleCheckRunAs(Oid role);
extern bool		   RoleMayChange(Oid role);
extern const char *RoleCodeRefusal(Oid role);

#endif /* TASKQ_ROLES_H */
